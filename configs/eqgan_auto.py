"""EqGAN-SA with the automatic rule of the published system: a reasonable start for new data of any resolution.

    python -m oasis_jax.main --config=configs/eqgan_auto.py:128 --config.data.root=photos/ --workdir=runs/mine
    python -m oasis_jax.main --config=configs/eqgan_auto.py:512,devices=8,baseline --config.data.root=photos.zip --workdir=runs/mine
    python -m oasis_jax.main --config=configs/eqgan_auto.py:64,batch=16 --config.data.root=photos/ --workdir=runs/mine

The variant lists, with commas and all optional: the resolution (default 256); `devices=N`, the number of devices that share the batch in
the published system (default 1); `batch=N`, instead of the batch size of the rule; `sel` or `baseline`. With `devices=N`, statistics are
those of N parts of the batch, on any number of devices. R1, the groups and the average of the generator follow from resolution and batch
size: overriding a field on the command line does not change the others.
"""
import re

from configs import eqgan
from oasis_jax.eqgan.generator import check_resolution


def get_config(variant=""):
    names, numbers = [], {"resolution": 256, "devices": 1, "batch": 0}
    for part in filter(None, variant.split(",")):
        if found := re.fullmatch(r"(?:(devices|batch)=)?([1-9]\d*)", part):
            numbers[found[1] or "resolution"] = int(found[2])
        else:
            names.append(part)
    resolution, devices = numbers["resolution"], numbers["devices"]
    check_resolution(resolution, resolution)
    batch = numbers["batch"] or max(min(devices * min(4096 // resolution, 32), 64), devices)
    if batch % devices:
        raise ValueError(f"devices={devices} does not divide the batch of {batch} images: give another devices=N, or batch=N")
    config = eqgan.get_config(",".join(names))
    config.data.image_size = (resolution, resolution)
    config.model.channel_base = 32_768 if resolution >= 512 else 16_384
    config.model.mapping_layers = 2
    part = max(batch // devices, 1)
    config.model.mbstd_group_size = max(size for size in range(1, 5) if part % size == 0)
    config.model.mbstd_groups = config.loss.align_groups = devices
    config.loss.r1_gamma = 0.0002 * resolution**2 / batch
    config.train.batch_size = batch
    config.train.num_steps = 25_000_000 // batch
    config.train.lr_g = config.train.lr_d = 0.002 if resolution >= 1024 else 0.0025
    config.train.ema_images = batch * 10_000 / 32
    config.train.ema_ramp = 0.05
    for section, field in (("log", "images_every_steps"), ("checkpoint", "every_steps")):
        config[section][field] = 200_000 // batch
    config.eval.every_steps = 800_000 // batch
    config.eval.batch_size = 16 * config.model.mbstd_group_size
    return config
