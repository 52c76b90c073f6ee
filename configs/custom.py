"""OASIS on data of your own, 256x256: a folder of photos and a folder of label maps.

    python -m oasis_jax.main --config=configs/custom.py --config.data.root=DIR --config.data.num_classes=N --workdir=runs/custom

    DIR/train/photos/NAME.jpg    DIR/train/labels/NAME.png
    DIR/val/photos/NAME.jpg      DIR/val/labels/NAME.png

Label maps hold class ids 0..N-1 in 8 or 16 bits, where 0 means "don't care" (--config.data.dontcare_id=-1 if no class does). Other ids are
mapped by data.label_offset and data.label_map; RGB label maps need --config.data.palette=FILE. Every pair is checked before training.
Fewer than a few thousand photos: --config.train.ema_decay=0.999 --config.train.lr_g=4e-4 --config.loss.labelmix=5, as for Cityscapes.
Memory as for ade20k.py. Expected: unknown, it is your data.
"""
from configs import default


def get_config(variant=""):
    config = default.get_config(variant)
    config.data.layout = "folders"
    config.data.resize_size = (286, 286)
    return config
