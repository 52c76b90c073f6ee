"""Everything that a training run must remember, as one pytree."""
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from oasis_jax.heatmaps import NUM_MAPS
from oasis_jax.models.layers import KERNEL_GAIN, kernel_scale


@flax.struct.dataclass
class TrainState:
    """State of a run after `step` updates.

    Attributes:
      step: () int32, the number of updates done.
      generator: variables of G: "params", "batch_stats" (running statistics), "spectral_norm" (singular vectors).
      discriminator: variables of D: "params", "spectral_norm".
      ema: exponential moving average of every entry of `generator`.
      opt_state_g: second moments of G's parameters.
      opt_state_d: second moments of D's parameters.
    """

    step: jax.Array
    generator: Any
    discriminator: Any
    ema: Any
    opt_state_g: Any
    opt_state_d: Any


def adam_without_momentum(learning_rate, b2=0.999, eps=1e-8, warmup_steps=0):
    """Adam with beta1 = 0: the update of Adam, without memory for a first moment that equals the gradient.

    With `warmup_steps`, the rate is that of `rate_at`; the published recipe has none.
    """
    return optax.chain(
        optax.scale_by_rms(decay=b2, eps=eps, eps_in_sqrt=False, bias_correction=True),
        # A schedule with and without warm-up: a run may go on with another one, so the state must have the same form.
        optax.scale_by_learning_rate(lambda count: rate_at(count, learning_rate, warmup_steps)),
    )


def rate_at(count, learning_rate, warmup_steps):
    """The learning rate after `count` steps: `learning_rate`, to which the first `warmup_steps` rise linearly."""
    done = jnp.asarray(count + 1, jnp.result_type(float))  # an integer divided would be float32, and the rate with it, even where x64 is on
    return learning_rate * jnp.minimum(1.0, done / max(warmup_steps, 1))


def create_state(generator, discriminator, optimizers, image_size, seed, gain=KERNEL_GAIN):
    """A fresh state; a pure function of the seed, to be jitted with the shardings that the state shall have.

    Args:
      generator: Generator module.
      discriminator: Discriminator module.
      optimizers: (of G, of D).
      image_size: (H, W).
      seed: integer.
      gain: of the Xavier-normal kernels.
    """
    key_g, key_d = jax.random.split(jax.random.key(seed))
    labels = jnp.zeros((1, *image_size), jnp.int32)
    noise = jnp.zeros((1, generator.z_dim)) if generator.z_dim else None
    heatmaps = jnp.ones((1, NUM_MAPS, 3)) if generator.spatially_aware else None
    variables_g = initial_variables(generator, gain, key_g, labels, noise, heatmaps)
    variables_d = initial_variables(discriminator, gain, key_d, jnp.zeros((1, *image_size, 3)))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        generator=variables_g,
        discriminator=variables_d,
        ema=jax.tree.map(jnp.copy, variables_g),
        opt_state_g=optimizers[0].init(variables_g["params"]),
        opt_state_d=optimizers[1].init(variables_d["params"]),
    )


def initial_variables(module, gain, key, *inputs):
    """As module.init but for the gain, and with one draw for the Xavier-normal kernels of all layers: XLA compiles each for as long as a
    convolution."""
    fresh, tree = jax.tree_util.tree_flatten_with_path(module.init(key, *inputs)["params"])
    kernels = [leaf.size if path[-1].key == "kernel" else 0 for path, leaf in fresh]
    drawn = jnp.split(jax.random.normal(key, (sum(kernels),)), np.cumsum(kernels)[:-1])
    leaves = [
        kernel_scale(leaf.shape, gain) * values.reshape(leaf.shape) if values.size else leaf
        for (_, leaf), values in zip(fresh, drawn, strict=True)
    ]
    params = jax.tree.unflatten(tree, leaves)
    _, statistics = module.apply({"params": params}, *inputs, mutable=["batch_stats", "spectral_norm"])
    return {"params": params, **statistics}
