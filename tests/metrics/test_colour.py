"""Laws of the colour distances."""
import numpy as np

from oasis_jax.metrics.colour import chi_square, class_histograms, colour_distance, colour_histograms, lab


def random_pair(seed, num_classes=4):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (16, 24, 3), np.uint8), rng.integers(0, num_classes, (16, 24))


def test_lab_of_known_colours():
    colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 0, 255]], np.uint8)
    np.testing.assert_allclose(lab(colours), [[0, 0, 0], [100, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]], atol=0.02)


def test_every_pixel_is_counted_once_in_its_class():
    image, labels = random_pair(0)
    counts = class_histograms(image, labels, 5)
    np.testing.assert_array_equal(counts.sum(-1), np.tile(np.bincount(labels.ravel(), minlength=5)[:, None], 3))


def test_distance_of_equal_images_is_zero_and_of_disjoint_colours_one():
    image, labels = random_pair(0)
    same = class_histograms(image, labels, 4)
    assert colour_distance(same, same) == 0
    black, white = (class_histograms(np.full_like(image, value), labels, 4) for value in (0, 255))
    np.testing.assert_allclose(chi_square(black, white)[:, 0], 1)


def test_dontcare_class_and_absent_classes_do_not_count():
    image, labels = random_pair(1)
    other = np.where(labels[..., None] == 0, 255 - image, image)
    real, generated = (class_histograms(i, labels, 6) for i in (image, other))
    assert colour_distance(real, generated, dontcare_id=0) == 0 < colour_distance(real, generated)


def test_histograms_of_a_set_are_sums_over_its_images_and_over_the_classes():
    (first, labels), (second, _) = random_pair(0), random_pair(1)
    together = colour_histograms(np.stack([first, second]))
    np.testing.assert_array_equal(together, colour_histograms(first) + colour_histograms(second))
    np.testing.assert_array_equal(colour_histograms(first), class_histograms(first, labels, 4).sum(0))


def test_distances_of_sets_are_zero_for_shuffled_pixels_and_one_for_disjoint_lightness():
    image, _ = random_pair(2)
    shuffled = np.random.default_rng(0).permutation(image.reshape(-1, 3)).reshape(image.shape)
    np.testing.assert_array_equal(chi_square(colour_histograms(image), colour_histograms(shuffled)), 0)
    black, white = (colour_histograms(np.full_like(image, value)) for value in (0, 255))
    assert chi_square(black, white)[0] == 1
