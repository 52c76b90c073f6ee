"""Laws of the mixed pixels of a label map."""
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.boundaries import mixed, mixed_shares


@pytest.mark.parametrize("shape", [(2, 9, 7), (1, 1, 4), (1, 30, 2)], ids=str)
@pytest.mark.parametrize("radius", [1, 2])
def test_a_pixel_is_mixed_if_its_neighbourhood_is_not_one_id_inside_the_image(radius, shape):
    ids = np.random.default_rng(0).integers(0, 2, shape).astype(np.int32)
    ids[:, shape[1] // 4 :] = 1
    padded = np.pad(ids, [(0, 0), (radius, radius), (radius, radius)], constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1,) * 2, (1, 2))
    expected = windows.min((3, 4)) != windows.max((3, 4))
    np.testing.assert_array_equal(mixed(ids, radius), expected)
    np.testing.assert_array_equal(mixed(jnp.asarray(ids), radius, jnp), expected)


def test_shares_of_one_class_are_those_of_the_border():
    shares = mixed_shares(np.zeros((16, 32), np.uint8), 2)
    inside = [[14 * 30 / 512, 12 * 28 / 512], [6 * 14 / 128, 4 * 12 / 128]]
    np.testing.assert_allclose(shares, 1 - np.asarray(inside))
