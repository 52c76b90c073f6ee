"""Meaning of stored label ids: converts files and arrays to class maps. Imports no TensorFlow, so that sampling can use it."""
import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from oasis_jax.data.image_files import DataError, open_image, white_is_zero
from oasis_jax.fields import MAX_IDS

IGNORED_IDS = (-1, 255, 65535)  # by convention: pixels without a class
_PALETTE_FILE = "data.palette"
_SAMPLE_FORMAT, _SIGNED = 339, (2,)  # a tag of TIFF files, and its value for signed integers


@dataclasses.dataclass(frozen=True, eq=False)
class LabelRule:
    """Maps stored ids to classes 0..num_classes-1.

    Attributes:
        num_classes: N, including the don't-care class.
        offset: class = stored id + offset, except for the ids in `mapping`.
        mapping: {stored id: class}; ids of signed types may be negative, such as -1.
        palette: uint8 (K, 3) colours of RGB label maps, all different; the stored id of a pixel is the row of its colour.
        fixed: whether num_classes is that of a trained model, so that messages do not suggest another number.
        palette_source: where the palette is from, for messages; they suggest new lines only for a palette file.

    Raises:
        DataError: num_classes or the mapping is out of range.
    """

    num_classes: int
    offset: int = 0
    mapping: Mapping[int, int] = dataclasses.field(default_factory=dict)
    palette: np.ndarray | None = None
    fixed: bool = False
    palette_source: str = _PALETTE_FILE

    def __post_init__(self):
        if not 0 < self.num_classes <= MAX_IDS:
            raise DataError(f"data.num_classes is {self.num_classes}: set it to the number of classes, including the don't-care class")
        for stored, target in self.mapping.items():
            if not -MAX_IDS < stored < MAX_IDS:
                raise DataError(f"data.label_map maps {stored} to {target}, but ids are {1 - MAX_IDS}..{MAX_IDS - 1}: correct it")
            if not 0 <= target < self.num_classes:
                raise DataError(f"data.label_map maps {stored} to {target}, but classes are 0..{self.num_classes - 1}: correct it")

    @functools.cached_property
    def table(self) -> np.ndarray:
        """int32 (65536,): class of every stored id, -1 if it has none."""
        table = np.arange(MAX_IDS, dtype=np.int32) + self.offset
        table[(table < 0) | (table >= self.num_classes)] = -1
        for stored, target in self.mapping.items():
            if stored >= 0:
                table[stored] = target
        return table

    @functools.cached_property
    def inverse(self) -> np.ndarray:
        """int32 (num_classes,): the stored id 0..65535 of each class, -1 if there is none.

        If several ids have the same class, it is the id given by the offset, or else the lowest.
        """
        ids, classes = np.flatnonzero(self.table >= 0)[::-1], np.arange(self.num_classes)
        inverse = np.full(self.num_classes, -1, np.int32)
        inverse[self.table[ids]] = ids  # the lowest is assigned last
        shifted = classes - self.offset
        by_offset = (shifted >= 0) & (shifted < MAX_IDS) & (self.table.take(shifted, mode="clip") == classes)
        return np.where(by_offset, shifted, inverse).astype(np.int32)

    def _class_of_negative(self, stored):
        shifted = int(stored) + self.offset
        return self.mapping.get(int(stored), shifted if 0 <= shifted < self.num_classes else -1)

    @property
    def identity(self) -> bytes:
        """Bytes that change whenever the class of a stored id or colour changes."""
        negative = sorted((stored, target) for stored, target in self.mapping.items() if stored < 0)
        palette = b"" if self.palette is None else self.palette.tobytes()
        return self.table.tobytes() + palette + (repr(negative).encode() if negative else b"")

    @functools.cached_property
    def colours(self) -> np.ndarray:
        """int32 (2**24,): stored id of every packed colour, -1 if the palette lacks it."""
        colours = np.full(1 << 24, -1, np.int32)
        packed = _pack(self.palette)
        colours[packed] = np.arange(len(packed))
        return colours

    def __call__(self, stored, source="the label map") -> np.ndarray:
        """Maps an integer array of stored ids, any shape, to int32 classes. Raises DataError, naming `source`, for ids without a class."""
        stored = np.asarray(stored)
        if not np.issubdtype(stored.dtype, np.integer):
            raise DataError(f"{source} holds {stored.dtype} values: label maps hold integer ids")
        classes = self.table.take(stored, mode="clip")
        if stored.min() < 0:
            negative, places = np.unique(stored[stored < 0], return_inverse=True)
            classes[stored < 0] = np.array([self._class_of_negative(each) for each in negative], np.int32)[places]
        if classes.min() < 0 or stored.max() >= MAX_IDS:
            wrong = np.unique(stored[(classes < 0) | (stored >= MAX_IDS)])
            raise DataError(f"{source} holds {self._out_of_range(wrong, np.unique(stored))}")
        return classes

    def stored_of_colours(self, rgb, source="the label map") -> np.ndarray:
        """Maps uint8 (H, W, 3) colours to palette rows, uint16 (H, W). Raises DataError, naming `source`, for unknown colours."""
        stored = self.colours[_pack(rgb)]
        if stored.min() < 0:
            raise DataError(f"{source} holds {self._unknown_colours(rgb, stored < 0)}")
        return stored.astype(np.uint16)

    def _unknown_colours(self, rgb, unknown):
        """Describes the `unknown` colours, bool (H, W), of `rgb` and how to fix them, for a message."""
        colours, counts = np.unique(rgb[unknown], axis=0, return_counts=True)
        y, x = np.argwhere(unknown)[0]
        nearest = int(np.square(self.palette.astype(int) - rgb[y, x]).sum(1).argmin())
        of_class = f" of class {self.table[nearest]}" if self.table[nearest] >= 0 else ""
        first = f"{_text(rgb[y, x])} (at row {y}, column {x}; nearest is {_text(self.palette[nearest])}{of_class})"
        one, each = ("add a line for it", "add a line for each")
        if self.palette_source != _PALETTE_FILE:
            one, each = ("give it the colour of a class", "give each the colour of a class")
        if len(colours) == 1:
            return f"the colour {first} in {counts[0]} pixels, which {self.palette_source} lacks: {one}"
        some = f"{len(colours)} colours in {counts.sum()} pixels ({unknown.mean():.1%}) that {self.palette_source} lacks, such as {first}"
        if _blended(colours, counts, *np.unique(rgb[~unknown], axis=0, return_counts=True)):
            return (
                f"{some}: they look like blends of its colours at borders (antialiased). Draw or resize label maps without antialiasing "
                "(nearest neighbour), and save them without loss"
            )
        return f"{some}: {each}, or check that the file is a label map"

    def _out_of_range(self, wrong, stored):
        """Describes the ids `wrong` (those of `stored` without a class; both sorted) and how to fix them, for a message."""
        wrong, stored = wrong.tolist(), stored.tolist()  # 8-bit ids would overflow
        found, allowed = f"id {_few(wrong)}", "ids"
        if self.offset:
            found += f", which data.label_offset={self.offset} makes {_few([one + self.offset for one in wrong])}"
            allowed = "classes"
        fix = f"map id {wrong[0]} in data.label_map"
        if self.offset and (fits := self._offset_that_fits(wrong, stored)) is not None:
            fix = f"set data.label_offset={fits}, which gives all ids of this file a class, or {fix}"
        elif self.num_classes - self.offset <= wrong[-1] < MAX_IDS - self.offset and wrong[0] >= -self.offset and not self.fixed:
            fix = f"set data.num_classes={wrong[-1] + self.offset + 1} or {fix}"
        ignored = [one for one in wrong if one in IGNORED_IDS]
        if ignored:
            fix += f' (often {ignored[0]} means don\'t-care: data.label_map="{ignored[0]}:C", C being data.dontcare_id)'
        if len(wrong) > max(self.num_classes, 8):
            fix += "; so many ids look like a photo, or like a label map that was resized with antialiasing (nearest neighbour keeps ids)"
        return f"{found}, but data.num_classes is {self.num_classes} ({allowed} 0..{self.num_classes - 1}): {fix}"

    def _offset_that_fits(self, wrong, stored):
        """If data.label_offset gives no id of a file a class, returns an offset that gives all of them one; None if there is none."""
        unmapped = [one for one in stored if one not in self.mapping and one not in IGNORED_IDS]
        if not unmapped or not set(unmapped) <= set(wrong):
            return None
        fits = 0 if unmapped[0] >= 0 and unmapped[-1] < self.num_classes else -unmapped[0]
        return fits if unmapped[-1] + fits < self.num_classes else None


