"""The page itself reads label maps from every kind of PNG."""
import numpy as np
import pytest
from PIL import Image

from tests.studio.javascript import MARKS
from tests.studio.label_pngs import palette_png, png, read_by_page

pytestmark = MARKS
COLOURS = [(0, 0, 0), (128, 64, 128), (70, 70, 70), (70, 130, 180), (255, 0, 0)]


def rule_of(colours):
    return {"count": len(colours), "offset": 0, "map": {}, "colours": [[*each, i] for i, each in enumerate(colours)], "own": False}


def read(folder, *files, colours=COLOURS):
    return read_by_page(folder, rule_of(colours), *files)


@pytest.fixture(scope="module")
def ids():
    return np.random.default_rng(0).integers(len(COLOURS), size=(21, 37))


def test_every_kind_of_file_gives_the_same_ids(tmp_path, ids):
    opaque = Image.new("L", ids.shape[::-1], 255)
    grey, colour = Image.fromarray(ids.astype(np.uint8)), Image.fromarray(np.array(COLOURS, np.uint8)[ids])
    files = [
        png(grey), png(Image.fromarray(ids.astype(np.uint16))), png(Image.merge("RGB", [grey] * 3)), png(Image.merge("LA", [grey, opaque])),
        png(colour), png(colour.convert("RGBA")), palette_png(ids, COLOURS), palette_png(ids, COLOURS, bits=4),
        palette_png(len(COLOURS) - 1 - ids, COLOURS[::-1]), palette_png(ids, [(9, 9, 9 + i) for i in range(len(COLOURS))]),
    ]
    for found in read(tmp_path, *files):
        assert found == {"height": 21, "width": 37, "labels": ids.ravel().tolist()}


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_a_pixel(tmp_path, depth):
    ids = np.random.default_rng(1).integers(2**depth, size=(5, 11))
    file = palette_png(ids, [(i, 0, 0) for i in range(2**depth)], bits=depth)
    (found,) = read(tmp_path, file, colours=[(i, 0, 1) for i in range(16)])
    assert found["labels"] == ids.ravel().tolist()


def test_what_cannot_be_read_is_said(tmp_path, ids):
    whole = png(Image.fromarray(ids.astype(np.uint8)))
    start = whole.index(b"IHDR") + 4
    huge = whole[:start] + (40_000).to_bytes(4, "big") * 2 + whole[start + 8 :]
    interlaced = whole[: start + 12] + b"\1" + whole[start + 13 :]
    id_beyond = png(Image.fromarray(np.where(ids == 4, 255, ids).astype(np.uint8)))
    strange = png(Image.fromarray(np.array([*COLOURS[:4], (1, 2, 3)], np.uint8)[ids]))
    found = read(tmp_path, b"GIF89a", whole[: len(whole) // 2], huge, interlaced, id_beyond, strange)
    said = ["not a PNG", "damaged", "too large", "interlac", "of no class (there are 5): 255", "(1 2 3)"]
    for result, words in zip(found, said, strict=True):
        assert words in result["error"]
