"""Laws of the compiler's options."""
import types

import jax
import jax.numpy as jnp
import pytest

from oasis_jax import compiler, sampling
from oasis_jax.parallel.mesh import make_mesh
from oasis_jax.training.step import compile_step


def device(platform, kind):
    return types.SimpleNamespace(platform=platform, device_kind=kind)


def test_only_a_tpu_has_options_and_only_one_with_room_a_larger_limit():
    assert compiler.options(jax.devices("cpu")[0]) == compiler.options(device("gpu", "NVIDIA H100 80GB HBM3")) == {}
    assert compiler.options(device("tpu", "TPU v4")) == compiler.TPU
    assert compiler.options(device("tpu", "TPU v5 lite")).keys() == compiler.TPU.keys() | compiler.LARGE_MEMORY.keys()


def test_a_step_and_a_sample_ask_for_the_options_of_their_devices(monkeypatch):
    """The CPU's compiler refuses options that it does not know, so an option for TPUs cannot reach it unnoticed."""
    mesh, inputs = make_mesh(jax.devices()[:1]), {"batch": jnp.ones((1, 2))}

    def step(state, batch):
        return state, batch

    compile_step(step, mesh, jnp.ones(()), inputs)
    sampling.generate(lambda variables, inputs: inputs["batch"], jnp.ones(()), inputs)
    monkeypatch.setattr(compiler, "options", lambda device: compiler.TPU)
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_tpu"):
        compile_step(step, mesh, jnp.ones(()), inputs)
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_tpu"):
        sampling.generate(lambda variables, inputs: inputs["batch"], jnp.ones(()), inputs)
