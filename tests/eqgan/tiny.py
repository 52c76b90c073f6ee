"""EqGAN-SA at 16x16 with few channels, for tests."""
import jax
import jax.numpy as jnp

from configs import eqgan_scenes
from oasis_jax.eqgan.discriminator import Discriminator
from oasis_jax.eqgan.generator import Generator

SIDE = 16
WIDTHS = {"channel_base": 64, "channel_max": 8}
GENERATOR = Generator(SIDE, **WIDTHS, z_dim=8, w_dim=8, mapping_layers=2, sel_hidden=4, encoder_features=4)
DISCRIMINATOR = Discriminator(SIDE, **WIDTHS, group_size=4)


def tiny_config(variant="", **fields):
    """A run on 8 scenes; `section__name` overrides a field."""
    config = eqgan_scenes.get_config(variant)
    config.data.update(image_size=(SIDE, SIDE), scenes_train=8, scenes_val=4)
    config.model.update(**WIDTHS, z_dim=8, w_dim=8, mapping_layers=2, sel_hidden=4, encoder_features=4, dtype="float32")
    config.train.update(batch_size=8, num_steps=6, max_minutes=0.0)
    config.log.update(every_steps=2, images_every_steps=3)
    config.eval.update(batch_size=8, max_examples=8)
    config.checkpoint.every_steps = 3
    for name, value in fields.items():
        section, field = name.split("__")
        config[section][field] = value
    return config


def random_variables(module, *inputs, seed=0):
    """Variables of a module's shapes, all random: biases and strengths of noise, which begin at zero, too."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    leaves, structure = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    dtype = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    drawn = (jax.random.normal(key, (leaf.size,), dtype).reshape(leaf.shape) for key, leaf in zip(keys, leaves, strict=True))
    return jax.tree.unflatten(structure, drawn)
