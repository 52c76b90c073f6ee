"""Draws label maps from given ones: they are chosen, mirrored, and mixed by pasting regions of one into another (as in copy-paste
augmentation, Ghiasi et al. 2021, and ClassMix, Olsson et al. 2021). Each drawn label map is a pure function of its seed."""
import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import ndimage

_PURPOSE = 0x6D6978  # separates these draws from others of the same seed
_MOST_REGIONS = 3  # at most so many are pasted into one label map
_TOUCHING = np.ones((3, 3))  # pixels that touch at a corner belong to one region


@dataclasses.dataclass(frozen=True)
class Pasted:
    """A region that was pasted: the number of its source, its class, and whether the source was mirrored."""

    source: int
    class_id: int
    mirrored: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """A drawn label map.

    Attributes:
        labels: integer classes (H, W).
        source: number of the label map that it was drawn from.
        mirrored: whether that label map was mirrored.
        pasted: tuple of Pasted that changed a pixel, in the order in which they were pasted: later ones may cover earlier ones.
    """

    labels: np.ndarray
    source: int
    mirrored: bool
    pasted: tuple[Pasted, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Mixing:
    """Draws label maps from n sources of one size.

    Without `favour_rare`, n consecutive seeds that start at a multiple of n take every source once. With it, a class is drawn with equal
    probabilities, then one of its pixels in all sources; the source of this pixel is taken. The weight of each pixel is thus the inverse
    frequency of its class.

    A pasted region is the connected region of a pixel that is drawn from the pixels of one of the `classes` in another source, or in the
    same one if no other holds the class. It is pasted at its own position. The class is drawn from those that this source holds; with
    `favour_rare`, class and source are drawn as above.

    Attributes:
        read: number of a source -> integer classes (H, W), which are not modified.
        pixels: int (n, N), pixels of each class in each source; 0 for don't-care, which is neither favoured nor pasted.
        mirror: whether half of the drawn sources are mirrored, including those of pasted regions.
        classes: classes whose regions are pasted; () pastes nothing.
        favour_rare: as above.

    Raises:
        ValueError: no source holds one of `classes`, or, with `favour_rare`, any class; or `classes` would be pasted from a single source
            onto itself.
    """

    read: Callable[[int], np.ndarray]
    pixels: np.ndarray
    mirror: bool = False
    classes: tuple[int, ...] = ()
    favour_rare: bool = False

    def __post_init__(self):
        if self.favour_rare and not self.pixels.any():
            raise ValueError("all label maps are don't-care throughout")
        if missing := [one for one in self.classes if not self.pixels[:, one].any()]:
            raise ValueError(f"no label map holds class {missing[0]}")
        if self.classes and len(self.pixels) == 1 and not self.mirror:
            raise ValueError("regions are pasted from other label maps, but there is only one: give more, or mirror it")

    def draw(self, seed) -> Drawn:
        """Draws the label map of a seed, a non-negative integer."""
        rng = np.random.default_rng((seed, _PURPOSE))
        source = self._rare(rng, np.flatnonzero(self.pixels.any(0)))[0] if self.favour_rare else _in_turn(seed, len(self.pixels))
        labels, mirrored = self._read(rng, source)
        if not self.classes:
            return Drawn(labels, source, mirrored)
        labels, pasted = labels.copy(), []
        for _ in range(rng.integers(1, _MOST_REGIONS, endpoint=True)):
            other, class_id = self._rare(rng, self.classes, source) if self.favour_rare else self._any(rng, source)
            found, flipped = self._read(rng, other)
            region = region_of_class(found == class_id, rng)
            if (labels[region] != class_id).any():  # it changes nothing if, for example, only this source holds the class
                labels[region] = class_id
                pasted.append(Pasted(other, class_id, flipped))
        return Drawn(labels, source, mirrored, tuple(pasted))

    def _read(self, rng, source):
        labels, mirrored = self.read(source), bool(self.mirror and rng.random() < 0.5)
        return labels[:, ::-1] if mirrored else labels, mirrored

    def _rare(self, rng, classes, but=None):
        """(source, class): first the class is drawn, then the source."""
        class_id = int(rng.choice(classes))
        return _one(rng, self.pixels[:, class_id], but), class_id

    def _any(self, rng, but):
        """(source, class): first the source is drawn, then one of its classes."""
        classes = np.asarray(self.classes)
        source = _one(rng, self.pixels[:, classes].any(1), but)
        return source, int(rng.choice(classes[self.pixels[source, classes] > 0]))


def region_of_class(mask, rng):
    """bool (H, W): the connected region of a pixel that is drawn from the mask (H, W), which must not be empty."""
    regions, _ = ndimage.label(mask, _TOUCHING)
    return regions == regions.flat[rng.choice(np.flatnonzero(mask))]


def _one(rng, weights, but):
    """A number in 0..n-1, drawn by weights (n,); `but` is drawn only if no other number has a weight."""
    others = weights * (np.arange(len(weights)) != but)
    weights = others if others.any() else weights
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _in_turn(seed, count):
    """One of `count` numbers; in each round of `count` consecutive seeds, each number comes once, in a new random order."""
    return int(np.random.default_rng((seed // count, _PURPOSE)).permutation(count)[seed % count])
