"""Laws of structural similarity."""
import numpy as np
import pytest

from oasis_jax.metrics.msssim import ms_ssim


def pictures(seed, height=161, width=170, count=2):
    """Random tiles with some grain."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(30, 226, (count, -(-height // 8), -(-width // 8), 3)).repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return (tiles + rng.integers(-30, 30, tiles.shape)).astype(np.uint8)


def test_equal_images_score_one_and_order_does_not_matter():
    a, b = pictures(0), pictures(1)
    np.testing.assert_allclose(ms_ssim(a, a), 1, atol=1e-6)
    np.testing.assert_allclose(ms_ssim(a, b), ms_ssim(b, a), atol=1e-6)
    assert (ms_ssim(a, b) < 0.9).all()


def test_scores_of_a_batch_are_those_of_its_pairs_and_bytes_are_their_fractions():
    a, b = pictures(0), pictures(1)
    scores = np.asarray(ms_ssim(a, b))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(np.concatenate([ms_ssim(a[i : i + 1], b[i : i + 1]) for i in range(2)]), scores, atol=1e-6)
    np.testing.assert_allclose(ms_ssim(a / np.float32(255), b / np.float32(255)), scores, atol=1e-6)


def test_images_of_160_pixels_are_too_small():
    with pytest.raises(ValueError, match="160x170 pixels are too small for MS-SSIM: both sides must be at least 161"):
        ms_ssim(pictures(0, 160), pictures(1, 160))
    with pytest.raises(ValueError, match=r"\(2, 161, 170, 3\) and \(1, 161, 170, 3\)"):
        ms_ssim(pictures(0), pictures(1, count=1))
