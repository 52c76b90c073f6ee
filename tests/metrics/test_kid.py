"""Laws of the kernel Inception distance."""
import numpy as np
import pytest

from oasis_jax.metrics.kid import kernel_inception_distance, mmd2_and_influence


def features(seed, count, shift=0.0, dimensions=8):
    return np.random.default_rng(seed).standard_normal((count, dimensions)) + shift


def test_estimate_is_the_sum_over_pairs():
    x, y = features(0, 5), features(1, 7, 0.3)

    def kernel(a, b):
        return (a @ b / 8 + 1) ** 3

    own_x = np.mean([kernel(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
    own_y = np.mean([kernel(y[i], y[j]) for i in range(7) for j in range(7) if i != j])
    cross = np.mean([kernel(a, b) for a in x for b in y])
    estimate, influence_x, influence_y = mmd2_and_influence(x, y)
    assert estimate == pytest.approx(own_x + own_y - 2 * cross)
    assert influence_x.mean() + influence_y.mean() == pytest.approx(estimate)


def test_subsets_are_no_larger_than_the_smaller_set():
    kid = kernel_inception_distance(features(0, 40), features(1, 30, 0.5), subsets=3)
    assert kid.subset_size == 30


def test_same_input_gives_the_same_number_and_other_seeds_others():
    x, y = features(0, 60), features(1, 60)
    first = kernel_inception_distance(x, y, subsets=4, subset_size=20)
    assert kernel_inception_distance(x, y, subsets=4, subset_size=20) == first
    assert kernel_inception_distance(x, y, subsets=4, subset_size=20, seed=1).mean != first.mean


def test_one_source_is_at_zero_within_its_error_and_two_are_not():
    same = kernel_inception_distance(features(0, 400), features(1, 400), subsets=10, subset_size=100)
    assert abs(same.mean) < 3 * same.standard_error
    other = kernel_inception_distance(features(0, 400), features(1, 400, 0.5), subsets=10, subset_size=100)
    assert other.mean > 5 * other.standard_error


@pytest.mark.parametrize("subset_size", [25, 100])
def test_standard_error_is_the_spread_over_other_images(subset_size):
    kids = [
        kernel_inception_distance(features(2 * i, 100), features(2 * i + 1, 100, 1.0), subsets=10, subset_size=subset_size)
        for i in range(150)
    ]
    spread = np.std([kid.mean for kid in kids], ddof=1)
    assert np.mean([kid.standard_error for kid in kids]) == pytest.approx(spread, rel=0.25)


def test_bad_sets_are_errors():
    with pytest.raises(ValueError, match="2 images or more, got 1 and 9"):
        kernel_inception_distance(features(0, 1), features(1, 9))
    with pytest.raises(ValueError, match="of 8 and of 4 dimensions"):
        kernel_inception_distance(features(0, 9), features(1, 9, dimensions=4))
    broken = features(0, 9)
    broken[6] = np.nan
    with pytest.raises(ValueError, match="image 6 "):
        kernel_inception_distance(broken, features(1, 9))
