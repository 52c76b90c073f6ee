"""Agreement of two label maps: confusion matrix, intersection over union, accuracy, and three rules for averaging."""
import dataclasses
import enum
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from oasis_jax.metrics.metric import PHOTOS, SAMPLES, Finding, sum_counts


class MeanOver(enum.Enum):
    """Classes that a mean IoU is taken over. Scores by different rules must not be compared."""

    SEEN = "classes that occur in the labels or the predictions"  # DRN (Cityscapes)
    ALL = "all classes, an absent one counts 0"  # CSAIL's UperNet (ADE20K)
    LABELLED = "classes that occur in the labels"  # DeepLab (COCO-Stuff); excludes a class that is only predicted, such as void


def confusion_matrix(target, predicted, num_classes):
    """Counts pixels by target and predicted class; counts of several images can be added.

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
    """Intersection over union (N,) of each class; NaN for a class that is neither target nor predicted."""
    hits, union = _hits_and_union(confusion)
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


def accuracy_per_class(confusion):
    """Share (N,) of each class's pixels that are predicted correctly; NaN for a class without target pixels."""
    pixels = confusion.sum(1)
    return np.where(pixels > 0, np.diag(confusion) / np.maximum(pixels, 1), np.nan)


def mean_iou(confusion, over, num_classes=None):
    """Mean intersection over union, 0..1, by the rule `over` (MeanOver); NaN if the rule selects no class.

    Only the first `num_classes` of the N rows and columns are classes. Further ones, such as a void output, can be predicted but are never
    correct.
    """
    hits, union = (counts[:num_classes] for counts in _hits_and_union(confusion))
    if over is MeanOver.ALL:
        return float(np.mean(hits / (union + 1e-10)))  # the denominator of the published tool
    counted = (confusion.sum(1)[:num_classes] if over is MeanOver.LABELLED else union) > 0
    return float((hits[counted] / union[counted]).mean()) if counted.any() else float("nan")


def pixel_accuracy(confusion):
    """Share of pixels whose class is predicted correctly; NaN without pixels."""
    return float(np.diag(confusion).sum() / confusion.sum()) if confusion.sum() else float("nan")


@dataclasses.dataclass(frozen=True, eq=False)
class SegmenterScores:
    """How well a segmentation network recovers the label maps from images, with real photos as the ceiling; a `metric.Metric`.

    Attributes:
        labels: LabelSpace of the network.
        segment: uint8 images (B, H, W, 3) -> classes (B, h, w).
        described: JSON value that identifies the network, its weights and how it is run.
    """

    labels: Any
    segment: Callable[[np.ndarray], np.ndarray] | None = None
    described: Any = None

    sets: ClassVar = (PHOTOS, SAMPLES)
    higher_is_better: ClassVar = {"miou": True, "pixel_accuracy": True}
    of_run: ClassVar = False
    rows: ClassVar = {"agreement": ((), np.float64)}  # share of each image's pixels predicted as in its label map
    merge: ClassVar = staticmethod(sum_counts)

    @property
    def identity(self):
        return ["segmentation", self.described]

    def start(self):
        return {"confusion": np.zeros((self.labels.num_outputs,) * 2, np.int64)}

    def add(self, counts, batch):
        agreement, confusion = np.full(batch.count, np.nan), counts["confusion"]
        seen = self.segment(batch.bytes)
        for row in range(batch.count):
            added = confusion_matrix(batch.targets[row], seen[row], len(confusion))
            confusion = confusion + added
            agreement[row] = np.trace(added) / added.sum() if added.any() else np.nan
        return {"confusion": confusion}, {"agreement": agreement}

    def finish(self, reference, scored):
        real, generated = reference.counts["confusion"], scored.counts["confusion"]
        scores, ceiling = ({"miou": mean_iou(c, self.labels.averaged_over, self.labels.num_classes), "pixel_accuracy": pixel_accuracy(c)}
                           for c in (generated, real))
        columns = {"IoU": iou_per_class(generated), "accuracy": accuracy_per_class(generated), "IoU of real photos": iou_per_class(real)}
        rows = len(self.labels.class_names)
        note = f"miou: mean over {self.labels.averaged_over.value}; the segmenter knows {self.labels.num_classes} classes"
        tables = {"segmented": {name: column[:rows] for name, column in columns.items()}}
        return Finding(scores, ceiling, tables, per_image=dict(scored.rows), notes=(note,))
