"""Spatially aware OASIS on Cityscapes, 256x512: cityscapes.py, a generator told where to look, and rewarded where D looks there (EqGAN-SA).

    python -m oasis_jax.main --config=configs/cityscapes_sa.py --config.data.root=DIR --workdir=runs/cityscapes_sa

Data, steps and rates as for cityscapes.py; docs/results.md has what a step costs more. No score of this combination is published.
"""
from configs import cityscapes


def get_config():
    config = cityscapes.get_config()
    config.model.spatial_awareness = True
    return config
