"""Windows of an image that previews are computed on: where they lie, and what of them is valid."""
import numpy as np

BLOCKS = 2  # of the generator that are computed on a window
STRIDE = 2**BLOCKS  # pixels of the image for each pixel of the features that they begin with
WINDOWS = (64, 96, 128)  # sides in pixels
HALO = 16  # pixels along an edge of a window inside the image that its zero padding can reach: 14, or 11 without heatmaps
MARGIN = 4  # pixels around what has changed that a preview shows at least; fainter effects reach further
MOST_WINDOWS = 2  # beyond which the exact image is as fast


def windows_of(box, size):
    """Windows whose parts without the effects of their own edges cover a box and a margin around it.

    Args:
        box: (top, left, height, width).
        size: (H, W) of the image.

    Returns:
        List of (top, left, height, width), in rows; None if more than MOST_WINDOWS are needed.
    """
    spans = [(max(first - MARGIN, 0), min(first + length + MARGIN, side)) for first, length, side in zip(box, box[2:], size, strict=False)]
    for sides in sides_for(size):
        starts = [_starts(*span, side, whole) for span, side, whole in zip(spans, sides, size, strict=True)]
        if len(starts[0]) * len(starts[1]) <= (1 if sides != sides_for(size)[-1] else MOST_WINDOWS):
            return [(top, left, *sides) for top in starts[0] for left in starts[1]]
    return None


def sides_for(size):
    """(height, width) of the windows for images of a size, from the smallest; none that holds the whole image."""
    found = dict.fromkeys(tuple(min(side, whole) for whole in size) for side in WINDOWS)
    return [sides for sides in found if sides != tuple(size)]


def joined(parts, windows, size):
    """The valid part of several windows as one: (uint8 (h, w, 3), top, left)."""
    valid = []
    for top, left, height, width in windows:
        bottom, right = top + height, left + width
        rows = top + HALO * (top > 0), bottom - HALO * (bottom < size[0])
        valid.append((*rows, left + HALO * (left > 0), right - HALO * (right < size[1])))
    first_row, _, first_column, _ = np.min(valid, 0)
    _, last_row, _, last_column = np.max(valid, 0)
    joined = np.zeros((last_row - first_row, last_column - first_column, 3), np.uint8)
    for part, (top, left, *_), (above, below, before, after) in zip(parts, windows, valid, strict=True):
        inner = part[above - top : below - top, before - left : after - left]
        joined[above - first_row : below - first_row, before - first_column : after - first_column] = inner
    return joined, int(first_row), int(first_column)


def _starts(first, last, side, whole):
    """Where windows of a side begin that cover first..last of `whole` pixels."""
    starts, covered = [], first
    while covered < last:
        start = max(min((covered - HALO) // STRIDE * STRIDE, whole - side), 0)
        starts.append(start)
        covered = whole if start + side >= whole else start + side - HALO
    return starts
