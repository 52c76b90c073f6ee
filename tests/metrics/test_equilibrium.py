"""Laws of the disequilibrium indicators."""
import functools

import jax
import numpy as np
import pytest

from oasis_jax.metrics.equilibrium import Equilibrium, log_fake_probability


def logits(seed, count=6, classes=4):
    return 2 * np.random.default_rng(seed).standard_normal((count, 8, 8, classes + 1)).astype(np.float32)


def label_maps(seed, count=6, classes=4):
    return np.random.default_rng(seed).integers(0, classes, (count, 8, 8))


def di_seg(real, generated, labels, classes=4, **kwargs):
    equilibrium = Equilibrium.empty(classes).update_log_fake(log_fake_probability(real), log_fake_probability(generated), labels)
    return equilibrium.di_seg(**kwargs)


def test_di_is_the_gap_of_the_mean_logits_however_they_come():
    real, generated = np.random.default_rng(0).standard_normal((2, 40)) + [[3], [0]]
    once = Equilibrium.empty().update_logits(real, generated)
    assert once.di == pytest.approx(real.mean() - generated.mean())
    parts = [Equilibrium.empty().update_logits(real[i::4], generated[i::4]) for i in range(4)]
    assert functools.reduce(Equilibrium.merge, parts).di == pytest.approx(once.di, rel=1e-12)


def test_di_seg_is_the_mean_over_classes_of_gaps_over_pixels():
    real, generated, labels = logits(0), logits(1), label_maps(2)
    real_log, generated_log = (np.log(jax.nn.softmax(x)[..., 0]) for x in (real, generated))
    gaps = [generated_log[labels == c].mean() - real_log[labels == c].mean() for c in range(4)]
    assert di_seg(real, generated, labels) == pytest.approx(np.mean(gaps), rel=1e-4)
    assert di_seg(real, generated, labels, dontcare_id=0) == pytest.approx(np.mean(gaps[1:]), rel=1e-4)


def test_di_seg_is_zero_for_a_d_that_sees_no_difference_and_grows_as_it_sees_one():
    real, generated, labels = logits(0), logits(1), label_maps(2)
    assert di_seg(real, real, labels) == 0
    sure = [generated + np.array([k, 0, 0, 0, 0], np.float32) for k in (0, 2, 4)]
    values = [di_seg(real, x, labels) for x in sure]
    assert values == sorted(values) and values[0] < values[-1]


def test_sharded_equals_single_and_order_does_not_matter():
    real, generated, labels = log_fake_probability(logits(0)), log_fake_probability(logits(1)), label_maps(2)
    once = Equilibrium.empty(4).update_log_fake(real, generated, labels)
    parts = [Equilibrium.empty(4).update_log_fake(real[i::3], generated[i::3], labels[i::3]) for i in range(3)]
    for order in (parts, parts[::-1]):
        assert functools.reduce(Equilibrium.merge, order).di_seg() == pytest.approx(once.di_seg(), rel=1e-12)


def test_rare_classes_count_as_much_as_frequent_ones_and_absent_ones_not_at_all():
    labels = np.zeros((1, 8, 8), int)
    labels[0, 0, 0], labels[0, 0, 1] = 1, 255
    real, generated = np.zeros((1, 8, 8)), np.where(labels == 1, 5.0, 1.0)
    assert Equilibrium.empty(4).update_log_fake(real, generated, labels).di_seg() == 3.0
    assert np.isnan(Equilibrium.empty(4).di_seg())


def test_bad_logits_are_errors():
    with pytest.raises(ValueError, match="as many real as generated"):
        Equilibrium.empty().update_logits(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="NaN or infinite"):
        Equilibrium.empty().update_logits(np.zeros(3), np.array([0, np.nan, 0]))
    with pytest.raises(ValueError, match="do not match"):
        Equilibrium.empty(4).update_log_fake(np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), np.zeros((1, 8, 8), int))
