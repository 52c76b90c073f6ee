"""UPerNet on ResNet-101, the evaluation network for ADE20K, and the modes in which its tool is run.

"Unified Perceptual Parsing for Scene Understanding" (Xiao et al., 2018). The published weights are the files `encoder_epoch_50.pth` and
`decoder_epoch_50.pth` of `ade20k-resnet101-upernet`.
"""
import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.metrics.nets.bottleneck import Bottleneck
from oasis_jax.metrics.nets.images import BILINEAR, resize_images
from oasis_jax.metrics.nets.label_spaces import ADE20K
from oasis_jax.metrics.nets.segmenter import Segmenter
from oasis_jax.metrics.nets.torch_layers import BatchNorm, Conv, adaptive_avg_pool, max_pool, resize_bilinear

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STAGES = {1: (3, 64, 1), 2: (4, 128, 2), 3: (23, 256, 2), 4: (3, 512, 2)}  # blocks, planes, stride
_WIDTH = 512
_POOLED_SIZES = (1, 2, 3, 6)
_MULTIPLE = 32  # the sides of the network's input are multiples of this
_MAX_LONG_SIDE = 1000
_BOOKKEEPING = ("_running_iter", "_tmp_running_mean", "_tmp_running_var")  # of synchronised batch normalisation; not used at inference

SHORT_SIDES = (300, 375, 450, 525, 600)  # as configured in the tool


def preprocess(images):
    """uint8 RGB (B, H, W, 3) -> float32 input of the network."""
    return (jnp.asarray(images, jnp.float32) / 255 - jnp.array(_MEAN)) / jnp.array(_STD)


def join_state(encoder, decoder):
    """Joins the state_dicts of the two published files into one."""
    return {f"{part}.{name}": array for part, state in (("encoder", encoder), ("decoder", decoder)) for name, array in state.items()}


class Encoder(nn.Module):
    """ResNet-101 with a stem of three 3x3 convolutions: (B, H, W, 3) -> features of 256, 512, 1024, 2048 channels at 1/4, 1/8, 1/16, 1/32.
    """

    @nn.compact
    def __call__(self, x):
        for i, (features, stride) in enumerate(((64, 2), (64, 1), (128, 1)), start=1):
            x = Conv(features, 3, stride, 1, use_bias=False, name=f"conv{i}")(x)
            x = jax.nn.relu(BatchNorm(name=f"bn{i}")(x))
        x = max_pool(x, 3, 2, 1)
        stages = []
        for stage, (blocks, planes, stride) in _STAGES.items():
            for block in range(blocks):
                first = block == 0
                x = Bottleneck(planes, stride if first else 1, project=first, name=f"layer{stage}.{block}")(x)
            stages.append(x)
        return stages


class Decoder(nn.Module):
    """Pyramid pooling of the coarsest features, then a top-down pyramid: outputs of the Encoder -> logits (B, H / 4, W / 4, 150)."""

    @nn.compact
    def __call__(self, stages):
        *finer, coarsest = stages
        size = coarsest.shape[1:3]
        pooled = [
            self._layer(resize_bilinear(adaptive_avg_pool(coarsest, bins), size), f"ppm_conv.{i}", 1)
            for i, bins in enumerate(_POOLED_SIZES)
        ]
        top_down = self._layer(jnp.concatenate([coarsest, *pooled], axis=-1), "ppm_last_conv", 3)
        pyramid = [top_down]
        for i, features in reversed(list(enumerate(finer))):
            top_down = self._layer(features, f"fpn_in.{i}", 1) + resize_bilinear(top_down, features.shape[1:3])
            pyramid.insert(0, self._layer(top_down, f"fpn_out.{i}.0", 3))
        finest = pyramid[0].shape[1:3]
        fused = self._layer(jnp.concatenate([resize_bilinear(level, finest) for level in pyramid], axis=-1), "conv_last.0", 3)
        return Conv(ADE20K.num_outputs, 1, name="conv_last.1")(fused)

    def _layer(self, x, name, kernel_size):
        x = Conv(_WIDTH, kernel_size, padding=kernel_size // 2, use_bias=False, name=f"{name}.0")(x)
        return jax.nn.relu(BatchNorm(name=f"{name}.1")(x))


class UPerNet101(nn.Module):
    """The network: preprocessed images (B, H, W, 3) -> float32 logits (B, H / 4, W / 4, 150)."""

    @nn.compact
    def __call__(self, x):
        return Decoder(name="decoder")(Encoder(name="encoder")(x))


def input_size(image_size, short_side):
    """Network input (height, width) for an image: short side as given, but long side at most 1000, both rounded up to multiples of 32."""
    scale = min(short_side / min(image_size), _MAX_LONG_SIDE / max(image_size))
    return tuple(-(-int(side * scale) // _MULTIPLE) * _MULTIPLE for side in image_size)


@jax.jit
def _logits(variables, images):
    return UPerNet101().apply(variables, preprocess(images))


@functools.partial(jax.jit, static_argnums=1)
def _resized_probabilities(logits, size):
    return jax.nn.softmax(resize_bilinear(logits, size))


@dataclasses.dataclass(frozen=True)
class UPerNetSegmenter(Segmenter):
    """Segmentation into the classes of ADE20K by UPerNet.

    Attributes:
        multi_scale: average the probabilities of the five scales SHORT_SIDES.
        short_side: short side of the network's input, for a single scale.
    """

    multi_scale: bool = False
    short_side: int = 256

    labels = ADE20K
    module = UPerNet101()

    def variables(self, state):
        """Flax variables from the joined published state_dicts. Raises WeightsError if they belong to another network."""
        return super().variables({name: array for name, array in state.items() if not name.endswith(_BOOKKEEPING)})

    def logits(self, variables, images):
        """uint8 (B, H, W, 3) -> float32 (B, H / 4, W / 4, 150), without resizing the images."""
        return _logits(variables, images)

    def probabilities(self, variables, images, label_size):
        """uint8 (B, H, W, 3) -> float32 (B, *label_size, 150): mean of the probabilities of all scales."""
        total, short_sides = 0, SHORT_SIDES if self.multi_scale else (self.short_side,)
        for short_side in short_sides:
            scaled = resize_images(images, input_size(images.shape[1:3], short_side), BILINEAR)
            total += _resized_probabilities(self.logits(variables, scaled), tuple(label_size))
        return total / len(short_sides)

    def segment(self, variables, images, label_size):
        """uint8 (B, H, W, 3) -> int32 (B, *label_size) classes."""
        return jnp.argmax(self.probabilities(variables, images, label_size), axis=-1)
