"""Meaning of stored label ids: files and arrays become class maps. Imports no TensorFlow, so that sampling can use it."""
import dataclasses
import functools
import io
import os
from collections.abc import Mapping

import numpy as np
from etils import epath
from PIL import Image

MAX_IDS = 1 << 16  # stored ids are 8 or 16 bits wide


class DataError(Exception):
    """Data that cannot be used; the message names the file, the value and how to fix it."""


@dataclasses.dataclass(frozen=True, eq=False)
class LabelRule:
    """Maps stored ids to classes 0..num_classes-1.

    Attributes:
        num_classes: N, including the don't-care class.
        offset: class = stored id + offset, except for the ids in `mapping`.
        mapping: {stored id: class}.
        palette: uint8 (K, 3) colours of RGB label maps; the stored id of a pixel is the row of its colour.
        fixed: whether num_classes is that of a trained model, so that no message may ask for another number.

    Raises:
        DataError: num_classes or the mapping is out of range.
    """

    num_classes: int
    offset: int = 0
    mapping: Mapping[int, int] = dataclasses.field(default_factory=dict)
    palette: np.ndarray | None = None
    fixed: bool = False

    def __post_init__(self):
        if not 0 < self.num_classes <= MAX_IDS:
            raise DataError(f"data.num_classes is {self.num_classes}: set it to the number of classes, including the don't-care class")
        for stored, target in self.mapping.items():
            if not (0 <= target < self.num_classes and 0 <= stored < MAX_IDS):
                raise DataError(f"data.label_map maps {stored} to {target}, but classes are 0..{self.num_classes - 1}: correct it")

    @functools.cached_property
    def table(self) -> np.ndarray:
        """int32 (65536,): class of every stored id, -1 if it has none."""
        table = np.arange(MAX_IDS, dtype=np.int32) + self.offset
        table[(table < 0) | (table >= self.num_classes)] = -1
        for stored, target in self.mapping.items():
            table[stored] = target
        return table

    @functools.cached_property
    def colours(self) -> np.ndarray:
        """int32 (2**24,): stored id of every packed colour, -1 if the palette lacks it."""
        colours = np.full(1 << 24, -1, np.int32)
        packed = _pack(self.palette)
        colours[packed[::-1]] = np.arange(len(packed))[::-1]  # the first of several lines with one colour wins
        return colours

    def __call__(self, stored, source="the label map") -> np.ndarray:
        """Maps an integer array of stored ids, any shape, to int32 classes. Raises DataError, naming `source`, for ids without a class."""
        stored = np.asarray(stored)
        if not np.issubdtype(stored.dtype, np.integer):
            raise DataError(f"{source} holds {stored.dtype} values: label maps hold integer ids")
        classes = self.table.take(stored, mode="clip")
        if classes.min() < 0 or stored.min() < 0 or stored.max() >= MAX_IDS:
            wrong = np.unique(stored[(classes < 0) | (stored < 0) | (stored >= MAX_IDS)])
            raise DataError(f"{source} holds {self._out_of_range(wrong)}")
        return classes

    def stored_of_colours(self, rgb, source="the label map") -> np.ndarray:
        """Maps uint8 (H, W, 3) colours to palette rows, uint16 (H, W). Raises DataError, naming `source`, for unknown colours."""
        stored = self.colours[_pack(rgb)]
        if stored.min() < 0:
            y, x = np.argwhere(stored < 0)[0]
            colour = " ".join(map(str, rgb[y, x]))
            raise DataError(f"{source} holds the colour {colour} (at row {y}, column {x}), which data.palette lacks: add a line for it")
        return stored.astype(np.uint16)

    def _out_of_range(self, wrong):
        some = ", ".join(map(str, wrong[:5])) + (f" and {wrong.size - 5} more" if wrong.size > 5 else "")
        shift = f" and data.label_offset is {self.offset}" if self.offset else ""
        first, last = -self.offset, self.num_classes - 1 - self.offset
        fix = f"map id {wrong[0]} in data.label_map"
        if wrong[-1] > last and not self.fixed:
            fix = f"set data.num_classes={wrong[-1] + self.offset + 1} or {fix}"
        return f"id {some}, but data.num_classes is {self.num_classes}{shift} (ids {first}..{last}): {fix}"


