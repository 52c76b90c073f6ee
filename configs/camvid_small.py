"""A small OASIS on CamVid, 96x128: real street photos on two CPU cores.

    python -m oasis_jax.main --config=configs/camvid_small.py --config.data.root=DIR --workdir=runs/camvid_small

Data as for camvid.py. An hour of training on two CPU cores: train.max_minutes ends it, after some 8,000 steps at 0.455 s each. Scores after
this length have not been measured. For a run of 3 h 15 min, add --config.train.max_minutes=0 --config.train.num_steps=26000
--config.train.linear_decay=13000,26000 --config.train.ema_decay=0.9995. Measured in one such run, on a GPU (docs/results.md): after
12,000 steps, mIoU of ESPNet 0.604 (real photos: 0.635) and FD-VGG16 146 (training photos: 127); after 22,400 steps, 0.610 and 135.
`camvid_small.py:sa` is spatially aware. Not a published experiment.
"""
from configs import camvid


def get_config(variant=""):
    config = camvid.get_config(variant)
    config.data.image_size = (96, 128)
    train_for_an_hour(config)
    return config


def train_for_an_hour(config):
    """Sets the network and training fields of an OASIS ConfigDict for a few hundred photos and one hour on two CPU cores."""
    config.model.num_blocks = 5
    config.model.channels = 16
    config.model.spade_hidden = 32
    config.model.z_dim = 32
    config.model.pixel_noise = 2
    config.model.d_channels = (32, 32, 64, 64, 128)
    config.model.d_last = 16
    config.loss.labelmix = 5.0
    config.train.batch_size = 4
    config.train.num_steps = 30_000
    config.train.max_minutes = 62.0
    config.train.lr_g = 2e-4
    config.train.lr_d = 8e-4
    config.train.init_gain = 1.0
    config.train.warmup_steps = 50
    config.train.adam_b2 = 0.99
    config.train.ema_decay = 0.998
    config.train.ema_warmup = True
    config.train.ema_refresh_batches = 10
    config.log.every_steps = 25
    config.log.images_every_steps = 200
    config.eval.every_steps = 0
    config.checkpoint.every_steps = 200
    if config.model.spatial_awareness:
        config.model.sel_blocks = "l1,l2,l3,cat,none"
        config.loss.align_warmup = 200
