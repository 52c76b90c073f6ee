"""A small OASIS on data of your own, 96x128: a few hundred photos and label maps, and an hour on two CPU cores.

    python -m oasis_jax.main --config=configs/custom_small.py --config.data.root=DIR --config.data.num_classes=N --workdir=runs/custom_small

Data as for custom.py; networks and training as for camvid_small.py (docs/results.md has scores of a longer run of that config). Photos
are resized to 96x128, whatever their shape; set another size with --config.data.image_size=H,W, multiples of 32. `custom_small.py:sa` is
spatially aware.
Expected: unknown, it is your data. Not a published experiment.
"""
from configs import camvid_small, custom


def get_config(variant=""):
    config = custom.get_config(variant)
    config.data.image_size = (96, 128)
    config.data.resize_size = ()
    config.data.cache = True
    camvid_small.train_for_an_hour(config)
    return config
