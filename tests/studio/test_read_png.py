"""Label maps that the page reads by itself are those that Python reads."""
import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.studio.javascript import run

COLOURS = [(0, 0, 0), (128, 64, 128), (70, 70, 70), (70, 130, 180), (255, 0, 0)]
CLASSES = [{"id": i, "name": str(i), "color": colour} for i, colour in enumerate(COLOURS)]
READ = """
    const { readLabelMap } = await import("./read_png.js");
    const results = [];
    for (const file of given.files) {
        try {
            const { height, width, labels } = await readLabelMap(Uint8Array.from(Buffer.from(file, "base64")), given.classes);
            results.push({ height, width, labels: [...labels] });
        } catch (error) {
            results.push({ error: error.message });
        }
    }
    return results;
"""


def png(image, **options):
    stream = io.BytesIO()
    image.save(stream, "png", **options)
    return stream.getvalue()


def read(folder, *files, classes=CLASSES):
    return run(folder, READ, {"files": [base64.b64encode(each).decode() for each in files], "classes": classes})


def palette_image(ids, colours, bits=8):
    image = Image.fromarray(ids.astype(np.uint8), "L").convert("P")
    image.putdata(ids.ravel().tolist())
    image.putpalette(np.array(colours, np.uint8).ravel().tolist())
    return png(image, bits=bits)


@pytest.fixture(scope="module")
def ids():
    return np.random.default_rng(0).integers(len(COLOURS), size=(21, 37))


def test_every_kind_of_file_gives_the_same_ids(tmp_path, ids):
    reversed_palette = palette_image(len(COLOURS) - 1 - ids, COLOURS[::-1])
    grey, colour = Image.fromarray(ids.astype(np.uint8)), Image.fromarray(np.array(COLOURS, np.uint8)[ids])
    files = [
        png(grey), png(Image.fromarray(ids.astype(np.uint16))), png(Image.merge("RGB", [grey] * 3)), png(Image.merge("LA", [grey, grey])),
        png(colour), png(colour.convert("RGBA")), palette_image(ids, COLOURS), palette_image(ids, COLOURS, bits=4), reversed_palette,
        palette_image(ids, [(9, 9, 9 + i) for i in range(len(COLOURS))]),
    ]
    for found in read(tmp_path, *files):
        assert found == {"height": 21, "width": 37, "labels": ids.ravel().tolist()}


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_a_pixel(tmp_path, depth):
    ids = np.random.default_rng(1).integers(2**depth, size=(5, 11))
    classes = [{"id": i, "name": str(i), "color": [i, 0, 1]} for i in range(16)]
    (found,) = read(tmp_path, palette_image(ids, [(i, 0, 0) for i in range(2**depth)], bits=depth), classes=classes)
    assert found["labels"] == ids.ravel().tolist()


def test_what_cannot_be_read_is_said(tmp_path, ids):
    whole = png(Image.fromarray(ids.astype(np.uint8)))
    start = whole.index(b"IHDR") + 4
    huge = whole[:start] + (40_000).to_bytes(4, "big") * 2 + whole[start + 8 :]
    interlaced = whole[: start + 12] + b"\1" + whole[start + 13 :]
    id_beyond = png(Image.fromarray(np.where(ids == 4, 255, ids).astype(np.uint8)))
    strange = png(Image.fromarray(np.array([*COLOURS[:4], (1, 2, 3)], np.uint8)[ids]))
    found = read(tmp_path, b"GIF89a", whole[: len(whole) // 2], huge, interlaced, id_beyond, strange)
    for result, words in zip(found, ["not a PNG", "damaged", "too large", "interlac", "beyond 0..4: 255", "(1 2 3)"], strict=True):
        assert words in result["error"]
