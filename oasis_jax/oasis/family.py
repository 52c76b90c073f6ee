"""OASIS as a model family: a `family.Family`."""
import functools

import jax
import jax.numpy as jnp

from oasis_jax.allowed import check_fields
from oasis_jax.fields import HOST_FIELDS
from oasis_jax.oasis import fields
from oasis_jax.oasis.alignment import attended
from oasis_jax.oasis.boundaries import boundary_counts
from oasis_jax.oasis.capacities import on_regions
from oasis_jax.oasis.exported import portable as portable
from oasis_jax.oasis.from_config import conditioning, make_alignment, make_discriminator, make_model, make_training_generator
from oasis_jax.oasis.generator import check_sides
from oasis_jax.oasis.onnx_generator import to_onnx
from oasis_jax.oasis.perceptual import load_features
from oasis_jax.oasis.preview import Previews, can_preview
from oasis_jax.oasis.protocols import PROTOCOLS
from oasis_jax.oasis.protocols import default_protocol as default_protocol
from oasis_jax.oasis.published import from_state_dict, read_pth
from oasis_jax.oasis.scores import Disequilibrium, OwnDiscriminator, ScoresByDiscriminator
from oasis_jax.oasis.train_step import MUTABLE_D, Hyperparameters, TrainStep
from oasis_jax.state_dicts import filled
from oasis_jax.updates import adam_without_momentum, create_state, in_steps, rate_in_run

BOUNDARY_LEVELS = 4  # levels whose boundaries are counted, from full size; on coarser ones nearly every pixel is near a boundary

_load_features = functools.lru_cache(maxsize=1)(load_features)

protocols = PROTOCOLS
published_files = {
    "ema": "Published *_EMA.pth.",
    "generator": "Published *_G.pth, to resume training.",
    "discriminator": "Published *_D.pth, to resume training.",
}
allowed = fields.ALLOWED
host_fields = HOST_FIELDS
free_model_fields = ("dtype", "remat", "conditioning", "region_share")
fixed_train_fields = ("segmentation_steps",)  # the number of updates of G is the number of steps less these
onnx_options = {
    "conditioning": (("dense", "regions"), "Convolve labels and noise at every pixel, or once for each distinct neighbourhood."),
}


def columns(config):
    """Names of the columns of a training example."""
    return ("image", "label_map", *(("heatmaps",) if config.model.get("spatial_awareness") else ()))


def statistic(config):
    """The function that counts the boundaries of a label map, from which capacities are chosen; None if conditioning is dense."""
    return functools.partial(boundary_counts, levels=BOUNDARY_LEVELS) if on_regions(conditioning(config), config.data.image_size) else None


