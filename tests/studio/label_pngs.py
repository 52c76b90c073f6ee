"""PNG files of label maps, and how a page without a server reads them."""
import base64
import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.studio.javascript import run

_READ = """
    const { readLabelMap } = await import("./read_png.js");
    const results = [];
    for (const file of given.files) {
        try {
            const { height, width, labels } = await readLabelMap(Uint8Array.from(atob(file), (each) => each.charCodeAt(0)), given.rule);
            results.push({ height, width, labels: [...labels] });
        } catch (error) {
            results.push({ error: error.message });
        }
    }
    return results;
"""


def read_by_page(folder, rule, *files):
    """Returns what `readLabelMap` makes of each file, {height, width, labels} or {error}; `rule` is the `facts` of a FileRule."""
    return run(folder, _READ, {"files": [base64.b64encode(each).decode() for each in files], "rule": rule})


def png(image, **options):
    """Returns the bytes of a PNG of an Image, or of a uint8 or uint16 array."""
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, "png", **options)
    return stream.getvalue()


def raw_png(values, depth, palette=None):
    """Returns the bytes of a PNG of a kind that Pillow does not write.

    Args:
        values: grey levels or palette indices (H, W), or colours (H, W, 3).
        depth: bits per sample.
        palette: uint8 (K, 3).
    """
    height, width = values.shape[:2]
    if depth == 16:
        rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    else:
        bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=-1)
    data = zlib.compress(np.pad(rows, [(0, 0), (1, 0)]).tobytes())
    header = struct.pack(">IIBBBBB", width, height, depth, 3 if palette is not None else 2 * (values.ndim > 2), 0, 0, 0)
    chunks = [(b"IHDR", header), *([] if palette is None else [(b"PLTE", palette.tobytes())]), (b"IDAT", data), (b"IEND", b"")]
    parts = (struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def palette_png(indices, colours, **options):
    """Returns the bytes of a palette PNG of integer indices (H, W) into colours (K, 3)."""
    image = Image.frombytes("P", np.shape(indices)[::-1], np.asarray(indices, np.uint8).tobytes())
    image.putpalette(np.asarray(colours, np.uint8).ravel().tolist())
    return png(image, **options)
