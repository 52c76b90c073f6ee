"""Spatially aware OASIS on COCO-Stuff, 256x256: coco_stuff.py, a generator told where to look, and rewarded where D looks there (EqGAN-SA).

    python -m oasis_jax.main --config=configs/coco_stuff_sa.py --config.data.root=DIR --workdir=runs/coco_stuff_sa

Data, steps and rates as for coco_stuff.py. No score of this combination is published.
"""
from configs import coco_stuff


def get_config():
    config = coco_stuff.get_config()
    config.model.spatial_awareness = True
    return config
