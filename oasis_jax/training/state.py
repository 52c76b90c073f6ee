"""Everything that a training run must remember, as one pytree."""
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax


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


def adam_without_momentum(learning_rate, b2=0.999, eps=1e-8):
    """Adam with beta1 = 0: the update of Adam, without memory for a first moment that equals the gradient."""
    return optax.chain(
        optax.scale_by_rms(decay=b2, eps=eps, eps_in_sqrt=False, bias_correction=True),
        optax.scale_by_learning_rate(learning_rate),
    )


def create_state(generator, discriminator, optimizers, image_size, seed):
    """A fresh state; a pure function of the seed, to be jitted with the shardings that the state shall have.

    Args:
      generator: Generator module.
      discriminator: Discriminator module.
      optimizers: (of G, of D).
      image_size: (H, W).
      seed: integer.
    """
    key_g, key_d = jax.random.split(jax.random.key(seed))
    labels = jnp.zeros((1, *image_size), jnp.int32)
    noise = jnp.zeros((1, generator.z_dim)) if generator.z_dim else None
    variables_g = generator.init(key_g, labels, noise)
    variables_d = discriminator.init(key_d, jnp.zeros((1, *image_size, 3)))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        generator=variables_g,
        discriminator=variables_d,
        ema=jax.tree.map(jnp.copy, variables_g),
        opt_state_g=optimizers[0].init(variables_g["params"]),
        opt_state_d=optimizers[1].init(variables_d["params"]),
    )
