"""The dtypes of activations, and of sums over them."""
import jax
import jax.numpy as jnp

from oasis_jax import target


def compute_dtype(name):
    """The dtype that `model.dtype` names; "auto" is bfloat16 on TPU and GPU and float32 on CPU.

    Raises:
        ValueError: the name is unknown, or it is float64 and JAX has it disabled.
    """
    if name == "auto":
        return jnp.float32 if target.platform() == "cpu" else jnp.bfloat16
    if name == "float64" and not jax.config.jax_enable_x64:
        raise ValueError("model.dtype=float64 needs the environment variable JAX_ENABLE_X64=1")
    dtypes = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float64": jnp.float64}
    if name not in dtypes:
        raise ValueError(f"model.dtype={name} is not one of auto, {', '.join(dtypes)}")
    return dtypes[name]


def wide(dtype):
    """Dtype in which values of a dtype are accumulated: float32 or wider."""
    return jnp.promote_types(dtype, jnp.float32)
