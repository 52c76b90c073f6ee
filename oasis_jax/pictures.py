"""Pictures for people: colours for class ids, grids of images with captions, and loss curves. Numpy and Pillow only."""
import functools
import io

import numpy as np
from etils import epath
from PIL import Image, ImageDraw, ImageFont

_PAPER = 250  # grey of the background of grids and curves
_INK = (40, 40, 40)


@functools.lru_cache(maxsize=8)
def _palette(num_classes):
    # Each next colour is the candidate farthest from all before it, so any first N are well apart. Left out: greys, neon, and what
    # would not show on white.
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
    """Returns well separated colours for class ids, uint8 (num_classes, 3).

    Class 0, don't care, is black. All colours differ (for up to 5,000 classes), and a class keeps its colour whatever num_classes is.
    """
    return _palette(num_classes).copy()


def colour_label_map(ids, num_classes):
    """Returns integer class ids (...) in 0..num_classes-1 as colours, uint8 (..., 3); raises ValueError on ids out of range."""
    ids = np.asarray(ids)
    if ids.size and (ids.min() < 0 or ids.max() >= num_classes):
        raise ValueError(f"label map holds ids {ids.min()}..{ids.max()}, but num_classes is {num_classes} (ids 0..{num_classes - 1})")
    return _palette(num_classes)[ids]


def grid(rows, captions=None, gap=4):
    """Returns one picture with the images in rows and columns, uint8 (height, width, 3).

    Args:
      rows: list of lists of uint8 images (h, w, 3), all of one size; rows may have different lengths.
      captions: one string for each column, written above it and cut to fit, or None.
      gap: pixels between images and around the whole.

    Raises ValueError if there is no image or the sizes differ.
    """
    rows = [[np.asarray(image) for image in row] for row in rows]
    sizes = {image.shape for row in rows for image in row}
    if len(sizes) != 1:
        raise ValueError(f"a grid needs images of one size, got {sorted(sizes) or 'none'}")
    height, width, _ = sizes.pop()
    columns = max(len(row) for row in rows)
    head = 0 if captions is None else 14
    page = np.full((head + gap + len(rows) * (height + gap), gap + columns * (width + gap), 3), _PAPER, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = head + gap + i * (height + gap), gap + j * (width + gap)
            page[top:top + height, left:left + width] = image
    if captions is None:
        return page
    sheet = Image.fromarray(page)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for j, caption in enumerate(captions):
        while caption and draw.textlength(caption, font=font) > width:
            caption = caption[:-1]
        draw.text((gap + j * (width + gap), 2), caption, fill=_INK, font=font)
    return np.asarray(sheet)


def save_png(path, image):
    """Writes uint8 (H, W, 3) or (H, W) as a PNG to a local path or a bucket such as gs://; parent folders are made.

    The picture appears under its name only when it is complete, so a viewer or a killed run never leaves half of one.
    """
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(encoded, "PNG")
    partial = path.parent / f".{path.name}.partial"
    partial.write_bytes(encoded.getvalue())
    partial.replace(path)


def loss_curve(series, size=(320, 640), smooth=0.9):
    """Returns a line plot of training curves over steps, uint8 (height, width, 3).

    Args:
      series: dict from a name to (steps, values), sequences of equal length; non-finite values are left out.
      size: (height, width) in pixels.
      smooth: share of the running mean that each point keeps from its past, 0 to less than 1; the raw curve stays visible beneath.

    Raises ValueError if there is no finite value to draw.
    """
    curves = {}
    for name, (steps, values) in series.items():
        points = np.array([steps, values], np.float64)
        points = points[:, np.isfinite(points).all(0)]
        if points.size:
            curves[name] = points
    if not curves:
        raise ValueError(f"no finite value to draw in the series {sorted(series)}")
    height, width = size
    left, top, right, bottom = 52, 10, width - 12, height - 24
    (first, low), (last, high) = (reduce([reduce(points, axis=1) for points in curves.values()], axis=0) for reduce in (np.min, np.max))
    last, high = max(last, first + 1), high if high > low else low + 1.0
    sheet = Image.new("RGB", (width, height), (_PAPER,) * 3)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for share in np.linspace(0, 1, 5):
        y = bottom + (top - bottom) * share
        draw.line([(left, y), (right, y)], fill=(220, 220, 220))
        draw.text((left - 6, y), f"{low + (high - low) * share:.3g}", fill=_INK, font=font, anchor="rm")
        draw.text((left + (right - left) * share, bottom + 6), f"{first + (last - first) * share:.0f}", fill=_INK, font=font, anchor="mt")

    def trace(steps, values, colour, thickness):
        x = left + (right - left) * (steps - first) / (last - first)
        y = bottom + (top - bottom) * (values - low) / (high - low)
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=colour, width=thickness)

    for rank, ((name, (steps, values)), colour) in enumerate(zip(curves.items(), colours(len(curves) + 1)[1:].tolist(), strict=True)):
        mean = values.copy()
        for i in range(1, len(mean)):
            mean[i] = smooth * mean[i - 1] + (1 - smooth) * mean[i]
        trace(steps, values, tuple((channel + 2 * _PAPER) // 3 for channel in colour), 1)
        trace(steps, mean, tuple(colour), 2)
        draw.text((right - 4, top + 4 + 13 * rank), name, fill=tuple(colour), font=font, anchor="rt")
    return np.asarray(sheet)
