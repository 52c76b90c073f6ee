"""Laws of heatmaps that are given explicitly or drawn from a seed."""
import jax
import numpy as np
import pytest

from oasis_jax import heatmaps

CENTRES, WIDTHS = np.linspace(-1, 1, 14).reshape(7, 2), np.linspace(0.1, 0.7, 7)


def test_a_seed_gives_the_same_heatmaps_again_and_another_seed_others():
    first = heatmaps.of_seed(3)
    assert first.shape == (7, 3) and first.dtype == np.float32 and (first[:, 2] > 0).all()
    np.testing.assert_array_equal(first, heatmaps.of_seed(3))
    assert np.all(first != heatmaps.of_seed(4))
    np.testing.assert_allclose(first, jax.jit(heatmaps.of_key)(jax.random.key(3)), rtol=0, atol=1e-6)


def test_explicit_centres_and_widths_are_kept_for_one_image_and_for_many():
    alone = heatmaps.explicit(CENTRES, WIDTHS)
    np.testing.assert_allclose(alone[0], np.column_stack([CENTRES, WIDTHS]), rtol=1e-6)
    many = heatmaps.explicit(np.stack([CENTRES] * 3), 0.2)
    assert many.shape == (3, 7, 3) and np.all(many[..., 2] == np.float32(0.2))


def test_moving_the_coarse_centre_takes_all_others_along():
    before = heatmaps.explicit(CENTRES, WIDTHS)
    after = heatmaps.with_centres(before, (0.25, -0.5))
    np.testing.assert_allclose(after[:, 0, :2], [[0.25, -0.5]])
    step = after - before
    np.testing.assert_allclose(step, np.broadcast_to(step[:, :1], step.shape), atol=1e-6)
    np.testing.assert_array_equal(after[..., 2], before[..., 2])


def test_all_centres_can_be_replaced_while_the_widths_are_kept():
    before = np.stack([heatmaps.of_seed(0)] * 2)
    after = heatmaps.with_centres(before, CENTRES)
    np.testing.assert_allclose(after[..., :2], [CENTRES] * 2, rtol=1e-6)
    np.testing.assert_array_equal(after[..., 2], before[..., 2])


@pytest.mark.parametrize(
    ("centres", "message"),
    [(CENTRES[:3], "3 centres were given: give 7, or 1 to move"), ([np.nan, 0], r"the centres \[\[nan, 0.0\]\] are not all finite")],
)
def test_centres_that_do_not_fit_are_reported(centres, message):
    with pytest.raises(ValueError, match=message):
        heatmaps.with_centres(heatmaps.of_seed(0), centres)


@pytest.mark.parametrize(
    ("centres", "widths", "message"),
    [
        (CENTRES[:3], 0.2, r"centres are \(1, 3, 2\), but should be \(7, 2\) or \(B, 7, 2\)"),
        (np.zeros((2, 6, 2)), 0.2, r"centres are \(2, 6, 2\)"),
        (CENTRES * np.nan, 0.2, "the centre's y of map 0 of heatmaps 0 is nan: give a finite number"),
        (np.where(np.arange(7)[:, None] == 4, np.inf, CENTRES), 0.2, "the centre's y of map 4 of heatmaps 0 is inf"),
        (CENTRES, 0, "the width of map 0 of heatmaps 0 is 0.0, but should be positive"),
        (CENTRES, np.where(np.arange(7) == 2, -0.5, 0.5), "the width of map 2 of heatmaps 0 is -0.5"),
        (CENTRES, np.nan, "the width of map 0 of heatmaps 0 is nan"),
        (CENTRES, 1e-40, "numbers beyond 1e.06, or widths below 1e-06"),
        (np.full((7, 2), 1e30), 3e38, "numbers beyond 1e.06, or widths below 1e-06"),
        (CENTRES, [0.1, 0.2], r"widths are \(2,\), but should be one number, \(7,\) or \(1, 7\)"),
    ],
)
def test_numbers_that_are_no_heatmaps_are_reported(centres, widths, message):
    with pytest.raises(ValueError, match=message):
        heatmaps.explicit(centres, widths)
