"""OASIS on ADE20K (the 150 classes of the scene parsing challenge), 256x256.

    python -m oasis_jax.main --config=configs/ade20k.py --config.data.root=DIR --workdir=runs/ade20k

DIR holds `images` and `annotations`. About 126,300 steps. The published run used four GPUs of 32 GB; with fewer, or with less memory, lower
train.batch_size or set model.remat. The data set: 20,210 photos to train and 2,000 to validate.
`ade20k.py:sa` is spatially aware. No score of it is published.
Expected: FID 28.3, mIoU 48.8 (published, not yet reproduced here).
"""
from configs import default


def get_config(variant=""):
    config = default.get_config(variant)
    config.data.layout = "ade20k"
    config.data.num_classes = 151
    config.data.resize_size = (286, 286)
    return config
