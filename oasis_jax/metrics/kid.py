"""Kernel Inception distance (Binkowski et al., 2018): an unbiased estimate of the squared maximum mean discrepancy of two feature sets."""
import dataclasses
import math

import numpy as np

from oasis_jax.metrics.features import as_features, check_same_dimensions


@dataclasses.dataclass(frozen=True)
class KID:
    """A distance and how sure it is. May be negative, since it is unbiased. Papers print it times 1000.

    Attributes:
      mean: mean over the subsets.
      std: population standard deviation over the subsets, the number that torch-fidelity prints. It depends on the size of the subsets,
        and is 0 where a subset is the whole set: no error of the mean.
      standard_error: of the mean, for other images drawn from the same two sources and other subsets of them.
      subsets, subset_size: how it was measured.
    """

    mean: float
    std: float
    standard_error: float
    subsets: int
    subset_size: int


def polynomial_kernel(x, y):
    """(x.y / d + 1)^3 of features (m, d) and (n, d): (m, n)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def mmd2_and_influence(x, y):
    """The unbiased squared discrepancy of features (m, d) and (n, d) float64, and what each image adds to it.

    Returns:
      float, (m,) and (n,): the estimate, and for each image its mean kernel value with its own set less that with the other set.
    """
    m, n = len(x), len(y)
    own_x, own_y = polynomial_kernel(x, x), polynomial_kernel(y, y)
    own_x = (own_x.sum(axis=1) - own_x.diagonal()) / (m - 1)
    own_y = (own_y.sum(axis=1) - own_y.diagonal()) / (n - 1)
    cross = polynomial_kernel(x, y)
    return own_x.mean() + own_y.mean() - 2 * cross.mean(), own_x - cross.mean(axis=1), own_y - cross.mean(axis=0)


def kernel_inception_distance(real, generated, subsets=100, subset_size=1000, seed=2020):
    """KID with the subsets that torch-fidelity draws.

    The standard error is that of a U-statistic to first order (Hoeffding, 1948), 4 Var(influence) / images for either set, together with
    the spread over the subsets. Where both sources are the same it is an upper bound.

    Args:
      real, generated: (N, d) and (M, d) real arrays; may lie in files (np.memmap), of which one subset at a time is read.
      subsets: number of subsets, each without replacement.
      subset_size: images of either set in a subset; as many as the smaller set has, if that is fewer.
      seed: of numpy's RandomState.

    Returns:
      KID; its `subset_size` is the size used.

    Raises:
      ValueError: fewer than two images, other dimensions, or features of a drawn image that are not finite.
    """
    check_same_dimensions(real.shape[1], generated.shape[1])
    size = min(subset_size, len(real), len(generated))
    if size < 2:
        raise ValueError(f"KID needs subsets of 2 images or more, got {len(real)} and {len(generated)} images, subset_size={subset_size}")
    random = np.random.RandomState(seed)
    estimates, variances = [], []
    for _ in range(subsets):
        # The order of the two draws is part of the protocol.
        chosen = [random.choice(len(features), size, replace=False) for features in (real, generated)]
        x, y = as_features(real[chosen[0]], chosen[0]), as_features(generated[chosen[1]], chosen[1])
        estimate, influence_x, influence_y = mmd2_and_influence(x, y)
        estimates.append(estimate)
        variances.append(4 * influence_x.var(ddof=1) / len(real) + 4 * influence_y.var(ddof=1) / len(generated))
    error = math.sqrt(np.mean(variances) + np.var(estimates) / subsets)
    return KID(float(np.mean(estimates)), float(np.std(estimates)), error, subsets, size)
