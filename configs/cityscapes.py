"""OASIS on Cityscapes, 256x512.

    python -m oasis_jax.main --config=configs/cityscapes.py --config.data.root=DIR --workdir=runs/cityscapes

DIR holds `leftImg8bit` and `gtFine`. 29,750 steps. The published run used four GPUs of 32 GB; with fewer, or with less memory, lower
train.batch_size or set model.remat. The data set: 2,975 photos to train and 500 to validate.
The published system counted classes separately on each of its four GPUs: --config.loss.balance_groups=4 does the same.
`cityscapes.py:sa` is spatially aware; docs/results.md says how much more a step costs. No score of it is published.
Expected: FID 47.7, mIoU 69.3 (published, not yet reproduced here).
"""
from configs import default


def get_config(variant=""):
    config = default.get_config(variant)
    config.data.layout = "cityscapes"
    config.data.num_classes = 35
    config.data.image_size = (256, 512)
    config.loss.labelmix = 5.0
    config.train.batch_size = 20
    config.train.num_epochs = 200
    config.train.lr_g = 4e-4
    config.train.ema_decay = 0.999
    config.eval.every_steps = 2500
    return config
