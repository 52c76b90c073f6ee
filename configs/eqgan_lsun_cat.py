"""EqGAN-SA on LSUN Cat at 256x256 (200,000 photos), the published recipe.

    python -m oasis_jax.main --config=configs/eqgan_lsun_cat.py --config.data.root=lsuncat200k.zip --workdir=runs/cat
    python -m oasis_jax.main --config=configs/eqgan_lsun_cat.py --config.data.layout=tfds:lsun/cat --config.data.tfds_val_split=train ...

Variants :sel and :baseline as in eqgan_ffhq.py. The second command trains on all of LSUN Cat (1.7 million photos), which was not published.
TFDS must have prepared it as array_record, which is read by index; other formats are copied into memory, tens of GB (an estimate).
Published: FID 6.81 / 7.82 / 8.36 and disequilibrium 2.39 / 3.12 / 3.64 for the full system, :sel and :baseline. Not run by this project.
"""
from configs import eqgan_ffhq

get_config = eqgan_ffhq.get_config
