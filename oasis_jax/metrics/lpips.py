"""LPIPS v0.1 on VGG16, the learned perceptual distance of Zhang et al. (2018): low for images that look alike.

Diversity compares every pair of K samples: call `embed` once per image, and `distance` on pairs of embeddings.
"""
import jax
import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.metrics.nets.torch_layers import Conv, resize_bilinear
from oasis_jax.metrics.nets.vgg16 import VGG16Trunk
from oasis_jax.metrics.nets.weights import read_vgg16, to_variables

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class LPIPS(nn.Module):
    """VGG16 trunk with five taps, and one non-negative linear head per tap."""

    def setup(self):
        self.trunk = VGG16Trunk(name="features")
        self.heads = [Conv(1, 1, use_bias=False, name=f"lin{i}.model.1") for i in range(5)]

    def __call__(self, a, b):
        """Distances (B,) float32 between two batches of images (B, H, W, 3) in [-1, 1]."""
        return self.distance(self.embed(a), self.embed(b)).sum(-1)

    def embed(self, images):
        """Five feature maps (B, h, w, C) of images (B, H, W, 3) in [-1, 1]; the features of each pixel are scaled to length 1."""
        taps, _ = self.trunk((images - jnp.array(_SHIFT)) / jnp.array(_SCALE))
        return [tap / (jnp.sqrt(jnp.sum(tap**2, -1, keepdims=True)) + 1e-10) for tap in taps]

    def distance(self, a, b):
        """Distances (B, 5) float32 of two embeddings, one per tap; LPIPS is their sum."""
        return jnp.stack([distances.mean((1, 2, 3)) for distances in self._maps(a, b)], -1)

    def distance_map(self, a, b, size):
        """Distances (B, height, width) of two embeddings at every pixel of `size`: the maps of all taps, resized bilinearly and summed."""
        return sum(resize_bilinear(distances, size)[..., 0] for distances in self._maps(a, b))

    def _maps(self, a, b):
        return [head((p - q) ** 2) for head, p, q in zip(self.heads, a, b, strict=True)]


def load_lpips(path=None):
    """Loads the variables of LPIPS; `path` as in `weights.find_vgg16`."""
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return to_variables(LPIPS(), read_vgg16(path), image, image)
