"""Image windows on which previews are computed: their positions, and their valid parts."""
import numpy as np

BLOCKS = 2  # number of the generator's last blocks that run on a window
STRIDE = 2**BLOCKS  # image pixels per pixel of the features that these blocks start from
WINDOWS = (64, 96, 128)  # sides in pixels
HALO = 16  # invalid pixels along a window edge inside the image; zero padding affects up to 14, or 11 without heatmaps
MARGIN = 4  # a preview covers at least this many pixels around the changed box; fainter effects reach further
MOST_WINDOWS = 2  # with more windows, the exact image is as fast


def windows_of(box, size):
    """Returns windows whose valid parts, unaffected by their edges, together cover a box and a margin around it.

    Args:
        box: (top, left, height, width).
        size: (H, W) of the image.

    Returns:
        List of (top, left, height, width), row by row; None if more than MOST_WINDOWS are needed.
    """
    spans = [(max(first - MARGIN, 0), min(first + length + MARGIN, side)) for first, length, side in zip(box, box[2:], size, strict=False)]
    for sides in sides_for(size):
        starts = [_starts(*span, side, whole) for span, side, whole in zip(spans, sides, size, strict=True)]
        if len(starts[0]) * len(starts[1]) <= (1 if sides != sides_for(size)[-1] else MOST_WINDOWS):
            return [(top, left, *sides) for top in starts[0] for left in starts[1]]
    return None


def sides_for(size):
    """(height, width) of the windows for images of a size, smallest first; a window as large as the image is left out."""
    found = dict.fromkeys(tuple(min(side, whole) for whole in size) for side in WINDOWS)
    return [sides for sides in found if sides != tuple(size)]


def joined(parts, windows, size):
    """Joins the valid parts of several windows: (uint8 (h, w, 3), top, left)."""
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
    """Start positions of windows of length `side` that cover the pixels first..last of `whole`."""
    starts, covered = [], first
    while covered < last:
        start = max(min((covered - HALO) // STRIDE * STRIDE, whole - side), 0)
        starts.append(start)
        covered = whole if start + side >= whole else start + side - HALO
    return starts