def parse_label_map(text) -> dict[int, int]:
    """Parses "255:0,11:0" (stored:class) as {255: 0, 11: 0}; raises DataError for anything else."""
    try:
        return {int(stored): int(target) for stored, target in (entry.split(":") for entry in text.split(",") if entry.strip())}
    except ValueError:
        raise DataError(f'data.label_map is "{text}": write pairs of stored id and class such as "255:0,11:0"') from None


def read_palette(path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reads a palette file, one "R G B name" per line: colours uint8 (K, 3) and names. Raises DataError naming file and line."""
    try:
        lines = epath.Path(path).expanduser().read_text().splitlines()
    except OSError as error:
        raise DataError(f"data.palette {path} cannot be read ({error}): name a text file with one class per line, R G B name") from error
    colours, names = [], []
    for number, line in enumerate(lines, 1):
        fields = line.split(maxsplit=3)
        if not fields:
            continue
        if len(fields) < 3 or not all(field.isdecimal() and int(field) < 256 for field in fields[:3]):
            raise DataError(f'{path} line {number} is "{line}": write R G B name with values 0..255')
        colours.append([int(field) for field in fields[:3]])
        names.append(fields[3].strip() if len(fields) > 3 else str(len(names)))
    if not colours:
        raise DataError(f"data.palette {path} holds no colours: write one class per line, R G B name")
    return np.asarray(colours, np.uint8), tuple(names)


def read_image(path) -> Image.Image:
    """Opens and decodes an image file (any path etils.epath knows). Raises DataError if it is missing, empty, truncated or not an image."""
    try:
        data = _read_bytes(os.fspath(path))  # one read, because decoders request small pieces
    except OSError as error:
        raise _unreadable(path, error) from error
    return decode_image(data, path)


def decode_image(data, source) -> Image.Image:
    """Decodes the bytes of an image file. Raises DataError, naming `source`, if they are empty, truncated or not an image."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
        return image
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise _unreadable(source, error) from error


def _unreadable(source, error):
    return DataError(f"{source} cannot be read as an image ({error}): replace or remove it")


def _read_bytes(path):
    if "://" in path:
        return epath.Path(path).read_bytes()
    with open(path, "rb", buffering=0) as file:  # few system calls, because each has to reacquire the interpreter lock
        return file.read()


def read_stored_ids(path, rule) -> np.ndarray:
    """Reads the ids of a label file as stored: uint8 or uint16 (H, W).

    Greyscale images of 8 or 16 bits hold the ids themselves, palette images their indices, RGB images colours of `rule.palette`.

    Raises:
        DataError: the file is unreadable or an unsupported kind of image, or has a colour that the palette lacks.
    """
    image = read_image(path)
    if image.format == "JPEG":
        raise DataError(f"{path} is a JPEG, which does not keep ids: save label maps as PNG (or are photos and label maps swapped?)")
    if image.mode in ("RGB", "RGBA"):
        if rule.palette is None:
            raise DataError(f"{path} holds colours, not ids: name a palette file in data.palette (or are photos and label maps swapped?)")
        return rule.stored_of_colours(np.asarray(image.convert("RGB")), path)
    if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
        raise DataError(f"{path} is an image of mode {image.mode}: save label maps as 8 or 16 bit ids, palette PNG or RGB")
    stored = np.asarray(image)
    if stored.dtype == np.int32 and (stored.min() < 0 or stored.max() >= MAX_IDS):
        raise DataError(f"{path} holds id {stored.min() if stored.min() < 0 else stored.max()}: ids are 0..{MAX_IDS - 1}")
    return stored.astype(np.uint8 if image.mode in ("1", "L", "P") else np.uint16, copy=False)


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


def _pack(rgb):
    r, g, b = np.moveaxis(rgb.astype(np.int32), -1, 0)
    return r << 16 | g << 8 | b
