"""The model in the package: a spatially aware OASIS on procedural street scenes, 64x128, which `oasis_jax.load("scenes")` returns.

    python -m oasis_jax.main --config=scenes_studio --workdir=runs/scenes_studio

As scenes.py:sa, with twice its channels, 4,000 scenes and batches of 16: 1.4 million parameters, 2.8 MB in float16. A step took 10 to
12 ms on one H200: after two minutes of compilation, 12,000 steps take two and a half minutes. On two CPU cores, with train.batch_size=4, a
step takes about 1 s, and images are recognisable after an hour. Not a published experiment.
"""
from configs import scenes


def get_config():
    config = scenes.get_config("sa")
    config.data.scenes_train = 4000
    config.model.channels = 16
    config.model.spade_hidden = 32
    config.model.z_dim = 32
    config.model.d_channels = (32, 64, 64, 128)
    config.model.d_last = 32
    config.loss.align_warmup = 500
    config.train.batch_size = 16
    config.train.coarse_steps = 0
    config.train.num_steps = 12_000
    config.train.max_minutes = 0.0
    config.train.lr_g = 3e-4
    config.train.lr_d = 6e-4
    config.train.half_life = 6000
    config.train.ema_decay = 0.999
    config.train.warmup_steps = 50
    config.log.every_steps = 25
    config.log.images_every_steps = 250
    config.checkpoint.every_steps = 250
    return config
