"""Data sets of photos alone: all image files of a folder or of a zip, at any depth and of any size."""
import collections
import os
import pathlib

import numpy as np
from etils import epath

from oasis_jax.data.archive import Archive
from oasis_jax.data.columns import make_columns, upright_rgb
from oasis_jax.data.folders import PHOTO_ENDINGS, image_files, is_image_file
from oasis_jax.data.labels import DataError, decode_image
from oasis_jax.data.split import Example, Split


def open_photos(spec, split, columns):
    """The Split of the layout "images"; arguments and errors as for `datasets.open_split`.

    Its photos are those of spec.root; for "val", those of spec.val_root if that is given.
    """
    field = "val_root" if split == "val" and spec.val_root else "root"
    if not getattr(spec, field):
        raise DataError("data.root is empty: give the folder or the zip of the photos, --config.data.root=/data/photos.zip")
    root, opened = epath.Path(getattr(spec, field)).expanduser(), make_columns(spec, columns)
    if root.suffix.lower() == ".zip" and not root.is_dir():
        return _open_zip(root, field, split, opened)
    if not root.is_dir():
        raise DataError(f"data.{field} {root} is neither a folder nor a .zip file: give the folder or the zip of the photos")
    files = {path.relative_to(root).as_posix(): str(path) for path in image_files(root)}
    names = _names(files, root, field)
    return Split(split, tuple(Example(name, {"image": files[path]}) for name, path in names), opened, folders=(str(root),))


def _open_zip(root, field, split, columns):
    archive = Archive(root, field)
    counts = collections.Counter(path for path in archive.members if is_image_file(pathlib.PurePosixPath(path)))
    names = _names(counts, root, field)
    faults = tuple(f"{root}: {path} is there {count} times: zip the photos again" for path, count in counts.items() if count > 1)

    def read_arrays(index):
        path = names[index][1]
        return {"image": np.asarray(upright_rgb(decode_image(archive.read(path), f"{root}: {path}")))}

    examples = tuple(Example(name) for name, _ in names)
    return Split(split, examples, columns, faults, read_arrays=read_arrays, archive=os.fspath(root))


def _names(paths, root, field):
    """Sorted (name, path) of these paths. A name has no ending, unless another photo would be called like it."""
    if not paths:
        raise DataError(f"data.{field} {root} holds no photos (*{' *'.join(PHOTO_ENDINGS)}): correct data.{field} or data.layout")
    stripped = {path: os.path.splitext(path)[0] for path in paths}
    counts = collections.Counter(stripped.values())
    return sorted((path if counts[name] > 1 or name in stripped else name, path) for path, name in stripped.items())
