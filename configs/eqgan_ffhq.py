"""EqGAN-SA on FFHQ at 256x256 (70,000 faces), the published recipe.

    python -m oasis_jax.main --config=configs/eqgan_ffhq.py --config.data.root=ffhq256.zip --workdir=runs/ffhq
    python -m oasis_jax.main --config=configs/eqgan_ffhq.py:sel ...          # spatial encoding layers without alignment
    python -m oasis_jax.main --config=configs/eqgan_ffhq.py:baseline ...     # StyleGAN2

data.root is a zip as NVIDIA's data set tool writes it, or a folder. Published: FID 2.96 / 3.39 / 3.66 and disequilibrium 0.73 / 1.38 / 1.62
for the three, on 8 GPUs with 8 images each; the fields *_groups reproduce their statistics on any number of devices. Not run by this
project.
Cost: 22 EFLOP (an estimate: 390,625 steps of 64 images, at the 7.15 TFLOP that a TPU's compiler counts for 8 images, R1 in every step).
"""
from configs import eqgan


def get_config(variant=""):
    config = eqgan.get_config(variant)
    config.model.mbstd_groups = 8
    config.loss.align_groups = 8
    return config
