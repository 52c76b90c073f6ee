"""InceptionFID equals the published network on recipe weights (computed there in float64)."""
import functools
import json

import jax
import numpy as np
import pytest
from goldens import golden_arrays, golden_dir, net_cases, skip_without
from recipe import recipe_weights

from oasis_jax.metrics.nets.inception import InceptionFID, inception_variables, preprocess

CHECK_VALUES = {  # for seed 0: the first two values, and the sum
    "Conv2d_1a_3x3.conv.weight": ((-0.212966397, 0.403651714), -4.236812),
    "Conv2d_1a_3x3.bn.weight": ((0.525870502, 1.11958921), 29.706769),
    "fc.bias": ((0.0408531278, 0.196626037), -4.470152),
}
OUTPUTS = {"pool2048": "pool"} | {name: name for name in ("avg64", "avg192", "avg768", "logits", "logits_unbiased")}  # their names and ours


@pytest.fixture(scope="module", params=net_cases("inception_fid"))
def case(request):
    """The name of the case's files, without the ending."""
    return request.param


@pytest.fixture(scope="module")
def golden(case):
    return golden_arrays(case)


@pytest.fixture(scope="module")
def state(case):
    return recipe_weights(case)


@pytest.fixture(scope="module")
def outputs(state):
    variables = inception_variables(state)
    network = jax.jit(InceptionFID().apply)
    return lambda images, resize: network(variables, jax.jit(functools.partial(preprocess, resize=resize))(images))


def assert_close(found, expected, relative=1e-5):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= relative * np.abs(expected).max()


def test_recipe_gives_the_published_check_values(case, state):
    manifest = json.loads((golden_dir() / f"{case}.manifest.json").read_text())
    if manifest["seed"] != 0:
        pytest.skip(f"{case} has seed {manifest['seed']}: the check values are of seed 0")
    for name, (first, total) in CHECK_VALUES.items():
        np.testing.assert_allclose(state[name].ravel()[:2], first, rtol=1e-7)
        np.testing.assert_allclose(state[name].sum(dtype=np.float64), total, atol=1e-6)


def test_every_output_equals_the_published_network(case, golden, outputs):
    skip_without(case, "images")
    if not OUTPUTS.keys() & golden.keys():
        pytest.skip(f"{case} stores no output")
    found = outputs(golden["images"], "torch")
    for theirs, ours in OUTPUTS.items():
        if theirs in golden:
            assert_close(found[ours], golden[theirs])


def test_float_images_give_what_uint8_images_give(case, golden, outputs):
    skip_without(case, "images", "pool2048")
    assert_close(outputs((golden["images"] / 255).astype(np.float32), "torch")["pool"], golden["pool2048"])


def test_resize_that_shrinks_equals_the_published_one(case, golden, outputs):
    skip_without(case, "big_image", "big_pool2048")
    big, count = golden["big_image"], len(golden.get("images", golden["big_image"]))
    batch = np.resize(big, (max(count, len(big)), *big.shape[1:]))  # repeated to a batch size that is compiled already
    assert_close(outputs(batch, "torch")["pool"][: len(big)], golden["big_pool2048"])


def test_resize_of_torch_fidelity(case, golden, outputs):
    skip_without(case, "images", "tf1resize_pool2048")
    assert_close(outputs(golden["images"], "tf1")["pool"], golden["tf1resize_pool2048"])
