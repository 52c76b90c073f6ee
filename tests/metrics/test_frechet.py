"""Laws of the moments of features and of the Frechet distance."""
import functools
import warnings

import numpy as np
import pytest

from oasis_jax.metrics.frechet import FewImagesWarning, Moments, frechet_distance


def features(seed, count=60, dimensions=12, offset=0.0):
    """Correlated features; a large offset puts them far from the origin, where a covariance from raw second moments loses precision."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((count, dimensions)) @ rng.standard_normal((dimensions, dimensions)) + offset).astype(np.float32)


def assert_same(a, b):
    assert a.count == b.count
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12)
    np.testing.assert_allclose(a.scatter, b.scatter, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("offset", [0, 1e4])
def test_moments_are_those_of_numpy_in_float64(offset):
    x = features(0, offset=offset)
    moments = Moments.of(x)
    assert moments.mean.dtype == moments.covariance.dtype == np.float64
    np.testing.assert_allclose(moments.mean, x.astype(np.float64).mean(0), rtol=1e-13)
    np.testing.assert_allclose(moments.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_streaming_equals_all_at_once(batch_size):
    x = features(0, offset=1e3)
    moments = Moments.empty(x.shape[1])
    for start in range(0, len(x), batch_size):
        moments = moments.update(x[start : start + batch_size])
    assert_same(moments, Moments.of(x))


def test_neither_order_nor_sharding_matters():
    x = features(0, offset=1e3)
    shards = [Moments.of(x[i::8]) for i in range(8)]
    merged = functools.reduce(Moments.merge, shards)
    assert_same(merged, Moments.of(x))
    assert_same(functools.reduce(Moments.merge, shards[::-1]), merged)
    assert_same(Moments.of(np.random.default_rng(1).permutation(x)), merged)
    reference = Moments.of(features(1))
    assert frechet_distance(merged, reference) == pytest.approx(frechet_distance(Moments.of(x), reference), rel=1e-12)


def test_update_and_merge_leave_their_arguments_alone():
    x = features(0)
    first = Moments.of(x[:30])
    mean, scatter = first.mean.copy(), first.scatter.copy()
    first.update(x[30:]).merge(first)
    assert first.count == 30
    np.testing.assert_array_equal(first.mean, mean)
    np.testing.assert_array_equal(first.scatter, scatter)


def test_nothing_merged_changes_nothing():
    moments, nothing = Moments.of(features(0)), Moments.empty(12)
    for same in (moments.merge(nothing), nothing.merge(moments), moments.update(np.zeros((0, 12)))):
        assert_same(same, moments)


@pytest.mark.parametrize("count", [2, 60, 500])
@pytest.mark.filterwarnings(f"ignore::{FewImagesWarning.__module__}.FewImagesWarning")
def test_identical_sets_are_at_distance_zero(count):
    x = Moments.of(features(0, count, 128, offset=3))
    assert 0 <= frechet_distance(x, x) < 1e-6
    assert 0 <= frechet_distance(x, Moments.of(features(0, count, 128, offset=3)[::-1])) < 1e-6


def test_distance_is_symmetric_and_has_the_closed_form_of_commuting_covariances():
    x = features(0, 200).astype(np.float64)
    moments = Moments.of(x)
    other = Moments.of(3 * x + 1)  # covariance 9 C, so the distance is |m1 - m2|^2 + (3 - 1)^2 tr C
    expected = np.sum((moments.mean - other.mean) ** 2) + 4 * np.trace(moments.covariance)
    assert frechet_distance(moments, other) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(other, moments) == pytest.approx(expected, rel=1e-12)


@pytest.mark.filterwarnings(f"ignore::{FewImagesWarning.__module__}.FewImagesWarning")
def test_rank_deficient_covariances_are_exact():
    """Compared with the singular values of the centred features; images are repeated in one set, and dimensions are zero in the other."""
    x, y = (features(seed, 20, 64).astype(np.float64) for seed in (0, 1))
    x[10:], y[:, 50:] = x[:10], 0
    centred = [(f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (x, y)]
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + sum((c**2).sum() for c in centred)
    expected -= 2 * np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(expected, rel=1e-11)


def test_equal_images_throughout_have_a_distance():
    still, moving = Moments.of(np.full((40, 3), 2.0)), Moments.of(features(0, 40, 3))
    assert frechet_distance(still, still) == 0
    expected = np.sum((moving.mean - 2) ** 2) + np.trace(moving.covariance)
    assert frechet_distance(still, moving) == pytest.approx(expected, rel=1e-12)


def test_too_few_images_warn_of_the_bias_and_enough_do_not():
    enough, few = Moments.of(features(0, 13)), Moments.of(features(1, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frechet_distance(enough, enough)
    with pytest.warns(FewImagesWarning, match="13 and 12 images with 12 feature dimensions is biased upwards: 12 images span at most 11"):
        frechet_distance(enough, few)


def test_bad_sets_are_errors():
    with pytest.raises(ValueError, match="at least 2 images, this set has 1"):
        frechet_distance(Moments.of(features(0, 1)), Moments.of(features(1)))
    with pytest.raises(ValueError, match="of 12 and of 8 dimensions"):
        frechet_distance(Moments.of(features(0)), Moments.of(features(1, dimensions=8)))
    with pytest.raises(ValueError, match="of 12 and of 8 dimensions"):
        Moments.of(features(0)).update(features(1, dimensions=8))
    with pytest.raises(ValueError, match=r"\(3, 2, 2, 4\)"):
        Moments.of(np.zeros((3, 2, 2, 4)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_feature_names_its_image(value):
    x = features(0)
    x[41, 5] = value
    moments = Moments.of(x[:30])
    with pytest.raises(ValueError, match="image 41 "):
        moments.update(x[30:])
