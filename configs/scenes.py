"""A small OASIS on procedural street scenes, 64x128: the demonstration, which needs no data and no accelerator.

    python -m oasis_jax.main --config=configs/scenes.py --workdir=runs/scenes

At most five minutes on two CPU cores. Not a published experiment.
"""
from configs import default


def get_config():
    config = default.get_config()
    config.data.layout = "scenes"
    config.data.num_classes = 12
    config.data.image_size = (64, 128)
    config.model.num_blocks = 5
    config.model.channels = 8
    config.model.spade_hidden = 32
    config.model.d_channels = (32, 32, 64, 64, 64, 64)
    config.model.d_last = 16
    config.loss.labelmix = 5.0
    config.train.batch_size = 4
    config.train.num_steps = 20_000  # more than train.max_minutes allows on a CPU
    config.train.max_minutes = 4.0
    config.train.lr_g = 4e-4
    config.train.ema_decay = 0.99
    config.train.ema_refresh_batches = 10
    config.log.every_steps = 20
    config.log.images_every_steps = 100
    config.eval.every_steps = 0
    config.eval.max_examples = 32
    config.checkpoint.every_steps = 100
    return config
