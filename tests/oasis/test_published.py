"""Laws of reading and writing published state dicts."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.oasis.discriminator import Discriminator
from oasis_jax.oasis.generator import Generator
from oasis_jax.oasis.published import from_state_dict, to_state_dict


def random_variables(module, *inputs):
    """Variables of the module's shapes, filled with random numbers."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, dtype=np.float32), shapes)


GENERATOR = random_variables(
    Generator(num_classes=4, channels=2, spade_hidden=3, z_dim=2), jnp.zeros((1, 32, 32), jnp.int32), jnp.zeros((1, 2))
)
DISCRIMINATOR = random_variables(Discriminator(num_classes=4, channels=(2, 2, 3, 3, 4, 4), last=2), jnp.zeros((1, 64, 64, 3)))


def assert_equal_trees(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("variables", [GENERATOR, DISCRIMINATOR], ids=["G", "D"])
def test_reading_undoes_writing(variables):
    assert_equal_trees(from_state_dict(to_state_dict(variables), variables), variables)


def test_kernels_are_transposed_and_v_follows_them():
    state_dict = to_state_dict(GENERATOR)
    kernel, vectors = GENERATOR["params"]["block_0"]["conv_0"]["kernel"], GENERATOR["spectral_norm"]["block_0"]["conv_0"]
    weight = state_dict["body.0.conv_0.weight_orig"]
    np.testing.assert_array_equal(weight, kernel.transpose(3, 2, 0, 1))
    sigma = state_dict["body.0.conv_0.weight_u"] @ weight.reshape(len(weight), -1) @ state_dict["body.0.conv_0.weight_v"]
    np.testing.assert_allclose(sigma, vectors["v"] @ kernel.reshape(-1, len(weight)) @ vectors["u"], rtol=1e-4)


def test_prefix_of_data_parallel_and_counts_of_batches_are_tolerated():
    state_dict = {f"module.{name}": array for name, array in to_state_dict(GENERATOR).items()}
    state_dict["module.body.0.norm_0.first_norm.num_batches_tracked"] = np.array(7)
    assert_equal_trees(from_state_dict(state_dict, GENERATOR), GENERATOR)


def test_missing_v_is_the_one_that_belongs_to_u():
    state_dict = {name: array for name, array in to_state_dict(DISCRIMINATOR).items() if not name.endswith("weight_v")}
    read = from_state_dict(state_dict, DISCRIMINATOR)
    kernel, vectors = read["params"]["encoder_1"]["conv_0"]["kernel"], read["spectral_norm"]["encoder_1"]["conv_0"]
    expected = kernel.reshape(-1, kernel.shape[-1]) @ vectors["u"]
    np.testing.assert_allclose(vectors["v"], expected / np.linalg.norm(expected), rtol=1e-5, atol=1e-6)


def test_one_error_names_all_faults():
    state_dict = to_state_dict(GENERATOR)
    del state_dict["fc.bias"], state_dict["conv_img.weight"]
    state_dict["body.9.conv_0.bias"] = np.zeros(2)
    state_dict["body.0.conv_0.bias"] = np.zeros(1)
    with pytest.raises(ValueError) as error:
        from_state_dict(state_dict, GENERATOR)
    for fault in (
        "missing conv_img.weight",
        "missing fc.bias",
        "unexpected body.9.conv_0.bias",
        "body.0.conv_0.bias gives (1,), but params/block_0/conv_0/bias is (32,)",
    ):
        assert fault in str(error.value)
