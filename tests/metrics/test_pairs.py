"""Laws of the diversity of samples of one label map."""
import itertools

import numpy as np
import pytest

from oasis_jax.metrics.pairs import absolute_difference, inside_and_outside, mean_over_pairs


def samples(count, seed=0):
    return np.random.default_rng(seed).random((count, 12, 16, 3)).astype(np.float32)


def distance(a, b):
    return absolute_difference(a, b).mean((1, 2))


@pytest.mark.parametrize("count", [2, 3, 4, 5, 10])
def test_mean_is_over_every_pair_once(count):
    drawn = samples(count)
    pairs = [np.abs(a - b).mean() for a, b in itertools.combinations(drawn, 2)]
    assert mean_over_pairs(distance, drawn) == pytest.approx(np.mean(pairs), rel=1e-5)
    assert mean_over_pairs(distance, drawn[::-1]) == pytest.approx(np.mean(pairs), rel=1e-5)


def test_the_distance_sees_one_shape_only():
    shapes = set()

    def recorded(a, b):
        shapes.add((a.shape, b.shape))
        return distance(a, b)

    mean_over_pairs(recorded, samples(6))
    assert len(shapes) == 1


def test_equal_samples_have_no_diversity():
    assert mean_over_pairs(distance, np.repeat(samples(1), 5, axis=0)) == 0


def test_noise_of_one_class_is_found_in_its_region_alone():
    region = np.zeros((12, 16), bool)
    region[3:7, 2:9] = True
    drawn = np.where(region[..., None], samples(4), samples(1, seed=1))
    pairs = mean_over_pairs(absolute_difference, drawn)
    assert pairs.shape == region.shape
    inside, outside = inside_and_outside(pairs, region)
    assert inside > 0.2 and outside == 0
    everywhere = inside * region.mean() + outside * (1 - region.mean())
    assert everywhere == pytest.approx(mean_over_pairs(distance, drawn), rel=1e-5)


def test_a_part_without_pixels_is_nan():
    flat = np.ones((12, 16))
    inside, outside = inside_and_outside(flat, np.zeros((12, 16), bool))
    assert np.isnan(inside) and outside == 1


def test_bad_input_is_an_error():
    with pytest.raises(ValueError, match="at least 2 samples"):
        mean_over_pairs(distance, samples(1))
    with pytest.raises(ValueError, match=r"\(12, 16\), region of shape \(6, 8\)"):
        inside_and_outside(np.ones((12, 16)), np.zeros((6, 8), bool))
