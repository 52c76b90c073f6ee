"""OASIS on COCO-Stuff, 256x256.

    python -m oasis_jax.main --config=configs/coco_stuff.py --config.data.root=DIR --workdir=runs/coco_stuff

DIR holds `train_img`, `train_label`, `val_img` and `val_label`. About 369,600 steps. The published run used four GPUs of 32 GB; with fewer,
or with less memory, lower train.batch_size or set model.remat. The data set: 118,287 photos to train and 5,000 to validate.
`coco_stuff.py:sa` is spatially aware. No score of it is published.
Expected: FID 17.0, mIoU 44.1 (published, not yet reproduced here).
"""
from configs import default


def get_config(variant=""):
    config = default.get_config(variant)
    config.data.layout = "coco_stuff"
    config.data.num_classes = 183
    config.data.label_offset = 1
    config.data.label_map = "255:0"
    config.data.resize_size = (286, 286)
    config.train.num_epochs = 100
    return config
