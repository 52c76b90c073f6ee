"""InceptionFID equals the published network on recipe weights (computed there in float64)."""
import functools

import jax
import numpy as np
import pytest
from goldens import golden_arrays, needs
from recipe import recipe_weights

from oasis_jax.metrics.nets.inception import InceptionFID, inception_variables, preprocess

pytestmark = needs("eval/inception_fid.npz", "eval/inception_fid.manifest.json")


@pytest.fixture(scope="module")
def golden():
    return golden_arrays("eval/inception_fid")


@pytest.fixture(scope="module")
def state():
    return recipe_weights("eval/inception_fid")


@pytest.fixture(scope="module")
def outputs(state):
    variables = inception_variables(state)
    network = jax.jit(InceptionFID().apply)
    return lambda images, resize: network(variables, jax.jit(functools.partial(preprocess, resize=resize))(images))


def assert_close(found, expected, relative=1e-5):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= relative * np.abs(expected).max()


def test_recipe_gives_the_published_check_values(state):
    for name, first, total in [
        ("Conv2d_1a_3x3.conv.weight", (-0.212966397, 0.403651714), -4.236812),
        ("Conv2d_1a_3x3.bn.weight", (0.525870502, 1.11958921), 29.706769),
        ("fc.bias", (0.0408531278, 0.196626037), -4.470152),
    ]:
        np.testing.assert_allclose(state[name].ravel()[:2], first, rtol=1e-7)
        np.testing.assert_allclose(state[name].sum(dtype=np.float64), total, atol=1e-6)


def test_every_output_equals_the_published_network(golden, outputs):
    found = outputs(golden["images"], "torch")
    assert_close(found["pool"], golden["pool2048"])
    for name in ("avg64", "avg192", "avg768", "logits", "logits_unbiased"):
        assert_close(found[name], golden[name])


def test_float_images_give_what_uint8_images_give(golden, outputs):
    assert_close(outputs((golden["images"] / 255).astype(np.float32), "torch")["pool"], golden["pool2048"])


def test_resize_that_shrinks_equals_the_published_one(golden, outputs):
    batch = np.repeat(golden["big_image"], len(golden["images"]), 0)  # of the size that is compiled already
    assert_close(outputs(batch, "torch")["pool"][:1], golden["big_pool2048"])


def test_resize_of_torch_fidelity(golden, outputs):
    assert_close(outputs(golden["images"], "tf1")["pool"], golden["tf1resize_pool2048"])
