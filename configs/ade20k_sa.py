"""Spatially aware OASIS on ADE20K, 256x256: ade20k.py, a generator told where to look, and rewarded where D looks there (EqGAN-SA).

    python -m oasis_jax.main --config=configs/ade20k_sa.py --config.data.root=DIR --workdir=runs/ade20k_sa

Data, steps and rates as for ade20k.py. No score of this combination is published.
"""
from configs import ade20k


def get_config():
    config = ade20k.get_config()
    config.model.spatial_awareness = True
    return config