def parse_label_map(text) -> dict[int, int]:
    """Parses "255:0,11:0" (stored:class) as {255: 0, 11: 0}; raises DataError for anything else, and for a repeated id."""
    try:
        pairs = [tuple(map(int, entry.split(":"))) for entry in text.split(",") if entry.strip()]
        mapping = {stored: target for stored, target in pairs}
    except ValueError:
        raise DataError(f'data.label_map is "{text}": write pairs of stored id and class such as "255:0,11:0"') from None
    if len(mapping) < len(pairs):
        twice = next(stored for stored in mapping if [each for each, _ in pairs].count(stored) > 1)
        given = " and ".join(f"{stored}:{target}" for stored, target in pairs if stored == twice)
        raise DataError(f'data.label_map is "{text}", which has id {twice} more than once, {given}: remove all but one of them')
    return mapping


def read_stored_ids(path, rule) -> np.ndarray:
    """Reads the ids of a label file as stored, integers (H, W). Raises DataError as `open_image` and `stored_ids` do."""
    return stored_ids(open_image(path), rule)


def stored_ids(file, rule) -> np.ndarray:
    """The ids of a label file as stored: uint8 or uint16 (H, W), or int32 if some are negative, as in a TIFF of a signed type.

    Greyscale images of 8 or 16 bits hold the ids themselves, and so do RGB images of three equal channels. With `rule.palette`, RGB and
    palette images hold its colours; without, palette images hold their indices.

    Args:
        file: ImageFile.
        rule: LabelRule.

    Raises:
        DataError: the file is damaged, cannot hold ids exactly, or has a colour that the palette lacks.
    """
    path = file.source
    if file.lossy:
        kind = f"a {file.image.format}" if file.image.format in ("JPEG", "AVIF") else f"a {file.image.format} compressed with loss"
        raise DataError(f"{path} is {kind}, which does not keep ids: save label maps as PNG (or are photos and label maps swapped?)")
    image = file.decode()
    if file.turned:  # viewers would turn it, but training programs would not
        raise DataError(f"{path} is turned by its own EXIF (orientation {file.orientation}): save the label map upright, without EXIF")
    if file.stretched:
        raise DataError(f"{path} holds grey of 2 or 4 bits, which some programs stretch to 0..255: save the ids with 8 bits")
    if image.mode == "P":
        return np.asarray(image) if rule.palette is None else _ids_of_colours(image, path, rule)
    if image.mode in ("RGB", "RGBA", "LA"):
        if file.reduced:
            raise DataError(f"{path} has colours of 16 bits: save label maps as 8 or 16 bit ids, palette PNG or RGB of 8 bits")
        return _ids_of_colours(image, path, rule)
    if image.mode == "F":
        low, high = image.getextrema()
        raise DataError(f"{path} holds floating-point numbers, {low:g} to {high:g}: save the ids as integers of 8 or 16 bits")
    if image.mode not in ("1", "L", "I", "I;16", "I;16B"):
        raise DataError(f"{path} is an image of mode {image.mode}: save label maps as 8 or 16 bit ids, palette PNG or RGB")
    if white_is_zero(image) and image.mode != "1":  # of 1 bit, all programs agree
        raise DataError(f"{path} is a TIFF in which 0 is white, which some programs invert: save the ids as PNG")
    stored = np.asarray(image)
    if image.format == "TIFF" and image.mode == "L" and image.tag_v2.get(_SAMPLE_FORMAT) == _SIGNED:  # for Pillow, bytes have no sign
        stored = stored.view(np.int8).astype(np.int32)
    if stored.dtype == np.int32 and (stored.min() <= -MAX_IDS or stored.max() >= MAX_IDS):
        wrong = stored.min() if stored.min() <= -MAX_IDS else stored.max()
        raise DataError(f"{path} holds id {wrong}, but ids are {1 - MAX_IDS}..{MAX_IDS - 1}: give these pixels another id")
    unsigned = np.uint8 if image.mode in ("1", "L") else np.uint16
    return stored.astype(unsigned if stored.min() >= 0 else np.int32, copy=False)


