"""Frechet distance of two sets of features; FID if they come from the Inception network of FID (Heusel et al., 2017).

Everything is float64 on the host. Memory does not grow with the number of images: a set is represented by its count, mean and scatter
matrix. A float32 covariance, as in the published system, can change the distance by 0.05 %.
"""
import dataclasses
import warnings

import jax
import numpy as np
import scipy.linalg.lapack

from oasis_jax.metrics.features import as_features, check_same_dimensions


class FewImagesWarning(UserWarning):
    """The distance is biased because a set has too few images for its feature dimensions."""


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
        """Number of feature dimensions d."""
        return len(self.mean)

    def update(self, features, first=None):
        """Moments including one more batch of features (N, d).

        Args:
            features: (N, d).
            first: index of the first image, for messages; by default the count so far.

        Raises:
            ValueError: the shape is wrong, or the features of an image are not finite; the message names the index of the image.
        """
        features = as_features(features, images=(self.count if first is None else first) + np.arange(len(features)))
        check_same_dimensions(self.dimensions, features.shape[1])
        if not len(features):
            return self
        mean = features.mean(axis=0)
        centred = features - mean
        return self.merge(Moments(len(features), mean, centred.T @ centred))

    def merge(self, other):
        """Moments of both sets together, by the pairwise update of Chan, Golub and LeVeque (1979), which avoids cancellation."""
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
        """(d, d) float64, normalised by n - 1; raises ValueError for fewer than two images."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 images, this set has {self.count}: add images to it")
        return self.scatter / (self.count - 1)


def covariance_root(moments):
    """Factor (d, r) with root @ root.T = covariance, by pivoted Cholesky; r is at most n - 1, the largest rank of n images.

    Beyond the rank the factor would hold only rounding errors, which the root raises from 1e-16 to 1e-8, so it is truncated there.
    """
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(moments.covariance, lower=1)
    root = np.empty((moments.dimensions, min(rank, moments.count - 1)))
    root[pivots - 1] = np.tril(factor)[:, : root.shape[1]]
    return root


def frechet_distance(a, b):
    """|m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr (C1 C2)^(1/2) of two Moments.

    The last trace is computed as the sum of the singular values of R1^T R2 with C = R R^T. This is exact for covariances of any rank and
    needs no matrix square root.

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
            f"{fewest} images span at most {fewest - 1} of the dimensions. Compare it only with distances of equally many images, "
            f"use more than {a.dimensions} images, or use KID, which is unbiased",
            FewImagesWarning,
            stacklevel=2,
        )
    cross = np.linalg.svd(root_a.T @ root_b, compute_uv=False).sum()
    distance = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return max(float(distance), 0.0)
