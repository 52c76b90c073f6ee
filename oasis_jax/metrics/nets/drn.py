"""DRN-D-105, the evaluation network for Cityscapes, and the modes in which its tool is run.

"Dilated Residual Networks" (Yu et al., 2017). The published weights are `drn-d-105_ms_cityscapes.pth`.
"""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from oasis_jax.metrics.nets.bottleneck import Bottleneck
from oasis_jax.metrics.nets.images import BICUBIC, BILINEAR, check_divisible, check_label_size, resize_images
from oasis_jax.metrics.nets.label_spaces import CITYSCAPES
from oasis_jax.metrics.nets.segmenter import Segmenter
from oasis_jax.metrics.nets.torch_layers import BatchNorm, Conv

_MEAN = (0.29010095242892997, 0.32808144844279574, 0.28696394922442517)
_STD = (0.1829540508368939, 0.18656561047509476, 0.18447508988480435)
_STRIDE = 8
_STAGES = {3: (3, 64, 2, 1), 4: (4, 128, 2, 1), 5: (23, 256, 1, 2), 6: (3, 512, 1, 4)}  # blocks, planes, stride, dilation
_OTHER_SCALES = (0.5, 0.75, 1.25, 1.5, 1.75)

UPSAMPLED = (1024, 2048)


def preprocess(images):
    """uint8 RGB (B, H, W, 3) -> float32 input of the network."""
    return (jnp.asarray(images, jnp.float32) / 255 - jnp.array(_MEAN)) / jnp.array(_STD)


class DRN105(nn.Module):
    """The network: preprocessed images (B, H, W, 3) -> float32 logits (B, ceil(H / 8), ceil(W / 8), 19)."""

    @nn.compact
    def __call__(self, x):
        x = self._layer(x, 0, 16, 7)
        x = self._layer(x, 1, 16, 3)
        x = self._layer(x, 2, 32, 3, stride=2)
        for stage, (blocks, planes, stride, dilation) in _STAGES.items():
            for block in range(blocks):
                first = block == 0
                x = Bottleneck(planes, stride if first else 1, dilation, project=first, name=f"base.{stage}.{block}")(x)
        x = self._layer(x, 7, 512, 3, dilation=2)
        x = self._layer(x, 8, 512, 3)
        return Conv(CITYSCAPES.num_outputs, 1, name="seg")(x)

    def _layer(self, x, stage, features, kernel_size, stride=1, dilation=1):
        padding = kernel_size // 2 * dilation
        x = Conv(features, kernel_size, stride, padding, dilation, use_bias=False, name=f"base.{stage}.0")(x)
        return jax.nn.relu(BatchNorm(name=f"base.{stage}.1")(x))


def log_probabilities(logits):
    """Upsamples logits (B, h, w, C) and returns their log-softmax (B, 8 h, 8 w, C).

    The tool upsamples each channel by a transposed convolution with a fixed 16x16 kernel, the outer product of a triangle with itself. This
    equals one matrix product along the rows and one along the columns, with zeros beyond the borders.
    """
    rows, columns = (jnp.asarray(_upsampling(size)) for size in logits.shape[1:3])
    x = jnp.einsum("Yy,byxc->bYxc", rows, logits, precision=jax.lax.Precision.HIGHEST)
    x = jnp.einsum("Xx,bYxc->bYXc", columns, x, precision=jax.lax.Precision.HIGHEST)
    return jax.nn.log_softmax(x)


def _upsampling(size):
    """(8 size, size) float32: column i is a triangle of width 16 around the centre of pixels 8 i .. 8 i + 7."""
    distance = np.abs(np.arange(_STRIDE * size)[:, None] - (_STRIDE * np.arange(size) + (_STRIDE - 1) / 2))
    return np.maximum(1 - distance / _STRIDE, 0).astype(np.float32)


@jax.jit
def _logits(variables, images):
    return DRN105().apply(variables, preprocess(images))


@functools.partial(jax.jit, static_argnums=1)
def _resized_log_probabilities(logits, size):
    maps = log_probabilities(logits)
    if maps.shape[1:3] == size:
        return maps
    # Antialiased, which numerically matches the tool's resize: Pillow, bilinear, on float channels.
    return jax.image.resize(maps, (maps.shape[0], *size, maps.shape[3]), "linear", precision=jax.lax.Precision.HIGHEST)


@dataclasses.dataclass(frozen=True)
class DRNSegmenter(Segmenter):
    """Segmentation into the classes of Cityscapes by DRN-D-105.

    Attributes:
        upsample_to: size (height, width) to which images are resized first (Pillow, bilinear): UPSAMPLED for the size of Cityscapes photos.
            None runs the network at the size of the images, to which label maps are resized.
        multi_scale: sum the log-probabilities of six scales (the tool's `--ms`).
    """

    upsample_to: tuple[int, int] | None = None
    multi_scale: bool = False

    labels = CITYSCAPES
    module = DRN105()

    def variables(self, state):
        """Flax variables from the published state_dict. Raises WeightsError if it belongs to another network."""
        learned = {name: array for name, array in state.items() if name != "up.weight"}  # fixed kernel of the upsampling
        return super().variables(learned)

    def label_size(self, image_size):
        """Size (height, width) at which label maps are compared. Raises ValueError unless both sides are divisible by 8.

        Only this size is checked: the tool resizes the maps of scaled copies to it, but not those of the images themselves.
        """
        size = self.upsample_to or super().label_size(image_size)
        check_divisible("DRN-D-105", size, _STRIDE)
        return size

    def logits(self, variables, images):
        """uint8 (B, H, W, 3) -> float32 (B, ceil(H / 8), ceil(W / 8), 19), without resizing the images."""
        return _logits(variables, images)

    def log_probabilities(self, variables, images):
        """uint8 (B, H, W, 3) -> float32 (B, h, w, 19): log-probabilities at the label size, summed over six scales if `multi_scale`."""
        height, width = size = self.label_size(images.shape[1:3])
        images = resize_images(images, size, BILINEAR)
        total = _resized_log_probabilities(self.logits(variables, images), size)
        for scale in _OTHER_SCALES if self.multi_scale else ():
            copies = resize_images(images, (int(height * scale), int(width * scale)), BICUBIC)
            total += _resized_log_probabilities(self.logits(variables, copies), size)
        return total

    def segment(self, variables, images, label_size):
        """uint8 (B, H, W, 3) -> int32 (B, *label_size) train ids. Raises ValueError if label_size is not `self.label_size((H, W))`."""
        check_label_size("DRN-D-105", label_size, self.label_size(images.shape[1:3]))
        return jnp.argmax(self.log_probabilities(variables, images), axis=-1)
