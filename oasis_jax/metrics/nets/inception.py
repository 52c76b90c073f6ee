"""InceptionV3 for the Frechet inception distance (Heusel et al., 2017), as run by pytorch-fid and torch-fidelity.

It differs from torchvision's InceptionV3: average pools exclude the padding from the count, the last block has a max pool, and the head has
1008 outputs. The structure is a table: a block is a list of branches, and a branch is a chain of (name, features, kernel size, stride),
whose last element may be several convolutions of the same input.
"""
import jax
import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.metrics.nets.torch_layers import Conv, Linear, avg_pool, max_pool, resize_bilinear, resize_bilinear_tf1
from oasis_jax.metrics.nets.weights import fold_batch_norm, read_weights, to_variables

WEIGHTS_URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIZE = (299, 299)

_WIDE, _TALL = (1, 7), (7, 1)


def _block_a(pooled):
    return (
        (("branch1x1", 64, 1, 1),),
        (("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)),
        (("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 1)),
        ("avg", ("branch_pool", pooled, 1, 1)),
    )


def _block_c(c):
    return (
        (("branch1x1", 192, 1, 1),),
        (("branch7x7_1", c, 1, 1), ("branch7x7_2", c, _WIDE, 1), ("branch7x7_3", 192, _TALL, 1)),
        (
            ("branch7x7dbl_1", c, 1, 1),
            ("branch7x7dbl_2", c, _TALL, 1),
            ("branch7x7dbl_3", c, _WIDE, 1),
            ("branch7x7dbl_4", c, _TALL, 1),
            ("branch7x7dbl_5", 192, _WIDE, 1),
        ),
        ("avg", ("branch_pool", 192, 1, 1)),
    )


def _block_e(pool):
    return (
        (("branch1x1", 320, 1, 1),),
        (("branch3x3_1", 384, 1, 1), (("branch3x3_2a", 384, (1, 3), 1), ("branch3x3_2b", 384, (3, 1), 1))),
        (
            ("branch3x3dbl_1", 448, 1, 1),
            ("branch3x3dbl_2", 384, 3, 1),
            (("branch3x3dbl_3a", 384, (1, 3), 1), ("branch3x3dbl_3b", 384, (3, 1), 1)),
        ),
        (pool, ("branch_pool", 192, 1, 1)),
    )


BLOCKS = {
    "Mixed_5b": _block_a(32),
    "Mixed_5c": _block_a(64),
    "Mixed_5d": _block_a(64),
    "Mixed_6a": (
        (("branch3x3", 384, 3, 2),),
        (("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 2)),
        ("halve",),
    ),
    "Mixed_6b": _block_c(128),
    "Mixed_6c": _block_c(160),
    "Mixed_6d": _block_c(160),
    "Mixed_6e": _block_c(192),
    "Mixed_7a": (
        (("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)),
        (("branch7x7x3_1", 192, 1, 1), ("branch7x7x3_2", 192, _WIDE, 1), ("branch7x7x3_3", 192, _TALL, 1), ("branch7x7x3_4", 192, 3, 2)),
        ("halve",),
    ),
    "Mixed_7b": _block_e("avg"),
    "Mixed_7c": _block_e("max"),
}

_POOLS = {
    "avg": lambda x: avg_pool(x, 3, 1, 1, count_include_pad=False),
    "max": lambda x: max_pool(x, 3, 1, 1),
    "halve": lambda x: max_pool(x, 3, 2),
}


class ConvUnit(nn.Module):
    """Convolution and ReLU; the BatchNorm between them is folded into the convolution when weights are loaded.

    Unless `padding` is given, stride 1 keeps the size and stride 2 does not pad.
    """

    features: int
    kernel_size: int | tuple
    stride: int = 1
    padding: int | None = None

    @nn.compact
    def __call__(self, x):
        height, width = self.kernel_size if isinstance(self.kernel_size, tuple) else (self.kernel_size,) * 2
        padding = self.padding
        if padding is None:
            padding = 0 if self.stride > 1 else (height // 2, width // 2)
        return nn.relu(Conv(self.features, (height, width), self.stride, padding, name="conv")(x))


class Mixed(nn.Module):
    """An Inception block: parallel branches, concatenated."""

    branches: tuple

    @nn.compact
    def __call__(self, x):
        return jnp.concatenate([output for branch in self.branches for output in self._branch(branch, x)], axis=-1)

    def _branch(self, branch, x):
        for layer in branch:
            if isinstance(layer, str):
                x = _POOLS[layer](x)
            elif isinstance(layer[0], tuple):
                return [self._unit(unit, x) for unit in layer]
            else:
                x = self._unit(layer, x)
        return [x]

    def _unit(self, unit, x):
        name, features, kernel_size, stride = unit
        return ConvUnit(features, kernel_size, stride, name=name)(x)


class InceptionFID(nn.Module):
    """The network. FID uses its output "pool" over many images (Heusel et al., 2017, section 2)."""

    @nn.compact
    def __call__(self, x):
        """Computes features of images from `preprocess`.

        Args:
            x: (B, 299, 299, 3) float32 in [-1, 1].

        Returns:
            Dict of float32 arrays: "avg64", "avg192", "avg768" (B, 64 | 192 | 768), spatial means after the first and second max pool and
            after Mixed_6e; "pool" (B, 2048), the feature of FID and KID; "logits" (B, 1008); and "logits_unbiased", the logits without
            bias, for the Inception score.
        """
        outputs = {}
        x = ConvUnit(32, 3, 2, name="Conv2d_1a_3x3")(x)
        x = ConvUnit(32, 3, padding=0, name="Conv2d_2a_3x3")(x)
        x = max_pool(ConvUnit(64, 3, name="Conv2d_2b_3x3")(x), 3, 2)
        outputs["avg64"] = x.mean((1, 2))
        x = ConvUnit(80, 1, name="Conv2d_3b_1x1")(x)
        x = max_pool(ConvUnit(192, 3, padding=0, name="Conv2d_4a_3x3")(x), 3, 2)
        outputs["avg192"] = x.mean((1, 2))
        for name, branches in BLOCKS.items():
            x = Mixed(branches, name=name)(x)
            if name == "Mixed_6e":
                outputs["avg768"] = x.mean((1, 2))
        outputs["pool"] = x.mean((1, 2))
        fc = Linear(1008, name="fc")
        outputs["logits"] = fc(outputs["pool"])
        outputs["logits_unbiased"] = outputs["logits"] - fc.variables["params"]["bias"]
        return outputs


def preprocess(images, resize="torch"):
    """Converts images to the input of the network.

    Args:
        images: (B, H, W, 3) RGB, uint8, or float in [0, 1], which is not rounded.
        resize: "torch" as in pytorch-fid and the published system (bilinear between pixel centres, no antialiasing), or "tf1" as in
            torch-fidelity (bilinear from pixel corners, with 128 as zero).

    Returns:
        (B, 299, 299, 3) float32 in [-1, 1].

    Raises:
        ValueError: `resize` is unknown.
    """
    x = images / jnp.float32(255) if images.dtype == jnp.uint8 else images.astype(jnp.float32)
    if resize == "torch":
        return resize_bilinear(x, SIZE) * 2 - 1
    if resize == "tf1":
        return (resize_bilinear_tf1(x, SIZE) * 255 - 128) / 128
    raise ValueError(f"resize={resize!r} is not known; use 'torch' or 'tf1'")


def inception_variables(state):
    """Variables of InceptionFID from a state dict with the names of pytorch-fid."""
    state = fold_batch_norm(state, "conv", "bn", epsilon=1e-3)
    return to_variables(InceptionFID(), state, jax.ShapeDtypeStruct((1, *SIZE, 3), jnp.float32))


def load_inception(path=None):
    """Loads the variables of InceptionFID from the published file, at `path` or downloaded. The sha256 is checked either way.

    Raises:
        WeightsError: the file is unavailable or has another hash, or PyTorch, which reads it, is not installed.
    """
    return inception_variables(read_weights(path or WEIGHTS_URL, WEIGHTS_SHA256))
