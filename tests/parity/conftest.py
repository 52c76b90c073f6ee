"""Fixtures that run a golden case in several precisions and forms of the generator."""
import jax
import jax.numpy as jnp
import pytest


@pytest.fixture(params=["f64", "f32"])
def precision(request):
    with jax.enable_x64(request.param == "f64"), jax.default_matmul_precision("highest"):
        yield request.param


@pytest.fixture(params=["dense", "regions"])
def on_regions(request, precision):
    """Whether every level of the generator must compute on regions. Checked only in float64, where rounding errors hide no mistake."""
    if request.param == "regions" and precision == "f32":
        pytest.skip("checked in float64")
    return request.param == "regions"


@pytest.fixture(params=["f64", "f32"])
def dtype(request):
    """Float64 or float32; matrix products have full precision."""
    with jax.enable_x64(request.param == "f64"), jax.default_matmul_precision("highest"):
        yield jnp.float64 if request.param == "f64" else jnp.float32
