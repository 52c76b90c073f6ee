"""Data sets of photos alone: all image files of a folder or a zip, at any depth and of any size."""
import collections
import os

import numpy as np

from oasis_jax.data.archive import Archive
from oasis_jax.data.columns import decode_photo, make_columns
from oasis_jax.data.image_files import DataError, open_bytes
from oasis_jax.data.listing import IMAGE_ENDINGS, list_images, sort_out
from oasis_jax.data.split import Example, Split
from oasis_jax.files import expanded, one_line


def open_photos(spec, split, columns):
    """Opens a split of the layout "images"; arguments, result and errors as for `datasets.open_split`.

    Its photos are those of spec.root; for "val", those of spec.val_root if it is set.
    """
    field = "val_root" if split == "val" and spec.val_root else "root"
    if not getattr(spec, field):
        raise DataError("data.root is empty: give the folder or the zip of the photos, --config.data.root=/data/photos.zip")
    root, opened = expanded(getattr(spec, field)), make_columns(spec, columns)
    if root.suffix.lower() == ".zip" and not root.is_dir():
        return _open_zip(root, field, split, opened)
    if not root.is_dir():
        raise DataError(f"data.{field} {root} is neither a folder nor a .zip file: give the folder or the zip of the photos")
    listed = list_images(root)
    names = _names(listed.files, root, field, listed)
    examples = tuple(Example(name, {"image": listed.files[path]}) for name, path in names)
    return Split(split, examples, opened, listed.faults, notes=tuple(listed.notes(root)))


def _open_zip(root, field, split, columns):
    archive = Archive(root, field)
    listed = sort_out(path for path in archive.members if not path.endswith("/"))
    counts = collections.Counter(path for path in archive.members if path in listed.files)
    names = _names(counts, root, field, listed)
    faults = tuple(f"{root}: {path} occurs {count} times: zip the photos again" for path, count in counts.items() if count > 1)

    def read_arrays(index):
        path = names[index][1]
        return {"image": np.asarray(decode_photo(open_bytes(archive.read(path), f"{root}: {path}")))}

    examples = tuple(Example(name) for name, _ in names)
    notes = tuple(listed.notes(root))
    return Split(split, examples, columns, faults, read_arrays=read_arrays, archives=(os.fspath(root),), notes=notes)


def _names(paths, root, field, listed):
    """Returns sorted (name, path) pairs. A name has no file ending, unless another photo would have the same name without it."""
    if not paths:
        wrong = f"data.{field} {root} holds no photos (*{' *'.join(IMAGE_ENDINGS)}): correct data.{field} or data.layout"
        raise DataError("\n  ".join(map(one_line, [wrong, *listed.faults, *listed.notes(root)])))
    stripped = {path: os.path.splitext(path)[0] for path in paths}
    counts = collections.Counter(stripped.values())
    return sorted((path if counts[name] > 1 or name in stripped else name, path) for path, name in stripped.items())
