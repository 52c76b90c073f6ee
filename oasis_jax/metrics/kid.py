"""Kernel Inception distance (Binkowski et al., 2018): an unbiased estimate of the squared maximum mean discrepancy of two feature sets."""
import dataclasses
import math

import numpy as np

from oasis_jax.metrics.features import as_features, check_same_dimensions


@dataclasses.dataclass(frozen=True)
class KID:
    """A distance and its uncertainty. The estimate is unbiased, so it may be negative. Papers report it times 1000.

    Attributes:
        mean: mean over the subsets.
        std: population standard deviation over the subsets, as printed by torch-fidelity. It depends on the subset size and is 0 if every
            subset is the whole set, so it is not the error of the mean.
        standard_error: standard error of the mean; it accounts for the choice of the images and of the subsets.
        subsets, subset_size: number of subsets, and images per set in a subset.
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
    """Unbiased squared discrepancy of features (m, d) and (n, d) float64, and the influence of each image on it.

    Returns:
        float, (m,) and (n,): the estimate, and for each image its mean kernel value with its own set minus its mean kernel value with the
        other.
    """
    m, n = len(x), len(y)
    own_x, own_y = polynomial_kernel(x, x), polynomial_kernel(y, y)
    own_x = (own_x.sum(axis=1) - own_x.diagonal()) / (m - 1)
    own_y = (own_y.sum(axis=1) - own_y.diagonal()) / (n - 1)
    cross = polynomial_kernel(x, y)
    return own_x.mean() + own_y.mean() - 2 * cross.mean(), own_x - cross.mean(axis=1), own_y - cross.mean(axis=0)


def kernel_inception_distance(real, generated, subsets=100, subset_size=1000, seed=2020):
    """KID on the subsets that torch-fidelity draws.

    The standard error combines the first-order error of a U-statistic (Hoeffding, 1948), 4 Var(influence) / images for each set, with the
    spread over the subsets. It is an upper bound if both sources are the same.

    Args:
        real, generated: (N, d) and (M, d) real-valued arrays; of memory-mapped ones (np.memmap), one subset is read at a time.
        subsets: number of subsets, each drawn without replacement.
        subset_size: images per set in a subset; reduced to the size of the smaller set.
        seed: seed of numpy's RandomState.

    Returns:
        KID with the subset size that was used.

    Raises:
        ValueError: there are fewer than two images, the dimensions differ, or features of a drawn image are not finite.
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
