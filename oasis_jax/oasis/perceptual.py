"""VGG19 features for the perceptual loss, an ablation of OASIS (section 5): L1 on relu{1..5}_1 with weights 1/32, 1/16, 1/8, 1/4, 1."""
import jax
import jax.numpy as jnp

from oasis_jax.files import expanded, regular
from oasis_jax.state_dicts import read_npz

# Indices of convolutions in torchvision's `features`; "pool" halves the resolution. `_TAKEN` maps the layers that are used to loss weights.
_LAYERS = (0, 2, "pool", 5, 7, "pool", 10, 12, 14, 16, "pool", 19, 21, 23, 25, "pool", 28)
_TAKEN = {0: 1 / 32, 5: 1 / 16, 10: 1 / 8, 19: 1 / 4, 28: 1.0}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_features(path):
    """Loads VGG19 from an .npz with torchvision's names, `features.N.weight` (OIHW) and `features.N.bias`.

    Returns:
        Function from images (B, H, W, 3) in [-1, 1] to [(weight, feature map)], the `features` of TrainStep.

    Raises:
        ValueError: the file does not exist, is not an .npz, or lacks arrays, which the message names.
    """
    try:
        arrays = read_npz(regular(expanded(path)))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"loss.vgg_weights={path} cannot be read ({error}): give an .npz with torchvision's weights of VGG19 (docs/evaluation.md)"
        ) from error
    names = [f"features.{layer}.{leaf}" for layer in _LAYERS if layer != "pool" for leaf in ("weight", "bias")]
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"loss.vgg_weights={path} lacks {', '.join(missing)}")
    weights = {
        layer: (arrays[f"features.{layer}.weight"].transpose(2, 3, 1, 0), arrays[f"features.{layer}.bias"])
        for layer in _LAYERS
        if layer != "pool"
    }

    def features(image):
        x = ((image + 1) / 2 - jnp.array(_MEAN)) / jnp.array(_STD)
        taken = []
        for layer in _LAYERS:
            if layer == "pool":
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
                continue
            kernel, bias = (array.astype(x.dtype) for array in weights[layer])
            x = jax.nn.relu(jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias)
            if layer in _TAKEN:
                taken.append((_TAKEN[layer], x))
        return taken

    return features
