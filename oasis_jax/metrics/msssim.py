"""Multi-scale structural similarity (Wang et al., 2003), with the windows, borders and order of operations of pytorch-msssim."""
import jax
import jax.numpy as jnp
import numpy as np

_TAPS = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
_TAPS = _TAPS / _TAPS.sum()
_C1, _C2 = 0.01**2, 0.03**2
WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
SHORTEST_SIDE = (len(_TAPS) - 1) * 2 ** (len(WEIGHTS) - 1) + 1


def _blur(x):
    """(B, H, W, C) -> (B, H - 10, W - 10, C): Gaussian filter at the positions where the window lies inside the image."""
    for axis in (1, 2):
        size = x.shape[axis] - len(_TAPS) + 1
        x = sum(tap * jax.lax.slice_in_dim(x, i, i + size, axis=axis) for i, tap in enumerate(_TAPS.tolist()))
    return x


def _similarity(a, b):
    """Means over the pixels of the structural similarity (Wang et al., 2004) and of its contrast-structure part, each (B, C)."""
    moments = _blur(jnp.concatenate([a, b, a * a, b * b, a * b], axis=-1))
    mean_a, mean_b, square_a, square_b, product = jnp.split(moments, 5, axis=-1)
    contrast = (2 * (product - mean_a * mean_b) + _C2) / (square_a - mean_a**2 + square_b - mean_b**2 + _C2)
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return (luminance * contrast).mean((1, 2)), contrast.mean((1, 2))


def _halve(x):
    """Means of 2x2 pixels; an odd side is padded in front with a row of zeros, which counts in the mean."""
    padding = [(side % 2, side % 2) for side in x.shape[1:3]]
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), [(0, 0), *padding, (0, 0)]) / 4


def _checked(a, b, shortest):
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(f"images of shapes {a.shape} and {b.shape}: both must be (B, H, W, C) of one size")
    if min(a.shape[1:3]) < shortest:
        raise ValueError(f"images of {a.shape[1]}x{a.shape[2]} pixels are too small for MS-SSIM: both sides must be at least {shortest}")
    return [x / 255 if x.dtype == jnp.uint8 else x for x in (a, b)]


@jax.jit
def ms_ssim(a, b):
    """Multi-scale structural similarity of pairs of images, in 0..1, 1 for equal images; among samples, lower is more diverse.

    Args:
        a, b: (B, H, W, C) uint8, or float in [0, 1]; sides of at least 161, so that the window fits into the coarsest of the five scales.

    Returns:
        (B,) float32: product over the scales for each channel, then mean over the channels.

    Raises:
        ValueError: the shapes differ, or the images are too small.
    """
    a, b = _checked(a, b, SHORTEST_SIDE)
    score = 1.0
    for weight in WEIGHTS[:-1].tolist():
        score *= jax.nn.relu(_similarity(a, b)[1]) ** weight
        a, b = _halve(a), _halve(b)
    score *= jax.nn.relu(_similarity(a, b)[0]) ** float(WEIGHTS[-1])
    return score.mean(-1)
