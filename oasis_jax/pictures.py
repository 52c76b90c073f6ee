"""Pictures for people: colours for class ids, and grids of images with captions. NumPy and Pillow only."""
import functools
import io
import os

import numpy as np
from etils import epath
from PIL import Image, ImageDraw, ImageFont

from oasis_jax.files import one_line, write_whole

CONTACT_SHEET = "contact_sheet.png"  # one picture of all images of a folder, in the same folder
SHEET_ROWS = 32  # at most so many label maps, or rows of samples, are shown on it
_LINE = 14  # height of a line of text
_PAPER = 250  # grey of the background
_INK = (40, 40, 40)


@functools.lru_cache(maxsize=8)
def _palette(num_classes):
    # Each next colour is the candidate farthest from all earlier ones, so that the first N are well separated for any N. Greys, neon
    # colours, and colours that are hard to see on white are left out.
    levels = np.arange(0, 256, 10)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3).astype(np.float32)
    chroma = np.ptp(candidates, 1)
    candidates = candidates[(chroma >= 50) & (chroma <= 180) & (candidates.max(1) >= 90) & (candidates.mean(1) <= 195)]
    table = np.array([(0, 0, 0), (112, 168, 224)] + [(0, 0, 0)] * (num_classes - 2), np.uint8)[:num_classes]
    distance = np.min([np.sum((candidates - start) ** 2, 1) for start in table[:2].astype(np.float32)], 0)
    for index in range(2, num_classes):
        table[index] = chosen = candidates[np.argmax(distance)]
        distance = np.minimum(distance, np.sum((candidates - chosen) ** 2, 1))
    table.setflags(write=False)
    return table


def colours(num_classes):
    """Well-separated colours for class ids, uint8 (num_classes, 3).

    Class 0, don't care, is black. All colours differ (for up to 5,000 classes), and a class keeps its colour whatever num_classes is.
    """
    return _palette(num_classes).copy()


def colour_label_map(ids, num_classes):
    """Integer class ids (...) in 0..num_classes-1 as colours, uint8 (..., 3); raises ValueError for ids out of range."""
    ids = np.asarray(ids)
    if ids.size and (ids.min() < 0 or ids.max() >= num_classes):
        raise ValueError(f"label map holds ids {ids.min()}..{ids.max()}, but num_classes is {num_classes} (ids 0..{num_classes - 1})")
    return _palette(num_classes)[ids]


def grid(rows, captions=None, notes=None, gap=4):
    """Arranges images in rows and columns of one picture, uint8 (height, width, 3).

    Args:
        rows: list of lists of uint8 images (h, w, 3), all of one size; None is an empty cell. Rows may have different lengths.
        captions: one string per column, written above it in one line; None for none.
        notes: like `rows`, a string per image, written below it; None for none.
        gap: pixels between images and around the whole.

    Raises:
        ValueError: there is no image, or the sizes differ.
    """
    rows = [[None if image is None else np.asarray(image) for image in row] for row in rows]
    sizes = {image.shape for row in rows for image in row if image is not None}
    if len(sizes) != 1:
        raise ValueError(f"a grid needs images of one size, got {sorted(sizes) or 'none'}")
    height, width, _ = sizes.pop()
    columns = max(len(row) for row in rows)
    head, foot = (0 if texts is None else _LINE for texts in (captions, notes))
    page = np.full((head + gap + len(rows) * (height + foot + gap), gap + columns * (width + gap), 3), _PAPER, np.uint8)
    texts = [(j, 2, caption) for j, caption in enumerate(captions or ())]
    for i, row in enumerate(rows):
        top = head + gap + i * (height + foot + gap)
        for j, image in enumerate(row):
            left = gap + j * (width + gap)
            if image is not None:
                page[top : top + height, left : left + width] = image
        texts += [(j, top + height + 1, note) for j, note in enumerate(notes[i] if notes else ())]
    if not texts:
        return page
    sheet = Image.fromarray(page)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for j, top, text in texts:
        text = one_line(text)
        while text and draw.textlength(text, font=font) > width:  # cut to fit
            text = text[:-1]
        draw.text((gap + j * (width + gap), top), text, fill=_INK, font=font)
    return np.asarray(sheet)


def png(image):
    """uint8 (H, W, 3), or uint8 or uint16 (H, W), as the bytes of a PNG."""
    return _encoded(image, "PNG")


def save_png(path, image):
    """Writes uint8 (H, W, 3), or uint8 or uint16 (H, W), as a PNG to a local path or a bucket such as gs://; parent folders are created.

    The picture appears under its name only when it is complete, even if the program is killed.
    """
    _save(path, png(image))


def save_ids(path, ids):
    """Writes stored ids, integers (H, W) from -65535 to 65535, to path + ".png", or to path + ".tif" if some are negative."""
    if ids.min() < 0:
        _save(f"{os.fspath(path)}.tif", _encoded(ids.astype(np.int32), "TIFF"))
    else:
        _save(f"{os.fspath(path)}.png", png(ids.astype(np.uint8 if ids.max() < 256 else np.uint16)))


def _encoded(image, kind):
    encoded = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(encoded, kind)
    return encoded.getvalue()


def _save(path, data):
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
