"""ESPNet (p = 2, q = 8), the evaluation network for CamVid.

"ESPNet: Efficient Spatial Pyramid of Dilated Convolutions for Semantic Segmentation" (Mehta et al., 2018). The published weights are
`espnet_p_2_q_8_camvid.pth`.
"""
import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.metrics.nets.images import BILINEAR, check_divisible, check_label_size, resize_images
from oasis_jax.metrics.nets.label_spaces import CAMVID
from oasis_jax.metrics.nets.segmenter import Segmenter
from oasis_jax.metrics.nets.torch_layers import BatchNorm, Conv, ConvTranspose, PReLU, avg_pool

_MEAN_BGR, _STD_BGR = (110.33, 108.41, 105.03), (72.13, 72.69, 69.90)  # of the training photos; the authors publish no values
_SIZE = (360, 480)
_EPSILON = 1e-3
_DILATIONS = (1, 2, 4, 8, 16)
_OUTPUTS = CAMVID.num_outputs


def preprocess(images):
    """uint8 RGB (B, H, W, 3) -> float32 BGR input of the network, divided by 255 only after normalisation."""
    return (jnp.asarray(images, jnp.float32)[..., ::-1] - jnp.array(_MEAN_BGR)) / jnp.array(_STD_BGR) / 255


def _join(*parts):
    return jnp.concatenate(parts, axis=-1)


class _NormAct(nn.Module):
    """Batch normalisation and PReLU."""

    @nn.compact
    def __call__(self, x):
        return PReLU(name="act")(BatchNorm(_EPSILON, name="bn")(x))


class _ConvNormAct(nn.Module):
    """3x3 convolution, batch normalisation and PReLU."""

    features: int
    stride: int = 1

    @nn.compact
    def __call__(self, x):
        x = Conv(self.features, 3, self.stride, 1, use_bias=False, name="conv")(x)
        return PReLU(name="act")(BatchNorm(_EPSILON, name="bn")(x))


class _Pyramid(nn.Module):
    """Spatial pyramid: reduces the input to few channels, applies five dilations, and adds up the outputs from small to large dilations.

    Attributes:
        features: channels of the output.
        downsample: reduce by a 3x3 convolution with stride 2; otherwise by a 1x1 convolution.
        residual: add the input.
    """

    features: int
    downsample: bool = False
    residual: bool = False

    @nn.compact
    def __call__(self, x):
        few = self.features // len(_DILATIONS)
        first = self.features - (len(_DILATIONS) - 1) * few
        kernel_size, stride = (3, 2) if self.downsample else (1, 1)
        reduced = Conv(few, kernel_size, stride, kernel_size // 2, use_bias=False, name="c1.conv")(x)
        d1, *others = (
            Conv(few if d > 1 else first, 3, padding=d, dilation=d, use_bias=False, name=f"d{d}.conv")(reduced) for d in _DILATIONS
        )
        sums = [others[0]]
        for other in others[1:]:
            sums.append(sums[-1] + other)
        y = _join(d1, *sums)
        if self.residual:
            y = y + x
        if self.downsample:
            return PReLU(name="act")(BatchNorm(_EPSILON, name="bn")(y))
        return _NormAct(name="bn")(y)


class ESPNet(nn.Module):
    """The network: preprocessed images (B, H, W, 3), H and W divisible by 8 -> float32 logits (B, H, W, 12)."""

    @nn.compact
    def __call__(self, x):
        check_divisible("ESPNet", x.shape[1:3])
        half, quarter = self._inputs(x)
        level1 = _join(_ConvNormAct(16, 2, name="encoder.level1")(x), half)
        level1 = _NormAct(name="encoder.b1")(level1)
        start = y = _Pyramid(64, downsample=True, name="encoder.level2_0")(level1)
        for i in range(2):
            y = _Pyramid(64, residual=True, name=f"encoder.level2.{i}")(y)
        level2 = _NormAct(name="encoder.b2")(_join(y, start, quarter))
        start = y = _Pyramid(128, downsample=True, name="encoder.level3_0")(level2)
        for i in range(8):
            y = _Pyramid(128, residual=True, name=f"encoder.level3.{i}")(y)
        level3 = _NormAct(name="encoder.b3")(_join(start, y))

        y = Conv(_OUTPUTS, 1, use_bias=False, name="encoder.classifier.conv")(level3)
        y = self._double(BatchNorm(_EPSILON, name="br")(y), "up_l3.0")
        y = _join(Conv(_OUTPUTS, 1, use_bias=False, name="level3_C.conv")(level2), y)
        y = _NormAct(name="combine_l2_l3.0")(y)
        y = _Pyramid(_OUTPUTS, name="combine_l2_l3.1")(y)
        y = _NormAct(name="up_l2.1")(self._double(y, "up_l2.0"))
        y = _ConvNormAct(_OUTPUTS, name="conv")(_join(y, level1))
        return self._double(y, "classifier")

    def _inputs(self, x):
        """The input at 1/2 and at 1/4 of its size."""
        half = avg_pool(x, 3, 2, 1)
        return half, avg_pool(half, 3, 2, 1)

    def _double(self, x, name):
        return ConvTranspose(_OUTPUTS, 2, 2, use_bias=False, name=name)(x)


@jax.jit
def _logits(variables, images):
    return ESPNet().apply(variables, preprocess(images))


@dataclasses.dataclass(frozen=True)
class ESPNetSegmenter(Segmenter):
    """Segmentation into the classes of CamVid by ESPNet, at 360x480."""

    labels = CAMVID
    module = ESPNet()

    def label_size(self, image_size):
        """Size (height, width) at which label maps are compared."""
        del image_size
        return _SIZE

    def logits(self, variables, images):
        """uint8 (B, H, W, 3) -> float32 (B, 360, 480, 12); images of another size are resized first (Pillow, bilinear)."""
        return _logits(variables, resize_images(images, _SIZE, BILINEAR))

    def segment(self, variables, images, label_size):
        """uint8 (B, H, W, 3) -> int32 (B, 360, 480) classes; 11 is "unlabelled". Raises ValueError for another label_size."""
        check_label_size("ESPNet", label_size, _SIZE)
        return jnp.argmax(self.logits(variables, images), axis=-1)
