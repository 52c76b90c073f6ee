"""VGG16 (Simonyan and Zisserman, 2015) without its dense layers, with torchvision's names, for LPIPS and FD-VGG16."""
import jax
import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.metrics.nets.torch_layers import Conv, max_pool
from oasis_jax.metrics.nets.weights import read_vgg16, to_variables

# Stages of convolutions (index in torchvision's `features`, channels), separated by max pools
_STAGES = (
    ((0, 64), (2, 64)),
    ((5, 128), (7, 128)),
    ((10, 256), (12, 256), (14, 256)),
    ((17, 512), (19, 512), (21, 512)),
    ((24, 512), (26, 512), (28, 512)),
)
LEAST_SIDE = 2 ** len(_STAGES)  # of images, so that something is left after the last max pool
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG16Trunk(nn.Module):
    """The thirteen convolutions of VGG16."""

    @nn.compact
    def __call__(self, x):
        """Feature maps of normalised images.

        Args:
            x: (B, H, W, 3) float32, H and W at least LEAST_SIDE.

        Returns:
            (taps, pool5): the five maps after the last ReLU of each stage, (B, H / 2^i, W / 2^i, C) rounded down, with C = 64, 128, 256,
            512, 512; and the last of them max-pooled.
        """
        taps = []
        for stage in _STAGES:
            for place, features in stage:
                x = nn.relu(Conv(features, 3, padding=1, name=str(place))(x))
            taps.append(x)
            x = max_pool(x, 2, 2)
        return taps, x


def preprocess(images):
    """(B, H, W, 3) RGB uint8, or float in [0, 1], -> float32 normalised by the mean and standard deviation of ImageNet."""
    x = images / jnp.float32(255) if images.dtype == jnp.uint8 else images.astype(jnp.float32)
    return (x - jnp.array(_MEAN)) / jnp.array(_STD)


def fd_features(variables, images):
    """Features of the Frechet distance FD-VGG16 (not FID): spatial means after the last max pool.

    Args:
        variables: variables of VGG16Trunk.
        images: (B, H, W, 3) RGB uint8, or float in [0, 1], H and W at least LEAST_SIDE; not resized.

    Returns:
        (B, 512) float32.
    """
    return VGG16Trunk().apply(variables, preprocess(images))[1].mean((1, 2))


def load_vgg16(path=None):
    """Loads the variables of VGG16Trunk; `path` as in `weights.find_vgg16`."""
    prefix = "features."
    state = {name.removeprefix(prefix): array for name, array in read_vgg16(path).items() if name.startswith(prefix)}
    return to_variables(VGG16Trunk(), state, jax.ShapeDtypeStruct((1, LEAST_SIDE, LEAST_SIDE, 3), jnp.float32))
