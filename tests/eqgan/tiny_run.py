"""A run folder of a tiny, untrained EqGAN-SA, for tests that sample from it."""
import functools

import jax
import numpy as np

from configs import eqgan
from oasis_jax.checkpoint import Checkpoints
from oasis_jax.eqgan import family

NUM_STYLES = 6


def tiny_config(variant="", **model):
    """Returns a config for 16x16 images with few channels; keyword arguments override fields of config.model."""
    config = eqgan.get_config(variant)
    config.data.image_size = (16, 16)
    config.model.update(channel_base=64, channel_max=8, z_dim=8, w_dim=8, mapping_layers=2, sel_hidden=4, encoder_features=4)
    config.model.update(mbstd_group_size=4, **model)
    config.train.batch_size = 4
    return config


@functools.cache
def _variables(variant):
    """Returns random variables with which, unlike those of a fresh generator, noise, heatmaps and truncation change the images."""
    config, rng = tiny_config(variant), np.random.default_rng(0)

    def fill(path, leaf):
        name = getattr(path[-1], "key", "")
        if name == "noise_strength":
            return np.full(leaf.shape, 0.5, leaf.dtype)
        return rng.normal(0, {"w_avg": 0.5, "bias": 0.1}.get(name, 1), leaf.shape).astype(leaf.dtype)

    shapes = jax.eval_shape(lambda: family.train_step(config).init(config.data.image_size)).ema
    return jax.tree_util.tree_map_with_path(fill, shapes)


def save_run(workdir, variant="", **model):
    """Writes a checkpoint of step 5."""
    with Checkpoints(workdir, keep=1, score_name="score", higher_is_better=True) as checkpoints:
        checkpoints.save(5, None, _variables(variant), tiny_config(variant, **model).to_dict())
