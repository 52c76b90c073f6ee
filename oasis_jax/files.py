"""Files that are complete whenever they are there, on disk or in a bucket (gs://), and paths as people write them."""
import os

from etils import epath


def expanded(path):
    """The path with `~` as the home folder, an epath.Path; it is taken as it is in every other way, also with `*`, `?` or `[`."""
    return epath.Path(os.path.expanduser(os.fspath(path)))


def write_whole(path, data):
    """Writes bytes to a file that appears under its name, or replaces the old one, only when it is complete, even if the program is killed.

    Args:
        path: local, or in a bucket. The parent folder must exist.
        data: bytes.
    """
    path = epath.Path(path)
    if "://" in str(path):  # an object of a bucket appears when it is complete, and a rename would copy it
        path.write_bytes(data)
        return
    partial = path.parent / f".{path.name}.partial"
    partial.write_bytes(data)
    partial.replace(path)
