"""A small OASIS on CamVid, 96x128: real street photos on two CPU cores.

    python -m oasis_jax.main --config=configs/camvid_small.py --config.data.root=DIR --workdir=runs/camvid_small

Data as for camvid.py. About an hour of training on two CPU cores: 8,000 steps at 0.455 s each. Measured (docs/results.md):
- at 64x128 after 5,300 steps, 44 processor minutes (--config.data.image_size=64,128 --config.train.num_steps=5300), seeds 0, 1 and 2:
  FD-VGG16 192, 204, 224 (training photos: 154), mIoU of ESPNet 0.451, 0.443, 0.462 (real photos: 0.581);
- in one run of 3 h 15 min, on a GPU, at 96x128, with --config.train.num_steps=26000 --config.train.ema_decay=0.9995
  --config.train.lr_g=2e-4 --config.train.lr_d=8e-4: after 12,000 steps, mIoU 0.604 (real photos: 0.635) and FD-VGG16 146 (training
  photos: 127); after 22,400 steps, 0.610 and 135.
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
    config.train.num_steps = 8000
    config.train.lr_g = 3e-4
    config.train.lr_d = 1.2e-3
    config.train.linear_decay = (0.5, 1.0)
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
