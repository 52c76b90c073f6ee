"""A small spatially aware OASIS on procedural street scenes, 64x128: scenes.py, with heatmaps that can be edited (colabs/edit.ipynb).

    python -m oasis_jax.main --config=configs/scenes_sa.py --workdir=runs/scenes_sa

At most five minutes on two CPU cores, as scenes.py. Not a published experiment.
"""
from configs import scenes


def get_config():
    config = scenes.get_config()
    config.model.spatial_awareness = True
    config.model.sel_blocks = "l1,l2,l3,none"
    config.loss.align_warmup = 100
    return config
