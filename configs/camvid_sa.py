r"""Spatially aware OASIS on CamVid, 192x256: camvid.py, a generator told where to look, and rewarded where D looks there (EqGAN-SA).

    python -m oasis_jax.main --config=configs/camvid_sa.py --config.data.root=DIR --workdir=runs/camvid_sa

What it is good for, on two CPU cores: three arms of an equal number of steps, for seeds 0, 1 and 2, with the overrides of camvid.py and

    --config.train.num_steps=STEPS --config.train.max_minutes=0 --config.seed=SEED

    OASIS              --config=configs/camvid.py
    OASIS + SEL        --config=configs/camvid_sa.py SA --config.loss.align=0
    OASIS + SEL + L    --config=configs/camvid_sa.py SA

where SA is `--config.model.sel_blocks=l1,l2,l3,cat,none --config.loss.align_warmup=200`. Each run prints `di_seg`;
`python -m oasis_jax.evaluate --checkpoint=RUN --protocol=camvid-espnet` gives Frechet distance and mIoU. No such score is published.
"""
from configs import camvid


def get_config():
    config = camvid.get_config()
    config.model.spatial_awareness = True
    return config
