"""EqGAN-SA as a model family: a `family.Family`."""
import functools

import jax
import jax.numpy as jnp

from oasis_jax.eqgan.from_config import make_discriminator, make_generator, make_train_step
from oasis_jax.eqgan.model import Model
from oasis_jax.eqgan.protocols import PROTOCOLS
from oasis_jax.eqgan.protocols import default_protocol as default_protocol
from oasis_jax.eqgan.published import discriminator_from_state_dict, generator_from_state_dict
from oasis_jax.eqgan.scores import Disequilibrium
from oasis_jax.eqgan.snapshots import read_snapshot
from oasis_jax.eqgan.train_step import PATH_LENGTH
from oasis_jax.updates import create_state

protocols = PROTOCOLS
published_files = {"pkl": "Published snapshot *.pkl of EqGAN-SA, or of StyleGAN2-ADA in PyTorch."}
free_model_fields = ("dtype", "remat", "noise")


def columns(config):
    """What a training example holds."""
    return ("image", *(("heatmaps",) if config.model.spatial_awareness else ()))


def statistic(config):
    """Nothing is measured of label maps."""
    return None


def train_step(config, survey=None):
    """The TrainStep of a config; raises ValueError for fields that are out of range or do not fit each other."""
    return make_train_step(config)


def model(config, variables, step, survey=None):
    """The Model to sample from."""
    return Model(make_generator(config), variables, config, step, config.model.noise)


def scores(config, networks, mesh=None):
    """The disequilibrium indicator, with the mean logits that it is the difference of.

    Args:
        config: ConfigDict.
        networks: {"discriminator": variables}; None for metrics that only have names.
        mesh: of this process's devices.
    """
    return [Disequilibrium(make_discriminator(config).clone(groups=1), networks and networks["discriminator"], mesh)]
