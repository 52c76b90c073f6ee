"""ESPNet, VGG16 and LPIPS keep the values that they had when they matched the published networks; see golden/README.md for that check.

The published numbers need photos or published weights, which a clone does not have; these values need neither.
"""
import json

import numpy as np
import pytest
from goldens import SMALL_SET
from own_values import espnet_values, vgg16_manifest, vgg16_values
from recipe import make_weights


def own(name):
    """(weights, values) of a net, by the name of its files in the small set."""
    path = SMALL_SET / name
    with np.load(path.with_suffix(".npz")) as stored:
        return make_weights(json.loads(path.with_suffix(".manifest.json").read_text())), dict(stored)


def assert_close(found, expected, relative=2e-5):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= relative * np.abs(expected).max()


def test_espnet_gives_its_earlier_values():
    weights, expected = own("own/espnet")
    found = espnet_values(weights)
    assert_close(found["logits_s37"], expected["logits_s37"])
    assert np.mean(found["argmax_s7"] == expected["argmax_s7"]) >= 0.999


@pytest.fixture(scope="module")
def vgg16():
    weights, expected = own("own/vgg16")
    return vgg16_values(weights), expected


def test_features_of_vgg16_keep_their_earlier_values(vgg16):
    found, expected = vgg16
    assert_close(found["pool5_mean"], expected["pool5_mean"])


def test_lpips_keeps_its_earlier_values_tap_by_tap(vgg16):
    found, expected = vgg16
    np.testing.assert_allclose(found["lpips_per_tap"], expected["lpips_per_tap"], rtol=2e-5)


def test_manifest_is_that_of_vgg16():
    assert json.loads((SMALL_SET / "own/vgg16.manifest.json").read_text())["entries"] == vgg16_manifest()["entries"]
