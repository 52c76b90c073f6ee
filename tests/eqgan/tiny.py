"""EqGAN-SA at 16x16 with few channels, for tests."""
import jax
import jax.numpy as jnp
import numpy as np

from configs import eqgan_scenes
from oasis_jax import heatmaps
from oasis_jax.eqgan.alignment import Alignment
from oasis_jax.eqgan.discriminator import Discriminator
from oasis_jax.eqgan.generator import Generator
from oasis_jax.eqgan.train_step import Hyperparameters, TrainStep
from oasis_jax.updates import adam_without_momentum

SIDE = 16
WIDTHS = {"channel_base": 64, "channel_max": 8}
GENERATOR = Generator(SIDE, **WIDTHS, z_dim=8, w_dim=8, mapping_layers=2, sel_hidden=4, encoder_features=4)
DISCRIMINATOR = Discriminator(SIDE, **WIDTHS, group_size=4)


def tiny_config(variant="", **fields):
    """Returns the config of a run on 8 scenes; `section__name` overrides a field."""
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
    """Returns variables of a module, all random, also the biases and noise strengths that it initialises to zero."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    leaves, structure = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    dtype = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    drawn = (jax.random.normal(key, (leaf.size,), dtype).reshape(leaf.shape) for key, leaf in zip(keys, leaves, strict=True))
    return jax.tree.unflatten(structure, drawn)


def tiny_step(**hyper):
    """Returns a TrainStep; keyword arguments are fields of its Hyperparameters."""
    dtype = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    return TrainStep(
        generator=GENERATOR.clone(dtype=dtype),
        discriminator=DISCRIMINATOR.clone(dtype=dtype),
        optimizer_g=adam_without_momentum(2e-3, 0.99),
        optimizer_d=adam_without_momentum(2e-3, 0.99),
        hyper=Hyperparameters(ema_images=20.0, **hyper),
        alignment=Alignment(),
    )


def batch_of(size, seed=0):
    """A random batch of `size` examples."""
    given = [[heatmaps.of_seed(1000 * seed + 2 * i + update) for update in range(2)] for i in range(size)]
    image = np.random.default_rng(seed).integers(0, 256, (size, SIDE, SIDE, 3), np.uint8)
    return {"image": image, "heatmaps": np.asarray(given, np.float32)}
