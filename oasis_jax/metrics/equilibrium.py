"""Disequilibrium indicator (DI): how far a discriminator with one logit is ahead of its generator.

Wang et al. (Improving GAN equilibrium by raising spatial awareness, 2021) report a DI without a formula; this project defines

    DI = mean D(real) - mean D(fake), over raw logits.

It is near 0 if D cannot tell the two sets apart, and grows as D separates them. Use as many real as generated images, real ones without
augmentation, images of the generator in training (not its average), and D in inference mode. Report the number of images and the step with
the value.
"""
import dataclasses

import numpy as np

DI_FORMULA = "DI = mean D(real) - mean D(fake)"


@dataclasses.dataclass(frozen=True, eq=False)
class ClassMeans:
    """Streaming means of a value by class, in float64. Immutable.

    Attributes:
        total: (N,) float64, sum of the values of each class.
        count: (N,) int64, number of values of each class.
    """

    total: np.ndarray
    count: np.ndarray

    @classmethod
    def empty(cls, num_classes):
        """Means of no values."""
        return cls(np.zeros(num_classes), np.zeros(num_classes, np.int64))

    def update(self, values, classes):
        """Adds values; those whose class is outside 0..N-1 are ignored.

        Args:
            values: real array of any shape.
            classes: integer array of the same shape.

        Raises:
            ValueError: the shapes differ, or a value is not finite.
        """
        values, classes = np.asarray(values, np.float64), np.asarray(classes)
        if values.shape != classes.shape:
            raise ValueError(f"values of shape {values.shape} and classes of shape {classes.shape} do not match")
        if not np.isfinite(values).all():
            raise ValueError("D returned a value that is NaN or infinite: check its weights and its input")
        known = (classes >= 0) & (classes < len(self.total))
        values, classes = values[known], classes[known]
        total = np.bincount(classes, values, len(self.total))
        return ClassMeans(self.total + total, self.count + np.bincount(classes, minlength=len(self.total)))

    def merge(self, other):
        """Means over the values of both."""
        return ClassMeans(self.total + other.total, self.count + other.count)

    @property
    def means(self):
        """(N,) float64; NaN for a class without values."""
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan)


def gaps(first, second):
    """(N,) mean of the second ClassMeans minus mean of the first; NaN for an absent class.

    Raises:
        ValueError: the sets differ in size.
    """
    if (first.count != second.count).any():
        raise ValueError(f"{first.count.sum()} values and {second.count.sum()} cannot be compared: use as many real as generated images")
    return second.means - first.means


def di(real, generated):
    """DI of the ClassMeans of raw logits, all of class 0; NaN without images. Raises ValueError as `gaps` does."""
    return float(gaps(generated, real)[0])
