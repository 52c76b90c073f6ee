"""Precisions and ways of computing in which golden cases are checked."""
import jax
import pytest


@pytest.fixture(params=["f64", "f32"])
def precision(request):
    with jax.enable_x64(request.param == "f64"), jax.default_matmul_precision("highest"):
        yield request.param


@pytest.fixture(params=["dense", "regions"])
def on_regions(request, precision):
    """Whether every level of the generator is forced onto regions, which is checked in float64, where rounding hides nothing."""
    if request.param == "regions" and precision == "f32":
        pytest.skip("checked in float64")
    return request.param == "regions"
