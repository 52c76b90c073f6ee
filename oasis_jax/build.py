"""From a config to typed objects: the one border that a config crosses."""
import jax
import jax.numpy as jnp

from oasis_jax.data.datasets import DataSpec
from oasis_jax.models import Discriminator, Generator
from oasis_jax.models.capacities import choose_capacities
from oasis_jax.models.generator import WIDTHS, check_sides
from oasis_jax.models.spatial import FEATURES
from oasis_jax.training.attention import OBJECTIVES, SIDES, Alignment
from oasis_jax.training.state import adam_without_momentum
from oasis_jax.training.step import Recipe, TrainStep

SMALL = 100 * 100  # pixels of an image up to which the dense form is chosen for its shorter compilation


def compute_dtype(name):
    """The dtype of activations for `model.dtype`; "auto" is bfloat16 on TPU and GPU and float32 on CPU.

    Raises:
      ValueError: for another name, or for float64 while JAX has it switched off.
    """
    if name == "auto":
        return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    if name == "float64" and not jax.config.jax_enable_x64:
        raise ValueError("model.dtype=float64 needs the environment variable JAX_ENABLE_X64=1")
    dtypes = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float64": jnp.float64}
    if name not in dtypes:
        raise ValueError(f"model.dtype={name} is not one of auto, {', '.join(dtypes)}")
    return dtypes[name]


def generator(config):
    """The Generator of a config; raises ValueError if its image size does not fit its number of blocks."""
    model = config.model
    if not 1 <= model.num_blocks <= len(WIDTHS):
        raise ValueError(f"model.num_blocks={model.num_blocks} is not in 1..{len(WIDTHS)}")
    if config.data.num_classes < 1:
        raise ValueError("data.num_classes is not set: give the number of classes N, the don't-care class included")
    check_sides(*config.data.image_size, model.num_blocks)
    on_regions(config, config.data.image_size)  # names an unknown value
    return Generator(
        num_classes=config.data.num_classes,
        num_blocks=model.num_blocks,
        channels=model.channels,
        spade_hidden=model.spade_hidden,
        z_dim=model.z_dim,
        dtype=compute_dtype(model.dtype),
        remat=model.remat,
        **spatial_fields(model),
    )


def spatial_fields(model):
    """The fields of a spatially aware Generator, none without model.spatial_awareness; raises ValueError if the levels do not fit."""
    if not model.get("spatial_awareness"):  # checkpoints that are older than the field have none
        return {}
    levels, known = tuple(model.sel_blocks.split(",")), (*FEATURES, "none")
    levels = levels[: model.num_blocks]
    if not set(levels) <= set(known) or len(levels) < model.num_blocks or set(levels) == {"none"}:
        raise ValueError(
            f"model.sel_blocks={model.sel_blocks}: give for each of model.num_blocks={model.num_blocks} blocks one of {', '.join(known)}, "
            "and not none for all"
        )
    return {"sel_blocks": levels, "sel_strength": model.sel_strength, "isotropic": model.isotropic}


def alignment(config):
    """The Alignment of a config, None without spatial awareness or without weight; raises ValueError for fields out of range."""
    loss, blocks = config.loss, config.model.num_blocks
    if not config.model.get("spatial_awareness") or not loss.align:
        return None
    least = 3 if loss.attn_side == "decoder" else 4
    for name, good, what in (
        ("attn_side", loss.attn_side in SIDES, f"one of {', '.join(SIDES)}"),
        ("attn_objective", loss.attn_objective in OBJECTIVES, f"one of {', '.join(OBJECTIVES)}"),
        ("align", loss.align > 0, "positive, or 0 for no alignment"),
        ("align_every", loss.align_every > 0, "1 or more"),
        ("align_levels", len(loss.align_levels) == 3, "three weights: of the coarse, the middle and the fine level"),
        ("attn_side", blocks >= least, f"possible with model.num_blocks={blocks}: it takes {least} or more"),
    ):
        if not good:
            raise ValueError(f"loss.{name}={loss[name]} is not {what}")
    return Alignment(
        weight=loss.align,
        warmup=loss.align_warmup,
        every=loss.align_every,
        side=loss.attn_side,
        objective=loss.attn_objective,
        level_weights=tuple(loss.align_levels),
        mask_dontcare=loss.mask_dontcare,
    )


