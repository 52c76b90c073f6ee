"""OASIS on CamVid (11 classes, 367 photos to train and 101 to validate), 192x256.

    python -m oasis_jax.main --config=configs/camvid.py --config.data.root=DIR --workdir=runs/camvid

DIR holds `train`, `trainannot`, `val` and `valannot` with files of the same names. Ids 0..10 become classes 1..11; 11 (unlabelled) becomes
the don't-care class 0. Rates and decay are those of Cityscapes, the nearest published recipe; no OASIS score on CamVid is published.
Memory: a third of what Cityscapes takes (an estimate: a batch has 30 % of its pixels).

`camvid.py:sa` is spatially aware. camvid_small.py trains on two CPU cores.
"""
from configs import default


def get_config(variant=""):
    config = default.get_config(variant)
    config.data.layout = "folders"
    config.data.train_photos = "train"
    config.data.train_labels = "trainannot"
    config.data.val_photos = "val"
    config.data.val_labels = "valannot"
    config.data.num_classes = 12
    config.data.label_offset = 1
    config.data.label_map = "11:0"
    config.data.class_names = (
        "unlabelled", "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"
    )
    config.data.image_size = (192, 256)
    config.data.cache = True
    config.loss.labelmix = 5.0
    config.train.batch_size = 16
    config.train.num_steps = 30_000  # as many as Cityscapes takes
    config.train.lr_g = 4e-4
    config.train.ema_decay = 0.999
    config.eval.every_steps = 2500
    return config
