"""A small EqGAN-SA on photos of procedural street scenes, 64x64: the demonstration, which needs no data and no accelerator.

    python -m oasis_jax.main --config=configs/eqgan_scenes.py --workdir=runs/eqgan_scenes

8 min 49 s on two CPU cores, 3,112 steps (measured): train.max_minutes ends the training if train.num_steps has not. docs/results.md shows
its samples. Variants :sel and :baseline as in eqgan.py. Not a published experiment.
"""
from configs import eqgan


def get_config(variant=""):
    config = eqgan.get_config(variant)
    config.data.layout = "scenes"
    config.data.image_size = (64, 64)
    config.data.scenes_train = 2000
    config.data.scenes_val = 500
    config.data.flip = True
    config.data.cache = True
    config.model.channel_base = 512
    config.model.channel_max = 64
    config.model.z_dim = 64
    config.model.w_dim = 64
    config.model.mapping_layers = 2
    config.model.mbstd_group_size = 4
    config.model.encoder_features = 4
    config.model.sel_hidden = 8
    config.model.clamp = 0.0
    config.train.batch_size = 8
    config.train.num_steps = 8000
    config.train.max_minutes = 8.0
    config.train.ema_images = 2000.0
    config.train.ema_ramp = 0.05
    config.loss.r1_gamma = 2.0
    config.log.every_steps = 50
    config.log.images_every_steps = 500
    config.eval.every_steps = 0
    config.eval.max_examples = 500
    config.eval.batch_size = 16
    config.checkpoint.every_steps = 500
    return config
