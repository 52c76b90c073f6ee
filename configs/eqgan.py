"""EqGAN-SA with the published recipe for 256x256 (paper256), on a folder or a zip of photos; the other eqgan configs are based on it.

    python -m oasis_jax.main --config=configs/eqgan.py --config.data.root=photos/ --workdir=runs/mine

Variants: FILE is the full system, FILE:sel has spatial encoding layers without alignment, FILE:baseline is StyleGAN2. The published runs
used 8 GPUs with 8 images each; model.mbstd_groups=8 and loss.align_groups=8 reproduce these groups on any number of devices.
"""
from oasis_jax.eqgan import fields

VARIANTS = {"": (True, 1.0), "sel": (True, 0.0), "baseline": (False, 0.0)}  # spatial awareness, weight of the alignment


def get_config(variant=""):
    if variant not in VARIANTS:
        raise ValueError(f"there is no variant {variant!r} of this config: use FILE, FILE:sel or FILE:baseline")
    config = fields.default_config()
    config.model.spatial_awareness, config.loss.align = VARIANTS[variant]
    return config.lock()
