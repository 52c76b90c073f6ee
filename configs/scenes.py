"""A small OASIS on procedural street scenes, 64x128: the demonstration, which needs no data and no accelerator.

    python -m oasis_jax.main --config=configs/scenes.py --workdir=runs/scenes

At most five minutes on two CPU cores: train.max_minutes ends the training if train.num_steps has not. To allow many steps in so short a
time, batches have two examples and the first 800 steps half the image size: with seed 0, this scored better than 600 steps with batches of
four (docs/results.md). `scenes.py:sa` is spatially aware, with heatmaps that can be edited (colabs/edit.ipynb). Not a published experiment.
"""
from configs import default


def get_config(variant=""):
    config = default.get_config(variant)
    config.data.layout = "scenes"
    config.data.num_classes = 12
    config.data.image_size = (64, 128)
    config.data.scenes_train = 200
    config.data.cache = True
    config.model.num_blocks = 4
    config.model.channels = 8
    config.model.spade_hidden = 24
    config.model.z_dim = 16
    config.model.d_channels = (16, 32, 32, 64)
    config.model.d_last = 16
    config.loss.labelmix = 5.0
    config.train.batch_size = 2
    config.train.num_steps = 2400
    config.train.coarse_steps = 800
    config.train.max_minutes = 3.5
    config.train.lr_g = 6e-4
    config.train.lr_d = 6e-4
    config.train.adam_b2 = 0.99
    config.train.init_gain = 1.0
    config.train.warmup_steps = 20
    config.train.ema_decay = 0.98
    config.train.ema_refresh_batches = 10
    config.log.every_steps = 20
    config.log.images_every_steps = 600
    config.eval.every_steps = 0
    config.eval.max_examples = 32
    config.checkpoint.every_steps = 400
    if variant == "sa":
        config.model.sel_blocks = "l1,l2,l3,none"
        config.loss.align_warmup = 100
    return config
