"""Equality with the numbers of published tools: pytorch-fid, torch-fidelity, pytorch-msssim, and three tools for segmentation."""
import functools
import json

import numpy as np
import pytest
from goldens import golden_arrays, golden_dir, needs, needs_photos

from oasis_jax.metrics.colour import chi_square, colour_histograms, lab
from oasis_jax.metrics.frechet import FewImagesWarning, Moments, frechet_distance
from oasis_jax.metrics.kid import kernel_inception_distance, mmd2_and_influence
from oasis_jax.metrics.msssim import ms_ssim
from oasis_jax.metrics.nets.label_spaces import CAMVID
from oasis_jax.metrics.segmentation import MeanOver, accuracy_per_class, confusion_matrix, iou_per_class, mean_iou, pixel_accuracy
from oasis_jax.metrics.texture import texture_distance, texture_histogram


@functools.cache
def numbers():
    return json.loads((golden_dir() / "eval/metrics.json").read_text())


def pictures():
    """The two sets of images whose colours and textures were measured: photos, or the synthetic pair of a set without photos."""
    golden = golden_arrays("eval/lpips_msssim")
    return [golden.get(side, golden[f"rect_{side}"][None]) for side in "ab"]


@needs("eval/frechet_kid_features.npz", "eval/metrics.json")
@pytest.mark.parametrize("pair", ["full", "rankdef", "wide"])
@pytest.mark.filterwarnings(f"ignore::{FewImagesWarning.__module__}.FewImagesWarning")
def test_frechet_and_kid(pair):
    expected = numbers()["frechet_kid"][pair]
    x, y = (golden_arrays("eval/frechet_kid_features")[f"{pair}_{side}"] for side in "xy")
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(expected["frechet_exact_svd"], rel=1e-9, abs=0)
    assert frechet_distance(Moments.of(x), Moments.of(x)) < 1e-6

    first = expected["mmd2_unbiased_first_n"]
    mmd2, _, _ = mmd2_and_influence(*(features[: first["n"]].astype(np.float64) for features in (x, y)))
    assert mmd2 == pytest.approx(first["value"], rel=1e-9, abs=0)
    kid = kernel_inception_distance(x, y, subsets=10, subset_size=30)
    published = expected["kid_10_subsets_of_30_RandomState2020"]
    assert kid.mean == pytest.approx(published["kernel_inception_distance_mean"], rel=1e-9, abs=0)
    assert kid.std == pytest.approx(published["kernel_inception_distance_std"], rel=1e-9, abs=0)


@needs("eval/miou_toy.npz", "eval/metrics.json")
def test_segmentation_scores_by_three_published_rules():
    expected, toy = numbers()["miou_toy"], golden_arrays("eval/miou_toy")
    confusion = confusion_matrix(toy["label"], toy["pred"], expected["n_classes"])
    np.testing.assert_array_equal(confusion, toy["confusion"])
    np.testing.assert_array_equal(iou_per_class(confusion), np.array(expected["class_iou"], np.float64))
    for over, tool in ((MeanOver.SEEN, "drn"), (MeanOver.ALL, "csail"), (MeanOver.LABELLED, "deeplab")):
        assert mean_iou(confusion, over) == expected[tool]["miou"]
    assert pixel_accuracy(confusion) == expected["deeplab"]["accuracy"]
    assert np.nanmean(accuracy_per_class(confusion)) == pytest.approx(expected["deeplab"]["mean_accuracy"], rel=1e-15)


@needs_photos("eval/espnet_camvid_test_confusion.json")
def test_scores_of_espnet_on_the_test_photos_of_camvid():
    golden = json.loads((golden_dir() / "eval/espnet_camvid_test_confusion.json").read_text())
    confusion = np.array(golden["confusion_rows_label_cols_pred_12x12"])
    confusion[11:] = 0  # pixels without label
    assert 100 * mean_iou(confusion, CAMVID.averaged_over, CAMVID.num_classes) == pytest.approx(golden["miou11_percent"], rel=1e-9)
    assert 100 * pixel_accuracy(confusion) == pytest.approx(golden["pixel_acc_percent"], rel=1e-12)
    np.testing.assert_allclose(100 * iou_per_class(confusion)[:11], golden["iou_percent"], rtol=1e-12)


@needs("eval/color_texture_hist.npz", "eval/metrics.json", "eval/lpips_msssim.npz")
def test_colours():
    expected, golden, (a, b) = numbers()["color_texture"], golden_arrays("eval/color_texture_hist"), pictures()
    np.testing.assert_allclose(lab(golden["lab_pixels_rgb"]), golden["lab_pixels"], rtol=0, atol=1e-6)
    counts = {"a": colour_histograms(a), "b": colour_histograms(b)}
    for side, count in counts.items():
        np.testing.assert_allclose(chi_square(count, golden[f"lab_hist_{side}"]), 0, atol=1e-4)
    chi2 = [expected[f"chi2_{channel}"] for channel in "Lab"]
    np.testing.assert_allclose(chi_square(counts["a"], counts["b"]), chi2, rtol=0, atol=1e-4)
    first = [colour_histograms(images[0]) for images in (a, b)]
    np.testing.assert_allclose(chi_square(*first), expected["chi2_Lab_first_pair"], rtol=0, atol=1e-4)


@needs("eval/color_texture_hist.npz", "eval/metrics.json", "eval/lpips_msssim.npz")
def test_textures():
    expected, golden, (a, b) = numbers()["color_texture"], golden_arrays("eval/color_texture_hist"), pictures()
    counts = {"a": texture_histogram(a), "b": texture_histogram(b)}
    for side, count in counts.items():
        assert texture_distance(count, golden[f"lbp_hist_{side}"]) == pytest.approx(0, abs=1e-4)
    assert texture_distance(counts["a"], counts["b"]) == pytest.approx(expected["chi2_lbp"], abs=1e-4)
    first = [texture_histogram(images[0]) for images in (a, b)]
    assert texture_distance(*first) == pytest.approx(expected["chi2_lbp_first_pair"], abs=1e-4)


@needs_photos("eval/lpips_msssim.npz", arrays=["a", "b", "ms_ssim"])
def test_structural_similarity_of_photos():
    golden = golden_arrays("eval/lpips_msssim")
    np.testing.assert_allclose(ms_ssim(golden["a"], golden["b"]), golden["ms_ssim"], rtol=0, atol=1e-5)


@needs("eval/lpips_msssim.npz", arrays=["odd_ms_ssim"])
def test_structural_similarity_of_images_with_odd_sides():
    golden = golden_arrays("eval/lpips_msssim")
    odd = ms_ssim(golden["odd_a"][None], golden["odd_b"][None])
    np.testing.assert_allclose(odd, golden["odd_ms_ssim"], rtol=0, atol=1e-5)
