"""Models as StableHLO by `jax.export`: one file for CPU, GPU and TPU, which JAX alone runs."""
import jax
import jax.numpy as jnp

from oasis_jax.exporting.stored_weights import stored
from oasis_jax.ranges import to_bytes

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(portable, variables, weights="float32"):
    """Compiles a model into StableHLO, its weights inside.

    Args:
        portable: Portable. Sides that it names by letters stay free, with its multiples.
        variables: of the model.
        weights: of `stored_weights.FORMATS`.

    Returns:
        bytes for `jax.export.deserialize`, whose `call` takes the arrays of the portable by position and returns uint8 (H, W, 3).

    Raises:
        ImportError: the package flatbuffers is missing.
    """
    import flatbuffers  # noqa: F401  what jax.export needs to write; better known before compiling

    constants, restored = stored(jax.device_get(variables), weights)

    def image(*arrays):
        named = dict(zip(portable.arguments, arrays, strict=True))
        # Behind the barrier, XLA takes them for arguments: it would compute for minutes, when it compiles, what depends on weights alone.
        behind = jax.lax.optimization_barrier(jax.tree.map(jnp.asarray, constants))
        return to_bytes(portable.generate(restored(behind), named))

    exported = jax.export.export(jax.jit(image), platforms=PLATFORMS)(*_arguments(portable))
    return bytes(exported.serialize())


def _arguments(portable):
    """jax.ShapeDtypeStructs with symbolic sides: "H" with the multiple 8 is 8*H', so that all that follows divides."""
    scope = jax.export.SymbolicScope()

    def side(value):
        unit = portable.sizes.get(value, 1)
        return value if isinstance(value, int) else jax.export.symbolic_shape(f"{unit}*{value.lower()}", scope=scope)[0]

    return [jax.ShapeDtypeStruct(tuple(map(side, each.shape)), each.dtype) for each in portable.arguments.values()]
