"""Frechet distance of two sets of features, which is FID where the features are those of its Inception network (Heusel et al., 2017).

Everything is float64 on the host, and nothing grows with the number of images: a set is its count, mean and scatter matrix. A
covariance in float32, as the published OASIS code has it, can move the distance by 0.05 %.
"""
import dataclasses
import warnings

import jax
import numpy as np
import scipy.linalg.lapack

from oasis_jax.metrics.features import as_features, check_same_dimensions


class FewImagesWarning(UserWarning):
    """A distance is biased because a set has too few images for its feature dimensions."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """First and second moments of a set of feature vectors. Immutable: `update` and `merge` return new ones.

    Attributes:
      count: number of images n.
      mean: (d,) float64.
      scatter: (d, d) float64, the sum of (x - mean)(x - mean)^T over the images.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def empty(cls, dimensions):
        """Moments of no images."""
        return cls(0, np.zeros(dimensions), np.zeros((dimensions, dimensions)))

    @classmethod
    def of(cls, features):
        """Moments of features (N, d); raises ValueError as `as_features` does."""
        features = as_features(features)
        return cls.empty(features.shape[1]).update(features)

    @property
    def dimensions(self):
        return len(self.mean)

    def update(self, features, first=None):
        """These moments and those of one more batch (N, d), whose first image has the number `first`, by default that in this stream.

        Raises:
          ValueError: the shape is wrong, or the features of an image are not finite; the message has the image's number.
        """
        features = as_features(features, images=(self.count if first is None else first) + np.arange(len(features)))
        check_same_dimensions(self.dimensions, features.shape[1])
        if not len(features):
            return self
        mean = features.mean(axis=0)
        centred = features - mean
        return self.merge(Moments(len(features), mean, centred.T @ centred))

    def merge(self, other):
        """Moments of both sets together: the pairwise update of Chan, Golub and LeVeque (1979), which does not cancel."""
        check_same_dimensions(self.dimensions, other.dimensions)
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        gap = other.mean - self.mean
        scatter = np.outer(gap * (self.count * other.count / count), gap)
        scatter += self.scatter
        scatter += other.scatter
        return Moments(count, self.mean + gap * (other.count / count), scatter)

    @property
    def covariance(self):
        """(d, d) float64, divided by n - 1; raises ValueError for fewer than two images."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 images, this set has {self.count}: add images to it")
        return self.scatter / (self.count - 1)


def covariance_root(moments):
    """A factor (d, r) with root @ root.T = covariance, by pivoted Cholesky; r is at most n - 1, the rank that n images can have.

    What the factor would hold beyond the rank is rounding error, but under a root: 1e-8 instead of 1e-16. It ends before that.
    """
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(moments.covariance, lower=1)
    root = np.empty((moments.dimensions, min(rank, moments.count - 1)))
    root[pivots - 1] = np.tril(factor)[:, : root.shape[1]]
    return root


def frechet_distance(a, b):
    """|m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr (C1 C2)^(1/2) of two Moments.

    The last trace is the sum of the singular values of R1^T R2, where R R^T = C: exact for covariances of any rank, without a matrix root.

    Returns:
      float, 0 for equal sets.

    Raises:
      ValueError: a set has fewer than two images, or the dimensions differ.

    Warns:
      FewImagesWarning: a set has no more images than feature dimensions.
    """
    check_same_dimensions(a.dimensions, b.dimensions)
    root_a, root_b = covariance_root(a), covariance_root(b)
    fewest = min(a.count, b.count)
    if fewest <= a.dimensions:
        warnings.warn(
            f"the Frechet distance of {a.count} and {b.count} images with {a.dimensions} feature dimensions is biased upwards: "
            f"{fewest} images span at most {fewest - 1} of the dimensions. Compare it only with distances of as many images, "
            f"or use more than {a.dimensions} images, or KID, which has no such bias",
            FewImagesWarning,
            stacklevel=2,
        )
    cross = np.linalg.svd(root_a.T @ root_b, compute_uv=False).sum()
    distance = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return max(float(distance), 0.0)
