"""Previews of large images: the last two blocks of the generator run on a window, starting from features of the last exact image.

The local effect of a stroke comes from the fine levels, which take most of the time. The coarse levels, and the statistics with which
spatial encoding layers normalise, are those of the last exact image. So a preview is close to the exact image, but not equal to it.
"""
import collections
import dataclasses
from typing import Any

import flax.struct
import jax
import numpy as np
from flax import linen as nn
from jax import lax

from oasis_jax import sampling
from oasis_jax.layers.convolution import leaky_relu
from oasis_jax.layers.dtype import wide
from oasis_jax.layers.normalised import Conv
from oasis_jax.layers.spatial import STRENGTH, EqualizedConv, modulated, normalised, statistics
from oasis_jax.oasis import conditioning as cond
from oasis_jax.oasis.generator import WIDTHS, Generator
from oasis_jax.oasis.spade import SPADEResidualBlock
from oasis_jax.oasis.windows import BLOCKS, STRIDE, joined, sides_for, windows_of
from oasis_jax.ranges import to_bytes

LEAST_PIXELS = 128 * 128  # smaller images have no previews
KEPT = 8  # number of tabs; for each one, the features of its last exact image are kept


@flax.struct.dataclass
class Kept:
    """Intermediate results of an exact image, kept for its previews; a pytree.

    Attributes:
        features: (1, H / 4, W / 4, C), the input of the last blocks.
        normalisers: {block: (mean, 1 / standard deviation), each (1, 1, 1, C)}, for the blocks with a spatial encoding layer.
        maps: {block: (1, h, w, 2)}, sigma and mu of these layers.
    """

    features: jax.Array
    normalisers: dict[str, Any]
    maps: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class GenerateAndKeep:
    """(variables, inputs of `Model.inputs`) -> (uint8 image (1, H, W, 3), whether the conditioning fits the capacities, Kept)."""

    generator: Generator

    def __call__(self, variables, inputs):
        generator, fine = self.generator.clone(remat=False), _fine_blocks(self.generator)  # remat hides intermediates
        before = fine[0] - 1
        source = f"sel_{before}" if _has_sel(generator, before) else f"block_{before}"
        wanted = {source, *(f"block_{i}" for i in fine if _has_sel(generator, i))}

        def is_wanted(module, _):
            return module.name in wanted or module.name == "sigma_mu"

        images, state = generator.apply(
            variables, inputs["conditioning"], heatmaps=inputs["heatmaps"], capture_intermediates=is_wanted, mutable=["intermediates"]
        )
        found = state["intermediates"]
        with_sel = [i for i in fine if _has_sel(generator, i)]
        kept = Kept(
            found[source]["__call__"][0],
            {str(i): statistics(found[f"block_{i}"]["__call__"][0]) for i in with_sel},
            {str(i): found[f"sel_{i}"]["sigma_mu"]["__call__"][0] for i in with_sel},
        )
        return to_bytes(images), generator.fits(inputs["conditioning"]), kept


class Previews:
    """Exact images of a model, and previews of parts of them after small changes. Not thread-safe.

    Attributes:
        model: Model.
    """

    def __init__(self, model):
        self.model = model
        self._kept = collections.OrderedDict()

    def image(self, tab, inputs):
        """Returns the exact image of `Model.images`, uint8 (H, W, 3). Keeps its features under the name of a tab; none if that is ""."""
        image, kept = self._exact(inputs)
        if tab:
            self._kept[tab] = kept
            self._kept.move_to_end(tab)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return jax.device_get(image)[0]

    def _exact(self, inputs):
        """The image (1, H, W, 3) and its features, on the device."""
        for generator, form in self.model.programs(inputs):
            image, fits, kept = sampling.generate(GenerateAndKeep(generator), self.model.variables, form)
            if fits:
                break
        return image, kept

    def part(self, tab, inputs, box):
        """Returns a preview of a part of the image that contains a box.

        Args:
            tab: name of the tab whose last exact image is the starting point.
            inputs: inputs of one image, from `Model.inputs`.
            box: (top, left, height, width) of what has changed since the last exact image.

        Returns:
            (uint8 (h, w, 3), top, left); None if the tab has no exact image yet, or if the box is too large for a preview to save time.
        """
        if tab not in self._kept:
            return None
        self._kept.move_to_end(tab)
        size = inputs["conditioning"].size
        windows = windows_of(box, size)
        if windows is None:
            return None
        parts = [self._window(self._kept[tab], inputs, *window) for window in windows]
        return joined(parts, windows, size)

    def compile(self, inputs):
        """Compiles everything that `part` needs for images of the size of `inputs`, whatever their other properties."""
        _, kept = self._exact(inputs)
        for side in sides_for(inputs["conditioning"].size):
            self._window(kept, inputs, 0, 0, *side)

    def _window(self, kept, inputs, top, left, height, width):
        conditioning = cond.compacted(inputs["conditioning"])
        window = {
            "ids": conditioning.ids[:, top : top + height, left : left + width],
            "table": conditioning.table,
            "place": np.asarray([0, top // STRIDE, left // STRIDE, 0], np.int32),
            "kept": kept,
        }
        return jax.device_get(sampling.generate(GenerateWindow(self.model.generator), self.model.variables, window, True))[0]


@dataclasses.dataclass(frozen=True)
class GenerateWindow:
    """(variables, {"ids" (1, h, w), "table" (1, K, Y), "place" of the window in the features, "kept"}) -> (1, h, w, 3) in [-1, 1]."""

    generator: Generator

    def __call__(self, variables, window):
        generator, kept, conditioning = self.generator, window["kept"], cond.Conditioning(window["ids"], window["table"])
        height, width = conditioning.size
        channels = kept.features.shape[-1]
        x = lax.dynamic_slice(kept.features, window["place"], (1, height // STRIDE, width // STRIDE, channels))
        for i in _fine_blocks(generator):
            step = 2 ** (generator.num_blocks - 1 - i)
            size = height // step, width // step
            features = generator.channels * WIDTHS[len(WIDTHS) - generator.num_blocks + i]
            block = SPADEResidualBlock(features, generator.hidden(i), upsamples=True)
            top, left = (start * STRIDE // step for start in (window["place"][1], window["place"][2]))
            grain = generator.grain(conditioning, i, size, (top, left))
            x = block.apply(_of(variables, f"block_{i}"), x, conditioning.separately(*size), False, grain)
            if _has_sel(generator, i):
                maps = lax.dynamic_slice(kept.maps[str(i)], (0, top, left, 0), (1, *x.shape[1:3], 2))
                branch = EqualizedConv(features, zero_init=True)
                y = modulated(normalised(x, *kept.normalisers[str(i)]), maps)
                x = x + STRENGTH * generator.sel_strength * branch.apply(_of(_of(variables, f"sel_{i}"), "output"), y)
        x = Conv(3).apply(_of(variables, "conv_out"), leaky_relu(x))
        return nn.tanh(x.astype(wide(x.dtype)))


def can_preview(generator, size):
    """Whether previews of images (H, W) are possible: the images are large enough, and not all blocks of G would run on a window."""
    return generator.num_blocks > BLOCKS and size[0] * size[1] >= LEAST_PIXELS and bool(sides_for(size))


def _fine_blocks(generator):
    return range(generator.num_blocks - BLOCKS, generator.num_blocks)


def _has_sel(generator, i):
    return bool(generator.sel_blocks) and generator.sel_blocks[i] != "none"


def _of(variables, name):
    """The variables of the submodule `name`."""
    return {collection: tree[name] for collection, tree in variables.items() if name in tree}
