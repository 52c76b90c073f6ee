"""DeepLabV2 on ResNet-101 at three scales, the evaluation network for COCO-Stuff.

"DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected CRFs" (Chen et al., 2017). The
published weights are `deeplabv2_resnet101_msc-cocostuff164k-100000.pth`.
"""
import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.metrics.nets.label_spaces import COCO_STUFF
from oasis_jax.metrics.nets.segmenter import Segmenter
from oasis_jax.metrics.nets.torch_layers import BatchNorm, Conv, max_pool, resize_bilinear

_MEAN_BGR = (104.008, 116.669, 122.675)
_STAGES = {2: (3, 256, 1, 1), 3: (4, 512, 2, 1), 4: (23, 1024, 1, 2), 5: (3, 2048, 1, 4)}  # blocks, channels, stride, dilation
_ASPP_DILATIONS = (6, 12, 18, 24)
_OTHER_SCALES = (0.5, 0.75)


def preprocess(images):
    """uint8 RGB (B, H, W, 3) -> float32 BGR input of the network."""
    return jnp.asarray(images, jnp.float32)[..., ::-1] - jnp.array(_MEAN_BGR)


class _ConvNorm(nn.Module):
    """Convolution and batch normalisation."""

    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @nn.compact
    def __call__(self, x):
        x = Conv(self.features, self.kernel_size, self.stride, self.padding, self.dilation, use_bias=False, name="conv")(x)
        return BatchNorm(name="bn")(x)


class _Block(nn.Module):
    """Bottleneck block with the stride in its first convolution."""

    features: int
    stride: int
    dilation: int
    project: bool

    @nn.compact
    def __call__(self, x):
        y = jax.nn.relu(_ConvNorm(self.features // 4, 1, self.stride, name="reduce")(x))
        y = jax.nn.relu(_ConvNorm(self.features // 4, 3, padding=self.dilation, dilation=self.dilation, name="conv3x3")(y))
        y = _ConvNorm(self.features, 1, name="increase")(y)
        if self.project:
            x = _ConvNorm(self.features, 1, self.stride, name="shortcut")(x)
        return jax.nn.relu(x + y)


class DeepLabV2(nn.Module):
    """The network at one scale: preprocessed images (B, H, W, 3) -> float32 logits (B, about H / 8, W / 8, 182)."""

    @nn.compact
    def __call__(self, x):
        x = jax.nn.relu(_ConvNorm(64, 7, 2, 3, name="layer1.conv1")(x))
        x = max_pool(x, 3, 2, 1, ceil_mode=True)
        for stage, (blocks, features, stride, dilation) in _STAGES.items():
            for block in range(blocks):
                first = block == 0
                x = _Block(features, stride if first else 1, dilation, project=first, name=f"layer{stage}.block{block + 1}")(x)
        return sum(
            Conv(COCO_STUFF.num_outputs, 3, padding=dilation, dilation=dilation, name=f"aspp.c{i}")(x)
            for i, dilation in enumerate(_ASPP_DILATIONS)
        )


class DeepLabV2MSC(nn.Module):
    """Elementwise maximum of the logits at scales 1, 1/2 and 3/4: preprocessed images (B, H, W, 3) -> float32 (B, about H / 8, W / 8, 182).
    """

    @nn.compact
    def __call__(self, x):
        base = DeepLabV2(name="base")
        logits = base(x)
        for scale in _OTHER_SCALES:
            smaller = tuple(math.floor(side * scale) for side in x.shape[1:3])
            other = base(resize_bilinear(x, smaller, scale=(scale, scale)))
            logits = jnp.maximum(logits, resize_bilinear(other, logits.shape[1:3]))
        return logits


@jax.jit
def _logits(variables, images):
    return DeepLabV2MSC().apply(variables, preprocess(images))


@functools.partial(jax.jit, static_argnums=1)
def _resized_classes(logits, size):
    return jnp.argmax(resize_bilinear(logits, size), axis=-1)


@dataclasses.dataclass(frozen=True)
class DeepLabSegmenter(Segmenter):
    """Segmentation into the classes of COCO-Stuff by DeepLabV2, at the size of the images."""

    labels = COCO_STUFF
    module = DeepLabV2MSC()

    def logits(self, variables, images):
        """uint8 (B, H, W, 3) -> float32 (B, about H / 8, W / 8, 182)."""
        return _logits(variables, images)

    def segment(self, variables, images, label_size):
        """uint8 (B, H, W, 3) -> int32 (B, *label_size) classes."""
        return _resized_classes(self.logits(variables, images), tuple(label_size))
