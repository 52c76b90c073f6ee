"""Equality with the numbers of published tools: pytorch-fid, torch-fidelity, pytorch-msssim, and three tools for segmentation."""
import functools
import json
import re

import numpy as np
import pytest
from goldens import golden_arrays, golden_dir, needs, parameters, skip_without, stored_groups

from oasis_jax.metrics.colour import chi_square, colour_histograms, lab
from oasis_jax.metrics.frechet import FewImagesWarning, Moments, frechet_distance
from oasis_jax.metrics.kid import kernel_inception_distance, mmd2_and_influence
from oasis_jax.metrics.msssim import ms_ssim
from oasis_jax.metrics.nets.label_spaces import CAMVID
from oasis_jax.metrics.segmentation import MeanOver, accuracy_per_class, confusion_matrix, iou_per_class, mean_iou, pixel_accuracy
from oasis_jax.metrics.texture import texture_distance, texture_histogram

CONFUSIONS = sorted(path.relative_to(golden_dir()).as_posix() for path in golden_dir().glob("eval/espnet_camvid_*_confusion.json"))


@functools.cache
def numbers():
    path = golden_dir() / "eval/metrics.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def numbers_of(part):
    """Numbers of one part of the file; skips the test if it has none."""
    if part not in numbers():
        pytest.skip(f"eval/metrics.json of the golden set has no {part}")
    return numbers()[part]


def of_pair(golden, name):
    """Two sets of images (B, H, W, 3): `a` and `b`, or NAME_a and NAME_b, which may be one image each."""
    found = (golden[f"{name}_{side}" if name else side] for side in "ab")
    return [images.reshape(-1, *images.shape[-3:]) for images in found]


def pictures():
    """The two sets of images whose colours and textures were measured: photos, or, in a set without photos, the synthetic pair."""
    golden = golden_arrays("eval/lpips_msssim")
    return of_pair(golden, "" if "a" in golden else "rect")


class GivenChecks:
    """Checks of numbers that a golden set may or may not have; a test without any of them is skipped."""

    def __init__(self):
        self.count = 0

    def __call__(self, check, expected, *names):
        """Calls `check` with the numbers of these names if all are given."""
        if all(name in expected for name in names):
            check(*(expected[name] for name in names))
            self.count += 1

    def skip_without_any(self):
        if not self.count:
            pytest.skip("the golden set has none of the numbers of this test")


@needs("eval/frechet_kid_features.npz", "eval/metrics.json")
@pytest.mark.parametrize("pair", parameters(numbers().get("frechet_kid", ()), "pair of feature sets"))
@pytest.mark.filterwarnings(f"ignore::{FewImagesWarning.__module__}.FewImagesWarning")
def test_frechet_and_kid(pair):
    expected, close = numbers()["frechet_kid"][pair], functools.partial(pytest.approx, rel=1e-9, abs=0)
    skip_without("eval/frechet_kid_features", f"{pair}_x", f"{pair}_y")
    x, y = (golden_arrays("eval/frechet_kid_features")[f"{pair}_{side}"] for side in "xy")
    if "frechet_exact_svd" in expected:
        assert frechet_distance(Moments.of(x), Moments.of(y)) == close(expected["frechet_exact_svd"])
    assert frechet_distance(Moments.of(x), Moments.of(x)) < 1e-6

    if first := expected.get("mmd2_unbiased_first_n"):
        mmd2, _, _ = mmd2_and_influence(*(features[: first["n"]].astype(np.float64) for features in (x, y)))
        assert mmd2 == close(first["value"])
    for name, published in expected.items():  # the name says how subsets were drawn
        if drawn := re.fullmatch(r"kid_(\d+)_subsets_of_(\d+)_RandomState(\d+)", name):
            kid = kernel_inception_distance(x, y, *map(int, drawn.groups()))
            assert kid.mean == close(published["kernel_inception_distance_mean"])
            assert kid.std == close(published["kernel_inception_distance_std"])


