"""Disequilibrium indicator (DI) of EqGAN-SA and its analogue for discriminators that label pixels: how far D is ahead of G.

EqGAN-SA (Wang et al., 2021) prints a DI without a formula; the definitions here are this project's own:

* `DI`, for a discriminator with one logit per image:  DI = mean D(real) - mean D(fake), over raw logits.
* `DI_seg`, for a discriminator that labels each pixel with one of N classes or as fake:  with l(p) = log softmax(D(image))_fake at pixel p,
  DI_seg = mean over the classes c of [mean of l over the pixels of c in generated images - mean of l over the pixels of c in real images].

Both are near 0 if D cannot tell the two sets apart, and grow as it can. They are on different scales and must never share a column. Use as
many real as generated images: real ones without augmentation, generated ones from G itself (not its moving average) for the same label
maps, with D in inference mode. Report the number of images and the step with the value.
"""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

DI_FORMULA = "DI = mean D(real) - mean D(fake)"
DI_SEG_FORMULA = "DI_seg = mean_c [ mean_{p in c} log p_fake(generated) - mean_{p in c} log p_fake(real) ]"


def log_fake_probability(logits):
    """Logits (B, H, W, N + 1), channel 0 the fake class, -> log-probability (B, H, W) that a pixel is fake."""
    return logits[..., 0] - jax.nn.logsumexp(logits, axis=-1)


def di_seg_of_batch(real, generated, label_map, num_classes, dontcare_id=-1):
    """DI_seg of one batch as a JAX scalar, for the curve of a training run; 0 if every pixel is don't-care.

    It is noisier than DI_seg on a validation split, and its images are cropped and mirrored as in training.

    Args:
        real, generated: (B, H, W) from `log_fake_probability`.
        label_map: (B, H, W) integer in 0..num_classes-1.
        num_classes: N.
        dontcare_id: class to exclude, or -1.
    """
    classes = jnp.where(jnp.arange(num_classes) == dontcare_id, -1, jnp.arange(num_classes))
    belongs = label_map.reshape(-1, 1) == classes
    count = jnp.sum(belongs, axis=0)
    gaps = jnp.sum(jnp.where(belongs, (generated - real).reshape(-1, 1), 0), axis=0) / jnp.maximum(count, 1)
    return jnp.sum(gaps) / jnp.maximum(jnp.sum(count > 0), 1)


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


def di(real, generated):
    """DI of the ClassMeans of raw logits, all of class 0; NaN without images. Raises ValueError for sets of different sizes."""
    return float(_gaps(generated, real)[0])


def di_seg(real, generated, dontcare_id=-1):
    """DI_seg of the ClassMeans of `log_fake_probability`, with equal weight for every class that occurs; NaN without classes.

    Args:
        real, generated: of photos, and of images generated for their label maps.
        dontcare_id: class to exclude, or -1.

    Raises:
        ValueError: the sets differ in size.
    """
    gaps = _gaps(real, generated)
    counted = (real.count > 0) & (np.arange(len(gaps)) != dontcare_id)
    return float(gaps[counted].mean()) if counted.any() else float("nan")


def _gaps(first, second):
    """(N,) mean of the second minus mean of the first; NaN for an absent class."""
    if (first.count != second.count).any():
        raise ValueError(f"{first.count.sum()} values and {second.count.sum()} cannot be compared: use as many real as generated images")
    return second.means - first.means
