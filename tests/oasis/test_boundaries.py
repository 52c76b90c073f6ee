"""Laws of the mixed pixels of a label map."""
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.oasis.boundaries import boundary_counts, mixed


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


def test_counts_of_one_class_are_those_of_the_border():
    pixels = [[16 * 32 - 14 * 30, 16 * 32 - 12 * 28], [8 * 16 - 6 * 14, 8 * 16 - 4 * 12]]
    counts = boundary_counts(np.zeros((16, 32), np.uint8), 2)
    np.testing.assert_array_equal(counts[:, :2], pixels)
    np.testing.assert_array_equal(counts[:, 2:], [[8, 24]] * 2)  # of 9 and 25 positions relative to the border, all but one cross it


def test_neighbourhoods_are_counted_once():
    ids = np.random.default_rng(0).integers(0, 2, (10, 12))
    for radius, expected in zip((1, 2), boundary_counts(ids, 1)[0, 2:], strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(ids, radius, constant_values=-1), (2 * radius + 1,) * 2)
        windows = windows.reshape(-1, (2 * radius + 1) ** 2)
        assert len(np.unique(windows[windows.min(1) != windows.max(1)], axis=0)) == expected
