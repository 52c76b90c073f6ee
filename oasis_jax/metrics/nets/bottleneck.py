"""Bottleneck block of ResNets, with the stride in its 3x3 convolution."""
import jax
from flax import linen as nn

from oasis_jax.metrics.nets.torch_layers import BatchNorm, Conv


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution with a shortcut, (B, H, W, C) -> (B, H / stride, W / stride, 4 planes).

    Attributes:
        planes: channels of the first two convolutions.
        stride, dilation: stride and dilation of the 3x3 convolution.
        project: use a convolution as shortcut, as in the first block of a stage.
    """

    planes: int
    stride: int = 1
    dilation: int = 1
    project: bool = False

    @nn.compact
    def __call__(self, x):
        y = Conv(self.planes, 1, use_bias=False, name="conv1")(x)
        y = jax.nn.relu(BatchNorm(name="bn1")(y))
        y = Conv(self.planes, 3, self.stride, self.dilation, self.dilation, use_bias=False, name="conv2")(y)
        y = jax.nn.relu(BatchNorm(name="bn2")(y))
        y = BatchNorm(name="bn3")(Conv(4 * self.planes, 1, use_bias=False, name="conv3")(y))
        if self.project:
            x = Conv(4 * self.planes, 1, self.stride, use_bias=False, name="downsample.0")(x)
            x = BatchNorm(name="downsample.1")(x)
        return jax.nn.relu(x + y)