def train_step(config, survey=None):
    """The TrainStep of a config.

    Args:
        config: ConfigDict; data.num_classes is set.
        survey: `data.survey.Survey` of the training data; without it, conditioning is dense.

    Raises:
        ValueError: a field is out of range or does not fit another.
    """
    check_fields(config, allowed, complete=False)  # configs of older checkpoints lack some fields
    train, loss = config.train, config.loss
    if train.batch_size % loss.balance_groups:
        raise ValueError(
            f"loss.balance_groups={loss.balance_groups} does not divide train.batch_size={train.batch_size}: choose one of its divisors"
        )
    if train.shared_fakes and train.accumulate > 1:
        raise ValueError(f"train.shared_fakes=True needs train.accumulate=1, not {train.accumulate}: reset one of the two to its default")
    if train.get("coarse_steps"):  # older checkpoints lack the fields of short training
        try:
            check_sides(*(side // 2 for side in config.data.image_size), config.model.num_blocks)
        except ValueError as error:
            raise ValueError(f"train.coarse_steps={train.coarse_steps} needs images of half the height and width: {error}") from None
        if train.coarse_steps <= train.get("segmentation_steps", 0):
            raise ValueError(
                f"train.coarse_steps={train.coarse_steps} leaves no step at half the height and width after the first "
                f"train.segmentation_steps={train.segmentation_steps}, which it includes: set a larger number, or 0 for none"
            )
    hyper = Hyperparameters(
        dontcare_id=config.data.dontcare_id,
        balance=loss.balance,
        balance_groups=loss.balance_groups,
        max_weight=loss.get("max_weight", 0),
        segmentation_steps=train.get("segmentation_steps", 0),
        coarse_steps=train.get("coarse_steps", 0),
        labelmix=loss.labelmix,
        perceptual=loss.vgg,
        ema_decay=train.ema_decay,
        ema_warmup=train.get("ema_warmup", False),
        sequential=train.discriminator_schedule == "sequential",
        init_gain=train.init_gain,
        accumulate=train.accumulate,
        shared_fakes=train.shared_fakes,
        refresh_batches=train.ema_refresh_batches,
    )
    over_time = {
        "warmup_steps": train.warmup_steps,
        "half_life": train.get("half_life", 0),
        "linear_decay": in_steps(train.get("linear_decay", ())),
    }
    arguments_g = {"learning_rate": train.lr_g, "skipped": hyper.segmentation_steps, **over_time}
    arguments_d = {"learning_rate": train.lr_d, **over_time}
    return TrainStep(
        generator=make_training_generator(config, survey),
        discriminator=make_discriminator(config),
        optimizer_g=adam_without_momentum(b2=train.adam_b2, eps=train.adam_eps, **arguments_g),
        optimizer_d=adam_without_momentum(b2=train.adam_b2, eps=train.adam_eps, **arguments_d),
        hyper=hyper,
        seed=config.seed,
        features=_load_features(loss.vgg_weights) if loss.vgg else None,
        alignment=make_alignment(config),
        schedules=(("lr_g", functools.partial(rate_in_run, **arguments_g)), ("lr_d", functools.partial(rate_in_run, **arguments_d))),
    )


def of_length(config, num_steps):
    """Sets the fields of a config that are given in shares of a run to the numbers of steps of a run of `num_steps` steps."""
    if "linear_decay" in config.train:
        config.train.linear_decay = in_steps(config.train.linear_decay, num_steps)


def model(config, variables, step, survey=None):
    """The Model to sample from. With the survey of the training data, `generate` computes similar batches on regions."""
    return make_model(config, variables, step, survey)


def previews(model, size):
    """The Previews of a model for images of size (H, W); None if previews would save no time."""
    return Previews(model) if can_preview(model.generator, size) else None


def onnx_model(model, weights, conditioning=None):
    """Returns the model as ONNX.

    Args:
        model: Model.
        weights: format of the stored weights, one of `exporting.stored_weights.FORMATS`.
        conditioning: "dense" or "regions"; by default what sampling on a CPU chooses for images of the training size.

    Returns:
        (onnx.ModelProto, {"conditioning": the value that was used}).

    Raises:
        ImportError: the package onnx is missing.
    """
    if conditioning is None:
        conditioning = "regions" if on_regions(model.conditioning, model.image_size) else "dense"
    graph = to_onnx(model.generator, model.variables, portable(model).arguments, weights, conditioning == "regions")
    return graph, {"conditioning": conditioning}


def scores(config, networks, mesh=None):
    """Metrics: how well the run's own discriminator recovers label maps from generated images, and the disequilibrium indicator.

    Args:
        config: ConfigDict; data.num_classes is set.
        networks: {"discriminator": variables}; None if only the names of the metrics are needed.
        mesh: mesh of this process's devices.
    """
    discriminator = OwnDiscriminator(make_discriminator(config), networks and networks["discriminator"], mesh)
    return [metric(discriminator, config.data.dontcare_id) for metric in (ScoresByDiscriminator, Disequilibrium)]


def published_config(files):
    """Always raises ValueError: the files of a published checkpoint do not say on which data set it was trained."""
    raise ValueError("give --config=FILE, the config of the data set that the networks were trained on: their files do not say which it is")


def attention(config, networks, batch):
    """D's attention as a function of images, with G's adversarial loss as GradCAM's scalar; arguments as in `family.Family.attention`."""
    discriminator, label_map = make_discriminator(config), jnp.asarray(batch["label_map"])
    fixed = {"label_map": label_map, "dontcare_id": config.data.dontcare_id, "mutable": MUTABLE_D}
    return lambda image: attended(discriminator, networks["discriminator"], image, **fixed)


def from_published(config, files):
    """Converts the files of a published checkpoint to our variables: like `from_state_dicts`, but with paths of .pth files."""
    _refuse_half(files)
    return from_state_dicts(config, {name: read_pth(path) for name, path in files.items()})


def _refuse_half(files):
    if ("generator" in files) != ("discriminator" in files):
        raise ValueError("training is resumed from both networks: give --generator and --discriminator, or neither of them to sample only")


def from_state_dicts(config, files):
    """Converts published state dicts to our variables.

    Args:
        config: ConfigDict of the data set that the networks were trained on.
        files: {"ema", and both or neither of "generator" and "discriminator": state dict {name: numpy array} in PyTorch's layout}.

    Returns:
        (variables of the averaged generator; a TrainState at step 0 with fresh optimizer states, or None without the two networks).

    Raises:
        ValueError: only one of the two networks is given, or an entry is missing, unexpected or has a shape that does not match the config.
    """
    _refuse_half(files)
    step = train_step(config)
    template = jax.eval_shape(functools.partial(step.init, tuple(config.data.image_size)))

    def fill(name):
        hint = "Is --config that of the data set it was trained on?"
        return filled(getattr(template, name), files[name], from_state_dict, f"--{name}", hint)

    ema = fill("ema")
    if "generator" not in files:
        return ema, None
    return ema, create_state(fill("generator"), fill("discriminator"), step.optimizer_g, step.optimizer_d, ema)
