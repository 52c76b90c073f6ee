"""Values that this implementation itself computes on recipe weights and synthetic images, for networks whose published numbers need photos.

`golden/make_small_set.py` writes them to golden/own, and test_own_values.py compares with them.
"""
import jax
import numpy as np

from oasis_jax.metrics.lpips import LPIPS
from oasis_jax.metrics.nets.espnet import ESPNetSegmenter
from oasis_jax.metrics.nets.vgg16 import VGG16Trunk, fd_features
from oasis_jax.metrics.nets.weights import to_variables

_SEED = 2026
_VGG16_CHANNELS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256), 17: (256, 512)}
_VGG16_CHANNELS |= {place: (512, 512) for place in (19, 21, 24, 26, 28)}
_KINDS = {"running_mean": "bn_mean", "running_var": "bn_var", "bias": "bias"}


def make_image(seed, height, width, block=12):
    """uint8 RGB (height, width, 3): blocks of random colours under noise."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (-(-height // block), -(-width // block), 3))
    image = colours.repeat(block, 0).repeat(block, 1)[:height, :width] + rng.integers(-20, 21, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def espnet_manifest(published):
    """The recipe of ESPNet's weights. Of the published ones, it uses only the names and shapes."""
    entries = [_espnet_entry(name, array.shape) for name, array in published.items() if not name.endswith("num_batches_tracked")]
    return {"seed": _SEED, "entries": entries}


def _espnet_entry(name, shape):
    kind, gain = _KINDS.get(name.rsplit(".", 1)[-1]), 1
    if kind is None:
        kind = "conv" if len(shape) == 4 else "positive" if name.endswith("act.weight") else "bn_weight"
    if name == "encoder.level1.conv.weight":
        gain = 255  # because the network divides its inputs by 255
    elif kind == "conv" and ".d" in name:
        gain = 0.5  # in a pyramid, which adds up dilated convolutions
    return {"name": name, "shape": list(shape), "kind": kind, "gain": gain}


def vgg16_manifest():
    """The recipe of VGG16's weights and of the heads of LPIPS."""
    entries = []
    for place, (before, after) in _VGG16_CHANNELS.items():
        entries.append({"name": f"features.{place}.weight", "shape": [after, before, 3, 3], "kind": "conv", "gain": 1})
        entries.append({"name": f"features.{place}.bias", "shape": [after], "kind": "bias", "gain": 1})
    for i, channels in enumerate((64, 128, 256, 512, 512)):
        entries.append({"name": f"lin{i}.model.1.weight", "shape": [1, channels, 1, 1], "kind": "positive", "gain": 1})
    return {"seed": _SEED, "entries": entries}


def espnet_values(weights):
    """Thinned logits and classes of one image; the steps are odd, so that every phase of the transposed convolutions is sampled."""
    segmenter, image = ESPNetSegmenter(), make_image(_SEED, 360, 480)[None]
    variables = segmenter.variables(weights)
    logits, classes = segmenter.logits(variables, image), segmenter.segment(variables, image, image.shape[1:3])
    return {"logits_s37": np.asarray(logits)[0, ::37, ::37].transpose(2, 0, 1), "argmax_s7": np.asarray(classes, np.uint8)[0, ::7, ::7]}


def vgg16_images():
    return np.stack([make_image(_SEED + i, 80, 112) for i in range(2)])


def vgg16_values(weights):
    """FD-VGG16 features of two images, and the LPIPS distance between them at each tap."""
    images = vgg16_images()
    trunk = {name.removeprefix("features."): array for name, array in weights.items() if name.startswith("features.")}
    example = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
    features = jax.jit(fd_features)(to_variables(VGG16Trunk(), trunk, example), images)
    a, b = (images / 127.5 - 1).astype(np.float32)[:, None]
    variables = to_variables(LPIPS(), weights, example, example)
    taps = jax.jit(lambda a, b: LPIPS().apply(variables, a, b, method=lambda net, a, b: net.distance(net.embed(a), net.embed(b))))(a, b)
    return {"pool5_mean": np.asarray(features), "lpips_per_tap": np.asarray(taps)[0]}
