"""What a training run must remember, and one optimiser update of one network."""
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

# Scopes by which a compiled program says what its operations are for: `planning.parts` reads them. Those of an update are called
# update_NETWORK or regularise_NETWORK.
OPTIMIZER, AVERAGE, INTERVAL = "optimizer", "average", "every_"


@flax.struct.dataclass
class TrainState:
    """The state of a run of two networks after `step` updates; a pytree.

    Attributes:
        step: () int32, number of updates.
        generator: variables of G, {"params", and collections that are not trained}.
        discriminator: variables of D, likewise.
        ema: exponential moving average of `generator`.
        opt_state_g: optimizer state of G's params.
        opt_state_d: optimizer state of D's params.
    """

    step: jax.Array
    generator: Any
    discriminator: Any
    ema: Any
    opt_state_g: Any
    opt_state_d: Any


def create_state(generator, discriminator, optimizer_g, optimizer_d, ema=None):
    """The TrainState at step 0, with fresh optimizer states.

    Args:
        generator, discriminator: variables.
        optimizer_g, optimizer_d: optax transformations.
        ema: variables of the averaged generator; by default those of `generator`.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        generator=generator,
        discriminator=discriminator,
        ema=jax.tree.map(jnp.copy, generator) if ema is None else ema,
        opt_state_g=optimizer_g.init(generator["params"]),
        opt_state_d=optimizer_d.init(discriminator["params"]),
    )


def descend(loss, params, optimizer, opt_state):
    """One optimiser update.

    Args:
        loss: params -> (scalar, auxiliary output).
        params: pytree.
        optimizer: optax transformation.
        opt_state: its state.

    Returns:
        (new params, new opt_state, auxiliary output of the loss).
    """
    (_, aux), gradients = jax.value_and_grad(loss, has_aux=True)(params)
    with jax.named_scope(OPTIMIZER):
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, aux


def now_and_then(interval):
    """Names the scope of a `lax.cond` that is true in every `interval`-th step, so that a program says how often its branches are taken."""
    return jax.named_scope(f"{INTERVAL}{interval}")


def adam_without_momentum(learning_rate, b2=0.999, eps=1e-8, warmup_steps=0):
    """Adam with beta1 = 0: no memory is spent on a first moment that equals the gradient.

    Args:
        learning_rate: float.
        b2: decay of the second moments.
        eps: added to their root.
        warmup_steps: of `rate_at`; the published recipe has none.
    """
    return optax.chain(
        optax.scale_by_rms(decay=b2, eps=eps, eps_in_sqrt=False, bias_correction=True),
        # A schedule with and without warm-up: a run may be resumed with another one, so the state must have the same structure.
        optax.scale_by_learning_rate(lambda count: rate_at(count, learning_rate, warmup_steps)),
    )


def rate_at(count, learning_rate, warmup_steps):
    """The learning rate after `count` steps: it rises linearly over `warmup_steps`, then stays at `learning_rate`."""
    done = jnp.asarray(count + 1, jnp.result_type(float))  # an integer divided would be float32, and the rate with it, even where x64 is on
    return learning_rate * jnp.minimum(1.0, done / max(warmup_steps, 1))