def on_regions(config, size):
    """Whether conditioning is computed on regions for images of a size (H, W); raises ValueError for an unknown `model.conditioning`."""
    name = config.model.get("conditioning", "auto")  # older checkpoints do not say
    if name not in ("auto", "dense", "regions"):
        raise ValueError(f"model.conditioning={name} is not one of auto, dense, regions")
    return name == "regions" or (name == "auto" and jax.default_backend() == "cpu" and size[0] * size[1] > SMALL)


def capacities(config, counts):
    """The `capacities` of a Generator for boundary counts (levels, 4) that the images shall fit; () without counts: all is dense."""
    if counts is None:
        return ()
    return choose_capacities(counts[: config.model.num_blocks], config.data.image_size, config.model.region_share)


def discriminator(config):
    """The Discriminator of a config."""
    model = config.model
    if len(model.d_channels) < model.num_blocks:
        raise ValueError(f"model.d_channels={tuple(model.d_channels)} is shorter than model.num_blocks={model.num_blocks}")
    return Discriminator(
        num_classes=config.data.num_classes,
        channels=tuple(model.d_channels),
        last=model.d_last,
        num_blocks=model.num_blocks,
        dtype=compute_dtype(model.dtype),
        remat=model.remat,
    )


def train_step(config):
    """The TrainStep of a config, with its networks, optimizers and recipe."""
    train, loss = config.train, config.loss
    if train.discriminator_schedule not in ("batched", "sequential"):
        raise ValueError(f"train.discriminator_schedule={train.discriminator_schedule} is not one of batched, sequential")
    recipe = Recipe(
        dontcare_id=config.data.dontcare_id,
        balance=loss.balance,
        balance_groups=loss.balance_groups,
        labelmix=loss.labelmix,
        perceptual=loss.vgg,
        ema_decay=train.ema_decay,
        sequential=train.discriminator_schedule == "sequential",
    )
    features = None
    if loss.vgg:
        from oasis_jax.models.vgg import load_features

        features = load_features(loss.vgg_weights)
    return TrainStep(
        generator=generator(config),
        discriminator=discriminator(config),
        optimizer_g=adam_without_momentum(train.lr_g, train.adam_b2, train.adam_eps, train.warmup_steps),
        optimizer_d=adam_without_momentum(train.lr_d, train.adam_b2, train.adam_eps, train.warmup_steps),
        recipe=recipe,
        seed=config.seed,
        features=features,
        alignment=alignment(config),
    )


def data_spec(config):
    """The DataSpec of a config: the fields of config.data, lists as tuples."""
    return DataSpec(**{name: tuple(value) if isinstance(value, list) else value for name, value in config.data.items()})


def check_batch(config, devices):
    """Raises ValueError unless the batch divides over the devices and over the groups in which classes are counted."""
    batch, groups = config.train.batch_size, config.loss.balance_groups
    if batch < 1 or batch % devices:
        raise ValueError(f"train.batch_size={batch} does not divide over {devices} devices: choose a multiple of {devices}")
    if groups < 1 or batch % groups:
        raise ValueError(f"loss.balance_groups={groups} does not divide train.batch_size={batch}: choose a divisor")


def resolved(config, split):
    """The config with what is known of the labels written out, so that a checkpoint tells how to read label files (a palette is a path)."""
    config = config.copy_and_resolve_references()
    rule = split.rule
    config.data.update(num_classes=rule.num_classes, class_names=split.class_names, label_offset=rule.offset)
    config.data.label_map = ",".join(f"{stored}:{class_id}" for stored, class_id in sorted(rule.mapping.items()))
    return config
