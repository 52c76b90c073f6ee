"""Exports models as StableHLO with `jax.export`: one file for CPU, GPU and TPU, which runs in JAX only."""
import jax
import jax.numpy as jnp

from oasis_jax.exporting.stored_weights import stored
from oasis_jax.ranges import to_bytes

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(portable, variables, weights="float32"):
    """Lowers a model to StableHLO, with its weights inside.

    Args:
        portable: Portable. Sizes that are letters become symbolic, with the multiples in its `sizes`.
        variables: the model's variables.
        weights: one of `stored_weights.FORMATS`.

    Returns:
        bytes for `jax.export.deserialize`, whose `call` takes the arrays of the portable by position and returns uint8 (H, W, 3).

    Raises:
        ImportError: the package flatbuffers is missing.
    """
    import flatbuffers  # noqa: F401  jax.export needs it to serialise; fail before the slow part

    constants, restored = stored(jax.device_get(variables), weights)

    def image(*arrays):
        named = dict(zip(portable.arguments, arrays, strict=True))
        # Behind the barrier, XLA treats the weights as arguments; otherwise constant folding would take minutes when it compiles.
        behind = jax.lax.optimization_barrier(jax.tree.map(jnp.asarray, constants))
        return to_bytes(portable.generate(restored(behind), named))

    exported = jax.export.export(jax.jit(image), platforms=PLATFORMS)(*_arguments(portable))
    return bytes(exported.serialize())


def _arguments(portable):
    """jax.ShapeDtypeStructs with symbolic sizes: "H" with the multiple 8 is 8*h, so that it is known to be divisible by 8."""
    scope = jax.export.SymbolicScope()

    def side(value):
        unit = portable.sizes.get(value, 1)
        return value if isinstance(value, int) else jax.export.symbolic_shape(f"{unit}*{value.lower()}", scope=scope)[0]

    return [jax.ShapeDtypeStruct(tuple(map(side, each.shape)), each.dtype) for each in portable.arguments.values()]
