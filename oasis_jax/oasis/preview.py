"""Previews of large images: the last two blocks of the generator on a window, over the features of the last exact image.

What a stroke changes near itself comes from the fine levels, which take most of the time. The coarse levels, and the statistics by which
spatial encoding layers normalise, are those of the image as it was; so a preview is near the exact image, and not equal to it.
"""
import collections
import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from oasis_jax import sampling
from oasis_jax.layers.convolution import leaky_relu
from oasis_jax.layers.dtype import wide
from oasis_jax.layers.normalised import Conv
from oasis_jax.layers.spatial import SpatialEncoding, statistics
from oasis_jax.oasis.dense import Dense
from oasis_jax.oasis.generator import Generator
from oasis_jax.oasis.regions import look_up
from oasis_jax.oasis.spade import SPADEResidualBlock
from oasis_jax.ranges import to_bytes

BLOCKS = 2  # that are computed on a window
STRIDE = 2**BLOCKS  # pixels of the image for each pixel of the features that they begin with
WINDOWS = (64, 96, 128)  # sides in pixels
HALO = 16  # pixels along an edge of a window inside of the image that its zero padding can reach; it is 14, or 11 without heatmaps
MOST_WINDOWS = 2  # beyond which the exact image is as fast
KEPT = 8  # images whose features are kept, of as many tabs


@flax.struct.dataclass
class Kept:
    """What is kept of an exact image; a pytree.

    Attributes:
        features: (1, H / 4, W / 4, C), which the last blocks begin with.
        normalisers: {block: (mean, 1 / standard deviation), each (1, 1, 1, C)} of the blocks with a spatial encoding layer.
        maps: {block: (1, h, w, 2)}, sigma and mu of these layers.
    """

    features: jax.Array
    normalisers: dict[str, Any]
    maps: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class GenerateAndKeep:
    """(variables, inputs of `Model.inputs`) -> uint8 image (1, H, W, 3), whether the conditioning fits the capacities, and what is Kept."""

    generator: Generator

    def __call__(self, variables, inputs):
        generator, fine = self.generator, _fine_blocks(self.generator)
        before = fine[0] - 1
        source = f"sel_{before}" if _has_sel(generator, before) else f"block_{before}"
        wanted = {source, *(f"block_{i}" for i in fine if _has_sel(generator, i))}

        def is_wanted(module, _):
            return module.name in wanted or (module.name == "sigma_mu" and isinstance(module.parent, SpatialEncoding))

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
    """Exact images of a model, and parts of them after small changes; for one thread.

    Attributes:
        model: Model.
    """

    def __init__(self, model):
        self.model = model
        self._kept = collections.OrderedDict()

    def image(self, tab, inputs):
        """The exact image of `Model.images`, uint8 (H, W, 3); its features are kept under the name of a tab."""
        for generator, form in self.model.programs(inputs):
            image, fits, kept = sampling.generate(GenerateAndKeep(generator), self.model.variables, form)
            if fits:
                break
        self._kept[tab] = kept
        self._kept.move_to_end(tab)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return jax.device_get(image)[0]

    def part(self, tab, inputs, box):
        """The part of the image with a box, approximately.

        Args:
            tab: whose last exact image is the base.
            inputs: of `Model.inputs`, for one image.
            box: (top, left, height, width) of what has changed since.

        Returns:
            (uint8 (h, w, 3), top, left); None if there is no exact image to begin with, or the box is too large to gain time.
        """
        if tab not in self._kept:
            return None
        self._kept.move_to_end(tab)
        size = inputs["conditioning"].size
        windows = windows_of(box, size)
        if windows is None:
            return None
        parts = [self._window(self._kept[tab], inputs, *window) for window in windows]
        return _joined(parts, windows, size)

    def compile(self, inputs):
        """Compiles all that `image` and `part` need for inputs of these shapes."""
        self.image("", inputs)
        for side in sides(inputs["conditioning"].size):
            self._window(self._kept[""], inputs, 0, 0, *side)
        del self._kept[""]

    def _window(self, kept, inputs, top, left, height, width):
        conditioning = inputs["conditioning"]
        ids = np.asarray(conditioning.ids)[:, top : top + height, left : left + width]
        place = np.asarray([top // STRIDE, left // STRIDE], np.int32)
        image = _fine(self.model.generator, self.model.variables, kept, np.asarray(ids, np.int32), conditioning.table, place)
        return jax.device_get(image)[0]
