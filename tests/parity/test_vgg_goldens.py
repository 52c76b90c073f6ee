"""VGG16 and LPIPS equal the published networks. Needs their real weights, which are never downloaded here."""
import json

import jax
import numpy as np
import pytest
from goldens import golden_arrays, golden_dir, needs, needs_photos
from PIL import Image

from oasis_jax.metrics.frechet import FewImagesWarning, Moments, frechet_distance
from oasis_jax.metrics.kid import mmd2_and_influence
from oasis_jax.metrics.lpips import LPIPS, load_lpips
from oasis_jax.metrics.nets import weights
from oasis_jax.metrics.nets.vgg16 import fd_features, load_vgg16

PHOTOS = sorted((golden_dir().parent / "data" / "camvid" / "test").glob("*.jpg"))


@pytest.fixture(scope="module", autouse=True)
def vgg16_file():
    try:
        return weights.find_vgg16()
    except weights.WeightsError as error:
        pytest.skip(str(error))


def as_input(image):
    return (image.reshape(-1, *image.shape[-3:]) / 127.5 - 1).astype(np.float32)


@needs_photos("eval/vgg16_fd_features.npz")
def test_fd_features_equal_the_published_trunk():
    golden, variables = golden_arrays("eval/vgg16_fd_features"), load_vgg16()
    for images, features in (("rgb_256_bicubic", "pool5_mean_256"), ("rgb_native", "pool5_mean_native")):
        found = jax.jit(fd_features)(variables, golden[images])
        assert np.abs(found - golden[features]).max() <= 1e-5 * np.abs(golden[features]).max()


@pytest.mark.skipif(len(PHOTOS) < 120, reason="the test photos of CamVid do not lie beside the golden set")
@needs_photos("eval/fd_vgg16_camvid.json")
@pytest.mark.filterwarnings(f"ignore::{FewImagesWarning.__module__}.FewImagesWarning")
def test_distances_of_two_sets_of_camvid_photos():
    golden, variables = json.loads((golden_dir() / "eval/fd_vgg16_camvid.json").read_text()), load_vgg16()
    features_of = jax.jit(fd_features)

    def features(paths):
        resized = [np.asarray(Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)) for path in paths]
        return np.concatenate([features_of(variables, image[None]) for image in resized]).astype(np.float64)

    first, last = features(PHOTOS[:60]), features(PHOTOS[-60:])
    assert (PHOTOS[0].name, PHOTOS[-1].name) == (golden["first"], golden["last"])
    assert frechet_distance(Moments.of(first), Moments.of(last)) == pytest.approx(golden["fd_vgg16"], rel=1e-3)
    assert mmd2_and_influence(first, last)[0] == pytest.approx(golden["kid_vgg16_one_block"], rel=1e-2)


@jax.jit
def lpips_of_taps(variables, a, b):
    return LPIPS().apply(variables, a, b, method=lambda lpips, a, b: lpips.distance(lpips.embed(a), lpips.embed(b)))


@needs_photos("eval/lpips_msssim.npz", arrays=["a", "b", "lpips_vgg", "lpips_vgg_per_layer"])
def test_lpips_of_photos_equals_the_published_distance_tap_by_tap():
    golden = golden_arrays("eval/lpips_msssim")
    taps = lpips_of_taps(load_lpips(), as_input(golden["a"]), as_input(golden["b"]))
    np.testing.assert_allclose(taps, golden["lpips_vgg_per_layer"], rtol=0, atol=2e-6)
    np.testing.assert_allclose(taps.sum(-1), golden["lpips_vgg"], rtol=0, atol=2e-6)


@needs("eval/lpips_msssim.npz", arrays=["rect_lpips_vgg"])
def test_lpips_of_a_rectangular_pair_equals_the_published_distance():
    golden = golden_arrays("eval/lpips_msssim")
    rectangular = lpips_of_taps(load_lpips(), as_input(golden["rect_a"]), as_input(golden["rect_b"]))
    np.testing.assert_allclose(rectangular.sum(-1), golden["rect_lpips_vgg"], rtol=0, atol=2e-6)