def _ids_of_colours(image, path, rule):
    """Returns stored ids of an image with colours: rows of the palette, or the value of three equal channels."""
    if image.has_transparency_data and (hidden := (np.asarray(image.convert("RGBA"))[..., 3] < 255).sum()):
        raise DataError(f"{path} has {hidden} transparent pixels, whose class is unknown: save it without transparency")
    rgb = np.asarray(image.convert("RGBA"))[..., :3] if image.has_transparency_data else np.asarray(image.convert("RGB"))
    if rule.palette is None:
        if (rgb != rgb[..., :1]).any():
            raise DataError(f"{path} holds colours, not ids: name a palette file in data.palette (or are photos and label maps swapped?)")
        return rgb[..., 0]
    try:
        return rule.stored_of_colours(rgb, path)
    except DataError as error:
        if image.mode == "P":
            raise DataError(f"{error} (it is a palette image: if its indices are the ids, empty data.palette)") from None
        raise


def read_label_map(path, rule) -> np.ndarray:
    """Reads a label file as classes 0..rule.num_classes-1, int32 (H, W). Raises DataError as `read_stored_ids` and `LabelRule` do."""
    return rule(read_stored_ids(path, rule), f"label map {path}")


def resize_label_map(ids, size, window=None) -> np.ndarray:
    """Nearest-neighbour resize of (H, W) ids to `size` (height, width): result pixel i takes the source pixel that contains its centre.

    With `window` (top, left, height, width), only this part of the result is computed.
    """
    top, left, height, width = window or (0, 0, *size)
    rows, columns = (
        (2 * np.arange(first, first + count) + 1) * old // (2 * new)
        for old, new, first, count in zip(ids.shape, size, (top, left), (height, width), strict=True)
    )
    return ids[rows].take(columns, axis=1)  # indexing both axes would give a column-major array, which is slow to process


def _blended(colours, counts, known, known_counts):
    """Whether these (n, 3) colours, with their pixel counts, look like blends of the known ones (k, 3), as at antialiased borders.

    Blends outnumber the known colours and are far rarer, or most of them lie between two known colours.
    """
    if 0 < len(known) < len(colours) and 4 * np.median(counts) < np.median(known_counts):
        return True
    colours, known = colours[:: max(1, len(colours) // 200)].astype(float), known[:32].astype(float)
    best = np.full(len(colours), np.inf)
    for i, first in enumerate(known):
        for second in known[:i]:
            along = second - first
            share = np.clip((colours - first) @ along / (along @ along), 0, 1)
            best = np.minimum(best, np.linalg.norm(colours - first - share[:, None] * along, axis=1))
    return np.mean(best < 8) > 0.8  # tolerances for rounding and overshoot of resizing filters


def _few(ids):
    return ", ".join(map(str, ids[:5])) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


def _text(colour):
    return " ".join(map(str, colour))


def _pack(rgb):
    r, g, b = np.moveaxis(rgb.astype(np.int32), -1, 0)
    return r << 16 | g << 8 | b
