"""Second derivatives through the custom gradients equal those of the plain convolutions: R1 differentiates a discriminator twice."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from oasis_jax.layers import filtered, resampling
from oasis_jax.layers.convolution import COARSE, STRIP, conv2d, input_gradient, xla_input_gradient
from tests.arrays import normal

pytestmark = pytest.mark.usefixtures("float64")


def plain_conv2d(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def plain_downsampled(x, kernel):
    return resampling.downsample(plain_conv2d(x, kernel))


def plain_upsampled(x, kernel):
    return plain_conv2d(resampling.upsample(x), kernel)


def plain_strided(x, kernel):
    return lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def plain_filtered_up(x, kernel):
    return filtered.smooth(filtered.transposed_by_dilation(x, kernel.swapaxes(2, 3)), (1, 1), gain=4)


def plain_filtered_down(x, kernel):
    return plain_strided(filtered.smooth(x, (2, 2)), kernel)


def odd(convolve):
    """The convolution of an image with odd sides, such as the filter produces."""
    return lambda x, kernel: convolve(x[:, 1:, 1:], kernel)


def always_fused(convolve):
    """The convolution in its fused form, as on fine levels."""

    def fused(x, kernel):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(filtered, "FINE", 0)
            return convolve(x, kernel)

    return fused


PAIRS = {
    "convolution": (conv2d, plain_conv2d),
    "downsampled convolution": (resampling.downsampled_conv2d, plain_downsampled),
    "convolution of the upsampled image": (resampling.conv2d_of_upsampled, plain_upsampled),
    "input gradient": (
        lambda x, kernel: input_gradient(kernel.swapaxes(2, 3), x),
        lambda x, kernel: xla_input_gradient(kernel.swapaxes(2, 3), x),
    ),
    "strided convolution": (odd(filtered.strided_conv2d), odd(plain_strided)),
    "transposed convolution": (
        lambda x, kernel: filtered.transposed_conv2d(x, kernel.swapaxes(2, 3)),
        lambda x, kernel: filtered.transposed_by_dilation(x, kernel.swapaxes(2, 3)),
    ),
    "filtered up": (filtered.separate_conv2d_up, plain_filtered_up),
    "filtered up, fused": (always_fused(filtered.conv2d_up), plain_filtered_up),
    "filtered down": (filtered.separate_conv2d_down, plain_filtered_down),
    "filtered down, fused": (always_fused(filtered.conv2d_down), plain_filtered_down),
}
FINE = (1, 36, 34, 3)  # its gradients are computed strip by strip, and that of the input by XLA
COARSE_LEVEL = (2, 6, 4, 3)  # the gradient of the input is computed by matrix products
SHAPES = {"fine": FINE, "coarse": COARSE_LEVEL, "many channels": (1, 36, 34, 8), "few channels": (1, 36, 34, 1)}
assert FINE[1] * FINE[2] > max(COARSE, STRIP) > COARSE_LEVEL[1] * COARSE_LEVEL[2]


def penalty(convolve):
    """R1 of a small network whose critic is nonlinear: |d sum(critic) / dx|^2, with a layer before and after the convolution."""

    def critic(x, kernel):
        return jnp.sum(jnp.tanh(convolve(jnp.sin(x), kernel)))

    return lambda x, kernel: jnp.sum(jnp.square(jax.grad(critic)(x, kernel)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PAIRS)
def test_the_gradient_of_a_gradient_penalty_equals_that_of_the_plain_convolution(name, shape):
    x, kernel = normal(0, SHAPES[shape]), normal(1, (3, 3, SHAPES[shape][-1], 3))
    custom, plain = (jax.jit(jax.value_and_grad(penalty(convolve), argnums=(0, 1)))(x, kernel) for convolve in PAIRS[name])
    for found, expected in zip(jax.tree.leaves(custom), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@pytest.mark.slow
def test_a_whole_discriminator_can_be_differentiated_twice_whatever_its_resampling():
    """The penalty's gradient with respect to the params, against finite differences of the penalty along a random direction."""
    from oasis_jax.oasis.discriminator import Discriminator

    discriminator = Discriminator(num_classes=2, num_blocks=2, channels=(2, 3), last=2, dtype=jnp.float64)
    image = normal(0, (1, 40, 32, 3))  # large enough for fused resampling
    variables = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), discriminator.init(jax.random.key(0), image))

    def r1(params):
        def score(image):
            return jnp.sum(jnp.square(discriminator.apply({**variables, "params": params}, image)))

        return jnp.sum(jnp.square(jax.grad(score)(image)))

    params = jax.tree.map(lambda leaf: 0.3 * normal(leaf.size, leaf.shape), variables["params"])
    direction = jax.tree.map(lambda leaf: normal(1 + leaf.size, leaf.shape), params)
    evaluate = jax.jit(r1)
    step = 1e-6
    ahead, behind = (evaluate(jax.tree.map(lambda p, d, s=s: p + s * d, params, direction)) for s in (step, -step))
    slope = sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (jax.jit(jax.grad(r1))(params), direction)), strict=True))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6)
