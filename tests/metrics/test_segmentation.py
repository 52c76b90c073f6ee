"""Laws of the scores of class maps."""
import numpy as np
import pytest

from oasis_jax.metrics.segmentation import MeanOver, accuracy_per_class, confusion_matrix, iou_per_class, mean_iou, pixel_accuracy


def test_iou_and_accuracy_by_hand():
    confusion = confusion_matrix(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0]), 4)
    np.testing.assert_allclose(iou_per_class(confusion), [1 / 3, 2 / 3, 0, np.nan])
    np.testing.assert_allclose(accuracy_per_class(confusion), [1 / 2, 1, 0, np.nan])
    assert pixel_accuracy(confusion) == pytest.approx(3 / 5)


def test_rules_differ_on_classes_that_are_only_predicted_or_absent():
    confusion = confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]), 4)
    assert mean_iou(confusion, MeanOver.LABELLED) == pytest.approx((2 / 3 + 1) / 2)
    assert mean_iou(confusion, MeanOver.SEEN) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert mean_iou(confusion, MeanOver.ALL) == pytest.approx((2 / 3 + 1 + 0 + 0) / 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_outside_the_classes_do_not_count(dtype):
    target = np.array([[0, 1, 255], [200, 1, 3]], dtype)
    predicted = np.array([[0, 1, 1], [0, 0, 2]], dtype)
    np.testing.assert_array_equal(confusion_matrix(target, predicted, 3), [[1, 0, 0], [1, 1, 0], [0, 0, 0]])
    assert confusion_matrix(np.array([-1, 0]), np.array([5, 0]), 1) == [[1]]


def test_confusion_of_a_set_is_the_sum_over_its_images():
    rng = np.random.default_rng(0)
    target, predicted = rng.integers(0, 6, (2, 5, 8, 8), np.uint8)
    each = [confusion_matrix(t, p, 6) for t, p in zip(target, predicted, strict=True)]
    together = confusion_matrix(target, predicted, 6)
    assert together.dtype == np.int64
    np.testing.assert_array_equal(sum(each), together)


def test_no_labelled_pixels_give_nan_not_an_error():
    empty = confusion_matrix(np.full((4, 4), 255), np.zeros((4, 4), int), 3)
    assert np.isnan(mean_iou(empty, MeanOver.SEEN)) and np.isnan(mean_iou(empty, MeanOver.LABELLED)) and np.isnan(pixel_accuracy(empty))


def test_bad_predictions_are_named():
    with pytest.raises(ValueError, match=r"predicted classes 0\.\.7 do not lie within 0\.\.2"):
        confusion_matrix(np.array([0, 1]), np.array([0, 7]), 3)
    with pytest.raises(ValueError, match=r"\(4, 4\).*\(4, 5\)"):
        confusion_matrix(np.zeros((4, 4), int), np.zeros((4, 5), int), 3)
