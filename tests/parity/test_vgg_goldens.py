"""VGG16 and LPIPS match the published networks. The tests need the real weights, which are never downloaded here."""
import json
import re

import jax
import numpy as np
import pytest
from goldens import golden_arrays, golden_dir, needs_photos, parameters, skip_without, stored_groups
from PIL import Image

from oasis_jax.metrics.frechet import FewImagesWarning, Moments, frechet_distance
from oasis_jax.metrics.kid import mmd2_and_influence
from oasis_jax.metrics.lpips import LPIPS, load_lpips
from oasis_jax.metrics.nets import weights
from oasis_jax.metrics.nets.vgg16 import fd_features, load_vgg16

DISTANCES = sorted(path.relative_to(golden_dir()).as_posix() for path in golden_dir().glob("eval/fd_vgg16_*.json"))
FEATURES, PAIRS = "eval/vgg16_fd_features", "eval/lpips_msssim"


@pytest.fixture(scope="module", autouse=True)
def vgg16_file():
    try:
        return weights.find_vgg16()
    except weights.WeightsError as error:
        pytest.skip(str(error))


def as_input(image):
    return (image.reshape(-1, *image.shape[-3:]) / 127.5 - 1).astype(np.float32)


@needs_photos(f"{FEATURES}.npz")
@pytest.mark.parametrize("size", stored_groups(FEATURES, r"pool5_mean_(\w+)"))
def test_fd_features_equal_the_published_trunk(size):
    golden, variables = golden_arrays(FEATURES), load_vgg16()
    images = next((array for name, array in golden.items() if name.startswith(f"rgb_{size}")), None)
    if images is None:
        pytest.skip(f"{FEATURES} has no rgb_{size}")
    found, expected = jax.jit(fd_features)(variables, images), golden[f"pool5_mean_{size}"]
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def photos_of(golden):
    """Paths of two sets of photos: the first and the last of a CamVid split next to the golden folder, as many as `golden` says."""
    folder = golden_dir().parent / "data" / "camvid" / golden["split"]
    paths, counts = sorted(folder.glob("*.jpg")), [int(re.search(r"\d+", golden[name])[0]) for name in ("set_a", "set_b")]
    if len(paths) < sum(counts):
        pytest.skip(f"{folder} has {len(paths)} photos, not {sum(counts)}")
    return paths[: counts[0]], paths[-counts[1] :]


@pytest.mark.parametrize("path", parameters(DISTANCES, "distance of photos of CamVid, which only a full set holds"))
@pytest.mark.filterwarnings(f"ignore::{FewImagesWarning.__module__}.FewImagesWarning")
def test_distances_of_two_sets_of_camvid_photos(path):
    golden, variables = json.loads((golden_dir() / path).read_text()), load_vgg16()
    features_of, sets = jax.jit(fd_features), photos_of(golden)

    def features(paths):
        resized = [np.asarray(Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)) for path in paths]
        return np.concatenate([features_of(variables, image[None]) for image in resized]).astype(np.float64)

    first, last = map(features, sets)
    assert (sets[0][0].name, sets[1][-1].name) == (golden["first"], golden["last"])
    assert frechet_distance(Moments.of(first), Moments.of(last)) == pytest.approx(golden["fd_vgg16"], rel=1e-3)
    assert mmd2_and_influence(first, last)[0] == pytest.approx(golden["kid_vgg16_one_block"], rel=1e-2)


@jax.jit
def lpips_of_taps(variables, a, b):
    return LPIPS().apply(variables, a, b, method=lambda lpips, a, b: lpips.distance(lpips.embed(a), lpips.embed(b)))


@pytest.mark.parametrize("pair", parameters(stored_groups(PAIRS, r"(|.*_)lpips_vgg"), "LPIPS"))
def test_lpips_equals_the_published_distance(pair):
    """For photos, at each tap, and for a rectangular pair. The arrays of a pair have the prefix `NAME_`; those of photos have none."""
    skip_without(PAIRS, *(f"{pair}{side}" for side in "ab"))
    golden = golden_arrays(PAIRS)
    taps = lpips_of_taps(load_lpips(), *(as_input(golden[f"{pair}{side}"]) for side in "ab"))
    np.testing.assert_allclose(taps.sum(-1), np.ravel(golden[f"{pair}lpips_vgg"]), rtol=0, atol=2e-6)
    if f"{pair}lpips_vgg_per_layer" in golden:
        np.testing.assert_allclose(taps, golden[f"{pair}lpips_vgg_per_layer"], rtol=0, atol=2e-6)
