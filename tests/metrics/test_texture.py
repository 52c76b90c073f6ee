"""Laws of the texture distance."""
import numpy as np
import pytest

from oasis_jax.metrics.texture import texture_distance, texture_histogram


def picture(seed, height=20, width=24):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_one_pattern_by_hand():
    # Clockwise from the upper left: brighter, darker, brighter, darker, equal, darker, darker, brighter -> bits 0, 2, 4 and 7.
    grey = np.array([[9, 1, 9], [9, 5, 1], [1, 1, 5]], np.uint8)
    counts = texture_histogram(np.repeat(grey[..., None], 3, axis=-1))
    assert np.flatnonzero(counts).tolist() == [0b10010101] and counts.sum() == 1


def test_every_pixel_inside_the_border_is_counted_and_sets_add_up():
    a, b = picture(0), picture(1)
    np.testing.assert_array_equal(texture_histogram(np.stack([a, b])), texture_histogram(a) + texture_histogram(b))
    assert texture_histogram(a).sum() == 18 * 22


def test_brightness_does_not_matter_and_flat_and_noisy_textures_are_far():
    dark = picture(0) // 2
    grey = np.repeat(dark[..., :1], 3, axis=-1)
    assert texture_distance(texture_histogram(grey), texture_histogram(grey + 100)) == 0
    assert texture_distance(texture_histogram(grey), texture_histogram(np.zeros_like(grey))) > 0.8


def test_images_without_an_inside_are_errors():
    with pytest.raises(ValueError, match="2x24"):
        texture_histogram(picture(0, height=2))
