"""The train state of a run, and one optimiser update of one network."""
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import export

from oasis_jax.axes import on_every_device

# Named scopes that say what the operations of a compiled program are for: `planning.parts` reads them. Those of an update are called
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


# With this and the registrations below, `jax.export` can store what the step takes and returns (`training.kept_step`).
export.register_pytree_node_serialization(
    TrainState, serialized_name="oasis_jax.TrainState", serialize_auxdata=lambda _: b"", deserialize_auxdata=lambda _: ()
)


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


def descend(loss, params, optimizer, opt_state, batch=(), parts=1):
    """One optimiser update, with the gradient of a loss as its mean over parts of a batch.

    Args:
        loss: (params, *batch) -> (scalar, auxiliary output).
        params: pytree.
        optimizer: optax transformation.
        opt_state: its state.
        batch: as in `over_parts`.
        parts: number of parts, computed one after the other; activations are held for one part at a time.

    Returns:
        (new params, new opt_state, auxiliary output of the loss).
    """
    gradient = jax.value_and_grad(loss, has_aux=True)
    (_, aux), gradients = over_parts(lambda *part: gradient(params, *part), batch, parts)
    with jax.named_scope(OPTIMIZER):
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return on_every_device(optax.apply_updates(params, updates)), opt_state, aux


def now_and_then(interval):
    """The named scope for a `lax.cond` that is true in every `interval`-th step: the program then says how often the branch is taken."""
    return jax.named_scope(f"{INTERVAL}{interval}")


def over_parts(function, batch, parts):
    """The mean of a function over parts of a batch.

    Args:
        function: (*batch) -> pytree of arrays.
        batch: sequence of pytrees of arrays (B, ...). Part i gets the examples i, i + parts, ..., so that it is spread over all devices
            that hold the batch. Scalars are the same for all parts.
        parts: number of parts, a divisor of B.
    """
    if parts == 1:
        return function(*batch)

    def add(total, part):
        return jax.tree.map(lambda a, b: a + b / parts, total, function(*part)), None

    of_parts = _cut(batch, parts)
    shapes = jax.eval_shape(function, *jax.tree.map(lambda leaf: leaf[0], of_parts))
    return jax.lax.scan(add, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes), of_parts)[0]


def in_parts(function, batch, parts):
    """Applies a function to parts of a batch: joins the arrays that it returns in the order of the batch, and averages its other outputs.

    Args:
        function: (*batch) -> (array (B, ...), pytree).
        batch, parts: as in `over_parts`.
    """
    if parts == 1:
        return function(*batch)
    joined, others = jax.lax.map(lambda part: function(*part), _cut(batch, parts))
    return joined.swapaxes(0, 1).reshape(-1, *joined.shape[2:]), jax.tree.map(lambda leaf: leaf.mean(0), others)


def _cut(batch, parts):
    def cut(leaf):
        leaf = jnp.asarray(leaf)
        if not leaf.ndim:
            return jnp.broadcast_to(leaf, (parts,))
        return leaf.reshape(-1, parts, *leaf.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(cut, batch)


def adam_without_momentum(learning_rate, b2=0.999, eps=1e-8, **over_time):
    """Adam with beta1 = 0: no memory is spent on a first moment that equals the gradient.

    Args:
        learning_rate: float.
        b2: decay of the second moments.
        eps: added to their square root.
        over_time: arguments of `rate_at`; the published recipe has none.
    """
    return optax.chain(
        optax.scale_by_rms(decay=b2, eps=eps, eps_in_sqrt=False, bias_correction=True),
        # A schedule even for a constant rate: a run may be resumed with another rate, so the state must have the same structure.
        optax.scale_by_learning_rate(lambda count: rate_at(count, learning_rate, **over_time)),
    )


for _state in jax.eval_shape(adam_without_momentum(0.0).init, {}):  # computes nothing: processes have not been joined yet
    export.register_namedtuple_serialization(type(_state), serialized_name=f"optax.{type(_state).__name__}")


def rate_at(count, learning_rate, warmup_steps=0, half_life=0, linear_decay=(), skipped=0):
    """The learning rate of the update after `count` updates of a network.

    Args:
        count: number of updates.
        learning_rate: float.
        warmup_steps: number of updates over which it rises linearly.
        half_life: number of steps of the run after which it halves, repeatedly; 0 for no halving.
        linear_decay: (first, last), the steps of the run between which it falls linearly to zero, where it stays; () for none.
        skipped: number of first steps of the run that do not update the network.
    """
    done = jnp.asarray(count + 1, jnp.result_type(float))  # a divided integer would be float32, and so would the rate, even with x64
    rate = learning_rate * jnp.minimum(1.0, done / max(warmup_steps, 1))
    done = done + skipped
    if half_life:
        rate = rate * jnp.exp2(-done / half_life)
    if linear_decay:
        first, last = linear_decay
        rate = rate * jnp.clip((last - done) / (last - first), 0.0, 1.0)
    return rate


def in_steps(linear_decay, num_steps=0):
    """The argument `linear_decay` of `rate_at`, from steps or from shares of a run.

    Args:
        linear_decay: (first, last): steps, or shares in 0..1 of the run's steps; () for none.
        num_steps: number of steps of the run. If it is unknown (0), or too small for the rates to fall, shares stand for no decay.
    """
    if not linear_decay or max(linear_decay) > 1:
        return tuple(linear_decay)
    first, last = (round(share * num_steps) for share in linear_decay)
    return (first, last) if last - first > 1 else ()


def rate_in_run(step, learning_rate, skipped=0, **over_time):
    """The learning rate after `step` steps of a run: 0 in the first `skipped` steps, then as in `rate_at`, which has the arguments."""
    return jnp.where(step < skipped, 0.0, rate_at(step - skipped, learning_rate, skipped=skipped, **over_time))
