"""Laws of the disequilibrium indicators."""
import functools

import jax
import numpy as np
import pytest

from oasis_jax.metrics.equilibrium import ClassMeans, di
from oasis_jax.oasis.disequilibrium import di_seg, log_fake_probability


def logits(seed, count=6, classes=4):
    return 2 * np.random.default_rng(seed).standard_normal((count, 8, 8, classes + 1)).astype(np.float32)


def label_maps(seed, count=6, classes=4):
    return np.random.default_rng(seed).integers(0, classes, (count, 8, 8))


def of_logits(values):
    return ClassMeans.empty(1).update(values, np.zeros(np.shape(values), int))


def by_class(log_fake, labels, classes=4):
    return ClassMeans.empty(classes).update(log_fake, labels)


def di_seg_of(real, generated, labels, **kwargs):
    return di_seg(*(by_class(log_fake_probability(logits), labels) for logits in (real, generated)), **kwargs)


def test_di_is_the_gap_of_the_mean_logits_however_they_come():
    real, generated = np.random.default_rng(0).standard_normal((2, 40)) + [[3], [0]]
    once = di(of_logits(real), of_logits(generated))
    assert once == pytest.approx(real.mean() - generated.mean())
    parts = [functools.reduce(ClassMeans.merge, (of_logits(values[i::4]) for i in range(4))) for values in (real, generated)]
    assert di(*parts) == pytest.approx(once, rel=1e-12)


def test_di_seg_is_the_mean_over_classes_of_gaps_over_pixels():
    real, generated, labels = logits(0), logits(1), label_maps(2)
    real_log, generated_log = (np.log(jax.nn.softmax(x)[..., 0]) for x in (real, generated))
    gaps = [generated_log[labels == c].mean() - real_log[labels == c].mean() for c in range(4)]
    assert di_seg_of(real, generated, labels) == pytest.approx(np.mean(gaps), rel=1e-4)
    assert di_seg_of(real, generated, labels, dontcare_id=0) == pytest.approx(np.mean(gaps[1:]), rel=1e-4)


def test_di_seg_is_zero_for_a_d_that_sees_no_difference_and_grows_as_it_sees_one():
    real, generated, labels = logits(0), logits(1), label_maps(2)
    assert di_seg_of(real, real, labels) == 0
    sure = [generated + np.array([k, 0, 0, 0, 0], np.float32) for k in (0, 2, 4)]
    values = [di_seg_of(real, x, labels) for x in sure]
    assert values == sorted(values) and values[0] < values[-1]


def test_sharded_equals_single_and_order_does_not_matter():
    sets, labels = [log_fake_probability(logits(seed)) for seed in (0, 1)], label_maps(2)
    once = di_seg(*(by_class(values, labels) for values in sets))
    parts = [[by_class(values[i::3], labels[i::3]) for i in range(3)] for values in sets]
    for way in (1, -1):
        merged = [functools.reduce(ClassMeans.merge, of_set[::way]) for of_set in parts]
        assert di_seg(*merged) == pytest.approx(once, rel=1e-12)


def test_rare_classes_count_as_much_as_frequent_ones_and_absent_ones_not_at_all():
    labels = np.zeros((1, 8, 8), int)
    labels[0, 0, 0], labels[0, 0, 1] = 1, 255
    real, generated = np.zeros((1, 8, 8)), np.where(labels == 1, 5.0, 1.0)
    assert di_seg(by_class(real, labels), by_class(generated, labels)) == 3.0
    assert np.isnan(di_seg(ClassMeans.empty(4), ClassMeans.empty(4)))


def test_bad_values_are_errors():
    with pytest.raises(ValueError, match="as many real as generated"):
        di(of_logits(np.zeros(3)), of_logits(np.zeros(4)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        of_logits(np.array([0, np.nan, 0]))
    with pytest.raises(ValueError, match="do not match"):
        by_class(np.zeros((1, 4, 4)), np.zeros((1, 8, 8), int))
