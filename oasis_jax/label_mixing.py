"""Label maps that are drawn from others: chosen, mirrored, and mixed by pasting regions of one into another (as in copy-paste
augmentation, Ghiasi et al. 2021, and ClassMix, Olsson et al. 2021). Each is a pure function of its seed."""
import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import ndimage

_PURPOSE = 0x6D6978  # apart from other draws of the same seed
_MOST_REGIONS = 3  # that are pasted into one label map
_TOUCHING = np.ones((3, 3))  # pixels that touch at a corner belong to one region


@dataclasses.dataclass(frozen=True)
class Pasted:
    """A region that was pasted: of which source, of which class, and whether the source was mirrored."""

    source: int
    class_id: int
    mirrored: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """A drawn label map.

    Attributes:
        labels: integer classes (H, W).
        source: number of the label map that it was drawn from.
        mirrored: whether this one was mirrored.
        pasted: tuple of Pasted, in the order in which they were pasted: later ones may cover earlier ones.
    """

    labels: np.ndarray
    source: int
    mirrored: bool
    pasted: tuple[Pasted, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Mixing:
    """How label maps are drawn from n sources of one size.

    Without `favour_rare`, n consecutive seeds from a multiple of n on take every source once. With it, a class is drawn, all with the same
    probability, then one of its pixels in all sources, and so the source of this pixel: each pixel of a source has the weight of the
    inverse frequency of its class.

    A pasted region is the connected region of a pixel, which is drawn from those of one of the `classes` in another source. It is pasted
    where it was. The class is drawn from those that this source holds; with `favour_rare` class and source are drawn as above.

    Attributes:
        read: number of a source -> integer classes (H, W), which are not changed.
        pixels: int (n, N), of each class in each source; 0 for don't-care, which is neither favoured nor pasted.
        mirror: whether half of what is drawn is mirrored, sources of pasted regions too.
        classes: classes whose regions are pasted; () pastes nothing.
        favour_rare: as above.

    Raises:
        ValueError: no source holds any class, or one of `classes`.
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

    def draw(self, seed) -> Drawn:
        """The Drawn of a seed, a non-negative integer."""
        rng = np.random.default_rng((seed, _PURPOSE))
        source = self._rare(rng, np.flatnonzero(self.pixels.any(0)))[0] if self.favour_rare else _in_turn(seed, len(self.pixels))
        labels, mirrored = self._read(rng, source)
        if not self.classes:
            return Drawn(labels, source, mirrored)
        labels, pasted = labels.copy(), []
        for _ in range(rng.integers(1, _MOST_REGIONS, endpoint=True)):
            other, class_id = self._rare(rng, self.classes, source) if self.favour_rare else self._any(rng, source)
            found, flipped = self._read(rng, other)
            labels[region_of_class(found == class_id, rng)] = class_id
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
    """bool (H, W): the connected region of a pixel that is drawn from the mask (H, W), which holds one at least."""
    regions, _ = ndimage.label(mask, _TOUCHING)
    return regions == regions.flat[rng.choice(np.flatnonzero(mask))]


def _one(rng, weights, but):
    """A number drawn by weights (n,); `but` is only taken if it is the only one."""
    others = weights * (np.arange(len(weights)) != but)
    weights = others if others.any() else weights
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _in_turn(seed, count):
    """One of `count` numbers; consecutive seeds take all, in an order of their own in each round."""
    return int(np.random.default_rng((seed // count, _PURPOSE)).permutation(count)[seed % count])
