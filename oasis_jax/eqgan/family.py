"""EqGAN-SA as a model family: a `family.Family`."""
import functools

import jax
import jax.numpy as jnp

from oasis_jax.allowed import check_fields
from oasis_jax.config_flag import flat
from oasis_jax.eqgan import fields
from oasis_jax.eqgan.alignment import attended
from oasis_jax.eqgan.arguments import described_fields
from oasis_jax.eqgan.exported import portable as portable
from oasis_jax.eqgan.from_config import make_generator, make_scoring_discriminator, make_train_step
from oasis_jax.eqgan.model import Model
from oasis_jax.eqgan.protocols import PROTOCOLS
from oasis_jax.eqgan.protocols import default_protocol as default_protocol
from oasis_jax.eqgan.published import discriminator_from_state_dict, generator_from_state_dict
from oasis_jax.eqgan.scores import Disequilibrium
from oasis_jax.eqgan.snapshots import read_snapshot
from oasis_jax.eqgan.train_step import PATH_LENGTH
from oasis_jax.fields import HOST_FIELDS
from oasis_jax.state_dicts import filled
from oasis_jax.updates import create_state

protocols = PROTOCOLS
published_files = {"pkl": "Published snapshot *.pkl of EqGAN-SA, or of StyleGAN2-ADA in PyTorch; it says which model it holds."}
allowed = fields.ALLOWED
host_fields = HOST_FIELDS
free_model_fields = ("dtype", "remat", "noise", "mbstd_groups")
fixed_train_fields = ("ema_ramp",)  # a ramp that is switched on soon after a conversion replaces the converted average


def columns(config):
    """Names of the columns of a training example."""
    return ("image", *(("heatmaps",) if config.model.spatial_awareness else ()))


def statistic(config):
    """None: no statistic of the training data is needed."""
    return None


def train_step(config, survey=None):
    """The TrainStep of a config; raises ValueError for fields that are out of range or do not fit together."""
    check_fields(config, allowed, complete=False)  # configs of older checkpoints lack some fields
    return make_train_step(config)


def model(config, variables, step, survey=None):
    """The Model to sample from."""
    return Model(make_generator(config), variables, config, step, config.model.noise)


def scores(config, networks, mesh=None):
    """The disequilibrium indicator, and the two mean logits whose difference it is.

    Args:
        config: ConfigDict.
        networks: {"discriminator": variables}; None if only the names of the metrics are needed.
        mesh: mesh of this process's devices.
    """
    return [Disequilibrium(make_scoring_discriminator(config), networks and networks["discriminator"], mesh)]


def attention(config, networks, batch):
    """D's attention as a function of images, with G's adversarial loss as GradCAM's scalar; arguments as in `family.Family.attention`."""
    return functools.partial(attended, make_scoring_discriminator(config), networks["discriminator"])


def published_config(files):
    """The config for a published snapshot: the architecture of the snapshot, and otherwise the published recipe.

    Args:
        files: {"pkl": path}.

    Raises:
        ValueError: the file is not a snapshot, or its architecture is not supported.
    """
    described = _described(files, read_snapshot(files["pkl"]))
    config = fields.default_config()
    config.update_from_flattened_dict(described)
    group = config.model.mbstd_group_size
    groups = max(config.train.batch_size // group, 1)  # the published system computes the statistics of each group on its own device
    config.train.batch_size = config.eval.batch_size = group * groups
    config.model.mbstd_groups = config.loss.align_groups = groups
    return config.lock()


def from_published(config, files):
    """Converts a published snapshot of EqGAN-SA, or of StyleGAN2-ADA with a residual discriminator, to our variables.

    The images that the published EqGAN-SA program generates for its seeds cannot be reproduced, because it draws heatmaps from an unseeded
    random generator. Its latents come from numpy's RandomState(seed), not from a seed as defined here; `Model.sample` takes them as z.

    Args:
        config: ConfigDict; its architecture is that of the snapshot.
        files: {"pkl": path}.

    Returns:
        (variables of the averaged generator, a TrainState at step 0 with fresh optimizer states), float32.

    Raises:
        ValueError: the file is not a snapshot, the architecture of its networks is not supported or differs from that of the config, or
            the config has a `train.ema_ramp`.
    """
    if ramp := config.train.ema_ramp:
        raise ValueError(f"train.ema_ramp={ramp} would begin a new average, and lose that of the snapshot: give --config.train.ema_ramp=0")
    networks = read_snapshot(files["pkl"])
    given = flat(config)
    for field, value in _described(files, networks).items():
        found = tuple(given[field]) if isinstance(value, tuple) else given[field]
        if found != value:
            raise ValueError(f"{field} is {found} in --config, but {value} in --pkl={files['pkl']}: set it, or leave out --config")
    made = train_step(config)
    template = jax.eval_shape(functools.partial(made.init, tuple(config.data.image_size)))

    def fill(name, template, from_state_dict):
        hint = "These are not the arrays of the architecture that the file says it has."
        return filled(template, networks[name].arrays, from_state_dict, f"--pkl={files['pkl']}: {name}", hint)

    def fill_generator(name, template):
        start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), template[PATH_LENGTH])  # snapshots do not hold it
        of_network = {collection: leaves for collection, leaves in template.items() if collection != PATH_LENGTH}
        return fill(name, of_network, generator_from_state_dict) | {PATH_LENGTH: start}

    generator, ema = fill_generator("G", template.generator), fill_generator("G_ema", template.ema)
    discriminator = fill("D", template.discriminator, discriminator_from_state_dict)
    return ema, create_state(generator, discriminator, made.optimizer_g, made.optimizer_d, ema)


def _described(files, networks):
    try:
        return described_fields(networks)
    except ValueError as error:
        raise ValueError(f"--pkl={files['pkl']}: {error}") from None