@needs("eval/miou_toy.npz", "eval/metrics.json")
def test_segmentation_scores_by_three_published_rules():
    expected, toy, check_if_given = numbers_of("miou_toy"), golden_arrays("eval/miou_toy"), GivenChecks()
    confusion = confusion_matrix(toy["label"], toy["pred"], expected["n_classes"])
    check_if_given(functools.partial(np.testing.assert_array_equal, confusion), toy, "confusion")
    per_class = iou_per_class(confusion)
    check_if_given(lambda stored: np.testing.assert_array_equal(per_class, np.array(stored, np.float64)), expected, "class_iou")
    for over, tool in ((MeanOver.SEEN, "drn"), (MeanOver.ALL, "csail"), (MeanOver.LABELLED, "deeplab")):
        check_if_given(lambda scores, over=over: np.testing.assert_equal(mean_iou(confusion, over), scores["miou"]), expected, tool)
    check_if_given.skip_without_any()
    if scores := expected.get("deeplab", {}):
        assert pixel_accuracy(confusion) == scores["accuracy"]
        assert np.nanmean(accuracy_per_class(confusion)) == pytest.approx(scores["mean_accuracy"], rel=1e-15)


@pytest.mark.parametrize("path", parameters(CONFUSIONS, "confusion of ESPNet on photos of CamVid, which only a full set holds"), ids=str)
def test_scores_of_espnet_on_the_photos_of_a_split_of_camvid(path):
    golden, named = json.loads((golden_dir() / path).read_text()), len(CAMVID.class_names)
    confusion = np.array(next(counts for name, counts in golden.items() if name.startswith("confusion_rows_label_cols_pred")))
    confusion[named:] = 0  # pixels without a label
    found = {
        f"miou{named}_percent": mean_iou(confusion, CAMVID.averaged_over, CAMVID.num_classes),
        "pixel_acc_percent": pixel_accuracy(confusion),
        "iou_percent": iou_per_class(confusion)[:named],
    }
    stored = found.keys() & golden.keys()
    if not stored:
        pytest.skip(f"{path} of the golden set has none of the scores {', '.join(found)}")
    for name in stored:
        np.testing.assert_allclose(100 * found[name], golden[name], rtol=1e-9 if name.startswith("miou") else 1e-12, err_msg=name)


@needs("eval/color_texture_hist.npz", "eval/metrics.json", "eval/lpips_msssim.npz")
def test_colours():
    expected, golden, (a, b) = numbers_of("color_texture"), golden_arrays("eval/color_texture_hist"), pictures()
    check_if_given, close = GivenChecks(), functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-4)
    check_if_given(lambda rgb, stored: close(lab(rgb), stored, atol=1e-6), golden, "lab_pixels_rgb", "lab_pixels")
    counts = {"a": colour_histograms(a), "b": colour_histograms(b)}
    for side, count in counts.items():
        check_if_given(lambda stored, count=count: close(chi_square(count, stored), 0), golden, f"lab_hist_{side}")
    check_if_given(lambda *chi2: close(chi_square(counts["a"], counts["b"]), chi2), expected, "chi2_L", "chi2_a", "chi2_b")
    first = [colour_histograms(images[0]) for images in (a, b)]
    check_if_given(lambda chi2: close(chi_square(*first), chi2), expected, "chi2_Lab_first_pair")
    check_if_given.skip_without_any()


@needs("eval/color_texture_hist.npz", "eval/metrics.json", "eval/lpips_msssim.npz")
def test_textures():
    expected, golden, (a, b) = numbers_of("color_texture"), golden_arrays("eval/color_texture_hist"), pictures()
    check_if_given, close = GivenChecks(), functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-4)
    counts = {"a": texture_histogram(a), "b": texture_histogram(b)}
    for side, count in counts.items():
        check_if_given(lambda stored, count=count: close(texture_distance(count, stored), 0), golden, f"lbp_hist_{side}")
    check_if_given(lambda chi2: close(texture_distance(counts["a"], counts["b"]), chi2), expected, "chi2_lbp")
    first = [texture_histogram(images[0]) for images in (a, b)]
    check_if_given(lambda chi2: close(texture_distance(*first), chi2), expected, "chi2_lbp_first_pair")
    check_if_given.skip_without_any()


@pytest.mark.parametrize("pair", parameters(stored_groups("eval/lpips_msssim", r"(|.*_)ms_ssim"), "MS-SSIM"))
def test_structural_similarity(pair):
    """For photos, and for a pair with odd sides. The arrays of a pair have the prefix `NAME_`; those of photos have none."""
    golden, name = golden_arrays("eval/lpips_msssim"), pair.removesuffix("_")
    skip_without("eval/lpips_msssim", *(f"{pair}{side}" for side in "ab"))
    np.testing.assert_allclose(ms_ssim(*of_pair(golden, name)), np.ravel(golden[f"{pair}ms_ssim"]), rtol=0, atol=1e-5)
