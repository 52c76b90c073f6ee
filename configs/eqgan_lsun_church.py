"""EqGAN-SA on LSUN Church at 256x256 (126,000 photos), the published recipe.

    python -m oasis_jax.main --config=configs/eqgan_lsun_church.py --config.data.root=church256.zip --workdir=runs/church

Variants :sel and :baseline as in eqgan_ffhq.py. Published: FID 3.11 / 3.55 / 3.73 and disequilibrium 2.07 / 2.59 / 3.01 for the full
system, :sel and :baseline. Not run by this project.
"""
from configs import eqgan_ffhq

get_config = eqgan_ffhq.get_config
