"""Builds EqGAN-SA's networks and train step from a config: the place where config fields become typed."""
import functools

from oasis_jax.eqgan.alignment import Alignment
from oasis_jax.eqgan.discriminator import Discriminator
from oasis_jax.eqgan.generator import Generator, check_resolution
from oasis_jax.eqgan.train_step import Hyperparameters, TrainStep
from oasis_jax.layers.dtype import compute_dtype
from oasis_jax.parallel.mesh import check_parts
from oasis_jax.updates import adam_without_momentum, rate_at


def make_generator(config):
    """The Generator of a config; raises ValueError for an image size that it cannot generate."""
    model = config.model
    return Generator(
        z_dim=model.z_dim,
        w_dim=model.w_dim,
        mapping_layers=model.mapping_layers,
        sel_hidden=model.sel_hidden if model.spatial_awareness else 0,
        encoder_features=model.encoder_features,
        **_shared_fields(config),
    )


def make_discriminator(config):
    """The Discriminator of a config; raises ValueError for an image size or groups that it cannot use."""
    model = config.model
    groups = _groups_of_part(config, "model", "mbstd_groups")
    return Discriminator(group_size=model.mbstd_group_size, groups=groups, **_shared_fields(config))


def make_scoring_discriminator(config):
    """The Discriminator for scoring: with the group size of training, for batches of any number of groups."""
    discriminator = make_discriminator(config)
    part = config.train.batch_size // _accumulated(config) // discriminator.groups
    return discriminator.clone(groups=1, group_size=min(discriminator.group_size, part))


def make_alignment(config):
    """The Alignment of a config; None without spatial awareness or with weight 0."""
    if not config.model.spatial_awareness or not config.loss.align:
        return None
    return Alignment(weight=config.loss.align, groups=_groups_of_part(config, "loss", "align_groups"))


def make_train_step(config):
    """The TrainStep of a config; raises ValueError for fields that do not fit together."""
    train, loss, model = config.train, config.loss, config.model
    check_parts(train.batch_size, train.accumulate)
    generator, discriminator = make_generator(config), make_discriminator(config)
    for name, groups in (("model.mbstd_groups", model.mbstd_groups), ("loss.align_groups", loss.align_groups)):
        if train.batch_size % groups:
            raise ValueError(f"{name}={groups} does not divide train.batch_size={train.batch_size}: choose one of its divisors")
    part = train.batch_size // _accumulated(config) // discriminator.groups
    if part % min(model.mbstd_group_size, part):
        raise ValueError(
            f"model.mbstd_group_size={model.mbstd_group_size} does not divide the {part} images of each of the "
            f"{train.batch_size // part} parts of a batch (model.mbstd_groups, train.accumulate): choose a divisor"
        )
    optimizers, schedules = {}, []
    for name, interval in (("lr_g", loss.path_every), ("lr_d", loss.r1_every)):
        # Adam is corrected for the updates of lazy regularisation (StyleGAN2, appendix B), whether it is on or not, as published.
        ratio = interval / (interval + 1)
        rate = train[name] * ratio
        optimizers[name] = adam_without_momentum(rate, train.adam_b2**ratio, train.adam_eps)
        schedules.append((name, functools.partial(rate_at, learning_rate=rate)))
    return TrainStep(
        generator=generator,
        discriminator=discriminator,
        optimizer_g=optimizers["lr_g"],
        optimizer_d=optimizers["lr_d"],
        hyper=Hyperparameters(
            r1_gamma=loss.r1_gamma,
            r1_every=loss.r1_every,
            path_length=loss.path_length,
            path_every=loss.path_every,
            style_mixing=train.style_mixing,
            ema_images=train.ema_images,
            ema_ramp=train.ema_ramp,
            accumulate=train.accumulate,
        ),
        seed=config.seed,
        alignment=make_alignment(config),
        schedules=tuple(schedules),
    )


def _accumulated(config):
    return config.train.get("accumulate", 1)  # older checkpoints lack the field


def _groups_of_part(config, section, name):
    """The number of groups in each part of an accumulated batch: the value of the field divided by the number of parts, at least one."""
    groups, parts = config[section][name], _accumulated(config)
    if groups > 1 and groups % parts:
        raise ValueError(f"train.accumulate={parts} does not divide {section}.{name}={groups}: choose one of its divisors")
    return max(groups // parts, 1)


def _shared_fields(config):
    """The fields that G and D have in common."""
    model, size = config.model, config.data.image_size
    check_resolution(*size)
    if model.channel_base < size[0]:
        raise ValueError(f"model.channel_base={model.channel_base} is below the side of the image, {size[0]}: give more, such as 16384")
    return {
        "resolution": size[0],
        "channel_base": model.channel_base,
        "channel_max": model.channel_max,
        "dtype": compute_dtype(model.dtype),
        "num_reduced": model.num_reduced,
        "clamp": model.clamp,
        "remat": model.remat,
    }
