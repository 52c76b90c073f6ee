"""Builds OASIS's networks from a config: the place where config fields become typed."""
from oasis_jax.layers.dtype import compute_dtype
from oasis_jax.layers.spatial import FEATURES
from oasis_jax.oasis.alignment import Alignment
from oasis_jax.oasis.capacities import choose_capacities, hold, of_spade, on_regions
from oasis_jax.oasis.discriminator import Discriminator
from oasis_jax.oasis.generator import Generator, check_sides
from oasis_jax.oasis.model import Model
from oasis_jax.recipes import unique_names


def make_generator(config, survey=None):
    """The Generator of a config.

    Args:
        config: ConfigDict; data.num_classes is set.
        survey: `data.survey.Survey` of the training data, from which capacities are chosen; without it, all levels are dense.

    Raises:
        ValueError: the image size does not fit the number of blocks, or another field is out of range.
    """
    model = config.model
    if config.data.num_classes < 1:
        raise ValueError("data.num_classes is not set: give the number of classes N, including the don't-care class")
    grain_blocks = model.get("pixel_noise", 0)  # older checkpoints lack the field, or hold True or False
    if grain_blocks and not model.z_dim:
        raise ValueError("model.pixel_noise is a function of noise vectors: set model.z_dim to 8 or more, or model.pixel_noise to 0")
    check_sides(*config.data.image_size, model.num_blocks)
    affine_blocks = model.get("affine_blocks", 0)  # older checkpoints lack the field
    regional, capacities = on_regions(conditioning(config), config.data.image_size), ()
    if regional and survey is not None and survey.statistic is not None:
        capacities = choose_capacities(survey.statistic[: model.num_blocks], config.data.image_size, model.region_share)
        capacities = of_spade(capacities, affine_blocks)
    return Generator(
        num_classes=config.data.num_classes,
        num_blocks=model.num_blocks,
        channels=model.channels,
        spade_hidden=model.spade_hidden,
        z_dim=model.z_dim,
        dtype=compute_dtype(model.dtype),
        remat=model.remat,
        capacities=capacities,
        grain_blocks=model.num_blocks if grain_blocks is True else grain_blocks,
        affine_blocks=affine_blocks,
        **_spatial_fields(model),
    )


def make_training_generator(config, survey=None):
    """The Generator of the train step; arguments and errors as for `make_generator`.

    If the survey proves that every training label map fits the capacities, levels on regions have no dense fallback. For random crops it
    proves nothing: their boundaries differ from those of the whole maps, which the survey counted.
    """
    generator, size = make_generator(config, survey), tuple(config.data.image_size)
    cropped = tuple(config.data.get("resize_size") or size) != size
    return generator.clone(known_to_fit=bool(generator.capacities) and not cropped and hold(generator.capacities, survey.largest))


def _spatial_fields(model):
    """The fields of a spatially aware Generator; none without model.spatial_awareness."""
    if not model.get("spatial_awareness"):  # older checkpoints lack the field
        return {}
    levels, known = tuple(model.sel_blocks.split(",")), (*FEATURES, "none")
    levels = levels[: model.num_blocks]
    if not set(levels) <= set(known) or len(levels) < model.num_blocks or set(levels) == {"none"}:
        raise ValueError(
            f"model.sel_blocks={model.sel_blocks}: give for each of model.num_blocks={model.num_blocks} blocks one of {', '.join(known)}, "
            "and not none for all"
        )
    return {"sel_blocks": levels, "sel_strength": model.sel_strength, "isotropic": model.isotropic}


def make_discriminator(config):
    """The Discriminator of a config; raises ValueError if it has too few widths."""
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


def make_alignment(config):
    """The Alignment of a config; None without spatial awareness or with weight 0.

    Raises:
        ValueError: there are too few blocks for the side of D whose attention is used.
    """
    loss, blocks = config.loss, config.model.num_blocks
    if not config.model.get("spatial_awareness") or not loss.align:
        return None
    least = 3 if loss.attn_side == "decoder" else 4
    if blocks < least:
        raise ValueError(f"loss.attn_side={loss.attn_side} is not possible with model.num_blocks={blocks}: it needs {least} or more")
    return Alignment(
        weight=loss.align,
        warmup=loss.align_warmup,
        every=loss.align_every,
        side=loss.attn_side,
        objective=loss.attn_objective,
        level_weights=tuple(loss.align_levels),
        mask_dontcare=loss.mask_dontcare,
    )


def make_model(config, variables, step, survey=None):
    """The Model of a config; arguments as for `make_generator`."""
    generator = make_generator(config, survey)
    names = tuple(config.data.class_names) or tuple(map(str, range(generator.num_classes)))
    return Model(generator, variables, config, step, tuple(config.data.image_size), unique_names(names), conditioning(config))


def conditioning(config):
    """model.conditioning; "auto" for older checkpoints, which lack the field."""
    return config.model.get("conditioning", "auto")
