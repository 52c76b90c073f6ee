"""Layers against their definitions, written out with loops; and against PyTorch itself where it is installed."""
import itertools

import jax
import numpy as np
import pytest

from oasis_jax.metrics.nets import torch_layers as layers

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def windows(x, window, stride, padding):
    """{(i, j): the part of x (H, W, C) that window (i, j) covers}, for all windows that end inside the padded input."""
    height, width = x.shape[:2]
    found = {}
    for i, j in itertools.product(*(range((side + 2 * padding - window) // stride + 1) for side in (height, width))):
        top, left = i * stride - padding, j * stride - padding
        found[i, j] = x[max(top, 0) : top + window, max(left, 0) : left + window]
    return found


@pytest.mark.parametrize("window,stride,padding", [(3, 1, 1), (3, 2, 0), (3, 2, 1), (2, 2, 0)])
def test_pools_reduce_what_their_windows_cover(window, stride, padding):
    x = normal(1, 7, 8, 2)
    highest = np.asarray(layers.max_pool(x, window, stride, padding))[0]
    inside = np.asarray(layers.avg_pool(x, window, stride, padding, count_include_pad=False))[0]
    padded = np.asarray(layers.avg_pool(x, window, stride, padding))[0]
    cells = windows(x[0], window, stride, padding)
    assert highest.shape[:2] == inside.shape[:2] == tuple(np.add(max(cells), 1))
    for at, part in cells.items():
        np.testing.assert_array_equal(highest[at], part.max((0, 1)))
        np.testing.assert_allclose(inside[at], part.mean((0, 1)), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(padded[at], part.sum((0, 1)) / window**2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length,size", [(7, 4), (8, 5), (112, 57)])
def test_ceil_mode_keeps_the_window_that_hangs_over(length, size):
    x = normal(1, length, length, 1)
    pooled = layers.max_pool(x, 3, 2, 1, ceil_mode=True)
    assert pooled.shape == (1, size, size, 1)
    assert pooled[0, -1, -1, 0] == x[0, 2 * size - 3 :, 2 * size - 3 :].max()


def test_ceil_mode_drops_a_window_that_would_begin_behind_the_input():
    assert layers.max_pool(normal(1, 3, 3, 1), 1, 3, 0, ceil_mode=True).shape == (1, 1, 1, 1)
    assert layers.max_pool(normal(1, 5, 5, 1), 2, 3, 1, ceil_mode=True).shape == (1, 2, 2, 1)


def test_adaptive_pool_bins_overlap_where_sides_do_not_divide():
    x = normal(1, 8, 10, 2)
    found = np.asarray(layers.adaptive_avg_pool(x, 3))
    for (i, rows), (j, columns) in itertools.product(enumerate([(0, 3), (2, 6), (5, 8)]), enumerate([(0, 4), (3, 7), (6, 10)])):
        np.testing.assert_allclose(found[0, i, j], x[0, slice(*rows), slice(*columns)].mean((0, 1)), rtol=1e-5, atol=1e-6)


def test_resize_interpolates_between_pixel_centres():
    ramp = np.arange(4, dtype=np.float32).reshape(1, 1, 4, 1)
    np.testing.assert_allclose(layers.resize_bilinear(ramp, (1, 8))[0, 0, :, 0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    np.testing.assert_allclose(layers.resize_bilinear(ramp, (1, 2))[0, 0, :, 0], [0.5, 2.5])
    np.testing.assert_allclose(layers.resize_bilinear_tf1(ramp, (1, 8))[0, 0, :, 0], [0, 0.5, 1, 1.5, 2, 2.5, 3, 3])


def test_resize_by_a_scale_steps_by_its_inverse():
    ramp = np.arange(5, dtype=np.float32).reshape(1, 1, 5, 1)
    np.testing.assert_allclose(layers.resize_bilinear(ramp, (1, 2), (1, 0.5))[0, 0, :, 0], [0.5, 2.5])
    np.testing.assert_allclose(layers.resize_bilinear(ramp, (1, 2))[0, 0, :, 0], [0.75, 3.25])


def test_transposed_convolution_spreads_every_pixel():
    x, layer = normal(1, 3, 4, 2), layers.ConvTranspose(3, 4, 2, padding=1, use_bias=False)
    variables = layer.init(jax.random.key(0), x)
    kernel, expected = np.asarray(variables["params"]["transposed_kernel"]), np.zeros((8, 10, 3), np.float32)
    for i, j in itertools.product(range(3), range(4)):
        expected[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum("c,hwco->hwo", x[0, i, j], kernel)
    np.testing.assert_allclose(layer.apply(variables, x)[0], expected[1:-1, 1:-1], atol=1e-5)


def test_layers_equal_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from oasis_jax.metrics.nets.weights import to_variables

    cases = [
        (torch.nn.Conv2d(4, 6, (3, 5), 2, (1, 2), 1, 2), layers.Conv(6, (3, 5), 2, (1, 2), 1, 2)),
        (torch.nn.Conv2d(4, 6, 3, 1, 2, 2, bias=False), layers.Conv(6, 3, 1, 2, 2, use_bias=False)),
        (torch.nn.ConvTranspose2d(4, 6, 4, 2, 1), layers.ConvTranspose(6, 4, 2, 1)),
        (torch.nn.BatchNorm2d(4, 1e-3), layers.BatchNorm(1e-3)),
        (torch.nn.PReLU(4), layers.PReLU()),
    ]
    x = normal(2, 9, 11, 4)
    for theirs, ours in cases:
        with torch.no_grad():
            for array in theirs.state_dict().values():
                if array.is_floating_point():
                    array.uniform_(0.1, 1)
            expected = theirs.eval()(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy().transpose(0, 2, 3, 1)
        variables = to_variables(ours, {name: array.numpy() for name, array in theirs.state_dict().items()}, x)
        np.testing.assert_allclose(ours.apply(variables, x), expected, rtol=1e-5, atol=1e-5)
