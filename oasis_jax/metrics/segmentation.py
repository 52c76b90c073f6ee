"""How well two label maps agree: confusion matrix, intersection over union, accuracy, and three ways to average."""
import enum

import numpy as np


class MeanOver(enum.Enum):
    """The classes that a mean IoU is taken over. Scores by different rules must not be compared."""

    SEEN = "classes that occur in the labels or the predictions"  # DRN (Cityscapes)
    ALL = "all classes, an absent one counts 0"  # CSAIL's UperNet (ADE20K)
    LABELLED = "classes that occur in the labels"  # DeepLab (COCO-Stuff); leaves out a class that is only predicted, such as void


def confusion_matrix(target, predicted, num_classes):
    """Pixel counts by target and predicted class; counts of several images are added up.

    Args:
      target: integer array; pixels outside 0..num_classes-1 are ignored.
      predicted: integer array of the same shape, within 0..num_classes-1 wherever the target is.
      num_classes: N.

    Returns:
      (N, N) int64, rows by target class, columns by predicted class.

    Raises:
      ValueError: the shapes differ, or a prediction is out of range.
    """
    if target.shape != predicted.shape:
        raise ValueError(f"label map of shape {target.shape} and prediction of shape {predicted.shape}: resize one to the other")
    target, predicted = target.astype(np.int64), predicted.astype(np.int64)
    known = (target >= 0) & (target < num_classes)
    target, predicted = target[known], predicted[known]
    if len(predicted) and not 0 <= predicted.min() <= predicted.max() < num_classes:
        raise ValueError(f"predicted classes {predicted.min()}..{predicted.max()} do not lie within 0..{num_classes - 1}")
    return np.bincount(target * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def _hits_and_union(confusion):
    hits = np.diag(confusion)
    return hits, confusion.sum(0) + confusion.sum(1) - hits


def iou_per_class(confusion):
    """Intersection over union (N,) of each class; NaN where a class is neither target nor predicted."""
    hits, union = _hits_and_union(confusion)
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


def accuracy_per_class(confusion):
    """Share (N,) of each class's pixels that are predicted rightly; NaN where a class is not a target."""
    pixels = confusion.sum(1)
    return np.where(pixels > 0, np.diag(confusion) / np.maximum(pixels, 1), np.nan)


def mean_iou(confusion, over, num_classes=None):
    """Mean intersection over union, 0..1, by the rule `over` (MeanOver); NaN if the rule takes no class.

    Of the confusion (N, N) only the first `num_classes` are classes; what follows, a void output, can be predicted but is never right.
    """
    hits, union = (counts[:num_classes] for counts in _hits_and_union(confusion))
    if over is MeanOver.ALL:
        return float(np.mean(hits / (union + 1e-10)))  # the denominator of the published tool
    counted = (confusion.sum(1)[:num_classes] if over is MeanOver.LABELLED else union) > 0
    return float((hits[counted] / union[counted]).mean()) if counted.any() else float("nan")


def pixel_accuracy(confusion):
    """Share of pixels whose class is predicted rightly; NaN without pixels."""
    return float(np.diag(confusion).sum() / confusion.sum()) if confusion.sum() else float("nan")
