"""Agreement of two label maps: confusion matrix, intersection over union, pixel accuracy."""
import numpy as np


def confusion_matrix(target, predicted, num_classes):
    """Pixel counts (N, N) int64, rows by target class and columns by predicted class, of integer label maps of equal shape."""
    cells = target.astype(np.int64).ravel() * num_classes + predicted.astype(np.int64).ravel()
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def iou_per_class(confusion):
    """Intersection over union (N,) of each class; NaN where a class is neither target nor predicted."""
    hits = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


def pixel_accuracy(confusion):
    """Share of pixels whose class is predicted rightly; NaN without pixels."""
    return float(np.diag(confusion).sum() / confusion.sum()) if confusion.sum() else float("nan")
