"""Laws of the heatmaps of a training stream."""
import numpy as np
import pytest
import tensorflow as tf

from oasis_jax.data.heatmap_draws import draw


def drawn(seed, start, stop):
    """Heatmaps (stop - start, 2, 7, 3) of the positions from start to stop, for batches of four."""

    def of(position):
        return draw(seed, position, 4)

    return np.stack(list(tf.data.Dataset.range(start, stop).map(of).as_numpy_iterator()))


@pytest.fixture(scope="module")
def many():
    return drawn(0, 0, 2000)


def test_a_position_has_the_same_heatmaps_wherever_it_is_drawn(many):
    np.testing.assert_array_equal(drawn(0, 7, 9), many[7:9])
    assert not np.array_equal(drawn(1, 7, 9), many[7:9])


def test_both_updates_have_heatmaps_of_their_own(many):
    assert np.all(np.any(many[:, 0] != many[:, 1], axis=(1, 2)))
    assert abs(np.corrcoef(many[:, 0, 0, 0], many[:, 1, 0, 0])[0, 1]) < 0.1


def test_a_step_shares_the_width_of_the_coarse_map_alone(many):
    steps = many.reshape(500, 4, 2, 7, 3)
    shared = np.all(steps == steps[:, :1], axis=(0, 1, 2))
    assert shared[0, 2] and shared.sum() == 1
    assert len(np.unique(steps[:, 0, :, 0, 2])) == 1000


def test_centres_and_widths_have_the_published_distribution(many):
    coarse, middle, fine = many[:, :, :1], many[:, :, 1:3], many[:, :, 3:]
    assert np.abs(coarse[..., :2]).max() == 0.75
    within = np.clip(np.random.default_rng(0).normal(0, 0.33, 100_000), -0.75, 0.75)
    np.testing.assert_allclose(coarse[..., :2].std(), within.std(), rtol=0.03)
    for level, reach in ((middle, 0.4), (fine, 0.8)):
        around = level[..., :2] - coarse[..., :2]
        assert np.abs(around).max() <= reach + 1e-6
        np.testing.assert_allclose(around.std(), reach / np.sqrt(3), rtol=0.03)
    for level, low, high in ((coarse, 0.5, 1.0), (middle, 0.1 / 1.4, 1.1 / 1.4), (fine, 0.05, 0.55)):
        assert low <= level[..., 2].min() and level[..., 2].max() <= high
        np.testing.assert_allclose(level[..., 2].mean(), (low + high) / 2, rtol=0.03)
