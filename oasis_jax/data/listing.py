"""Lists the image files below a folder. Links are followed, hidden files are skipped, and what cannot be read is a fault."""
import collections
import contextlib
import dataclasses
import os
import pathlib

from etils import epath

IMAGE_ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
# Folders that systems create for copies, thumbnails and deleted files, hidden without a leading dot.
_HIDDEN_FOLDERS = (
    "__MACOSX", "@eaDir", "@Recycle", "@Recently-Snapshot", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information",
    "lost+found",
)


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files below a folder, at any depth. Paths below the folder are written with "/".

    Attributes:
        files: {path below the folder: path} of the image files, sorted.
        others: the same for files of other types.
        hidden: paths of hidden folders and hidden image files, which are skipped.
        loops: paths of links to a folder that contains them, which are skipped.
        repeated: paths of folders that are also listed under another name, because of a link.
        faults: one line for each folder or link that cannot be read.
    """

    files: dict[str, str]
    others: dict[str, str]
    hidden: tuple[str, ...] = ()
    loops: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def notes(self, folder):
        """Yields one line for each kind of file or folder that was skipped in `folder`, and one for folders that are listed twice."""
        for paths, what in (
            (self.hidden, "hidden folders and files"),
            (self.loops, "links to a folder that holds them"),
            (tuple(self.others.values()), f"files of other types ({_counted_endings(self.others)})"),
        ):
            if paths:
                yield f"skipped in {folder}: {len(paths)} {what}, such as {paths[0]}"
        if self.repeated:
            yield f"listed twice in {folder}: {len(self.repeated)} folders that links lead to, such as {self.repeated[0]}"


def is_image_name(name):
    """Whether a file of this name is treated as an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_ENDINGS


def is_hidden(name):
    """Whether a file or folder of this name is skipped: it begins with a dot, or is one of the folders that systems create for copies."""
    return name.startswith(".") or name in _HIDDEN_FOLDERS


def sort_out(paths, base=None):
    """Returns a Listing of paths that are not on a disk, such as members of a zip: an iterable of str, without folders, below `base`."""
    paths = sorted(paths)
    hidden = [path for path in paths if any(map(is_hidden, path.split("/")))]
    skipped = set(hidden)
    kept = {path: path if base is None else str(base / path) for path in paths if path not in skipped}
    files, others = ({path: full for path, full in kept.items() if is_image_name(path) == is_image} for is_image in (True, False))
    return Listing(files, others, tuple(path for path in hidden if is_image_name(path)))


def list_images(folder, wanted=lambda below: True) -> Listing:
    """Lists a folder on disk or in a bucket, at any depth. On disk, an unreadable folder is a fault.

    Args:
        folder: path.
        wanted: function of a path below the folder, which ends with "/" for folders; on disk, anything else is skipped without a fault.
    """
    folder = os.fspath(folder)
    if "://" in folder:
        base = epath.Path(folder)
        return sort_out(((at / name).relative_to(base).as_posix() for at, _, names in base.walk() for name in names), base)
    files, others, hidden, loops, repeated, faults, seen = {}, {}, [], [], [], [], set()
    waiting = [(pathlib.Path(folder), "", _above(folder))]
    while waiting:
        path, prefix, above = waiting.pop()
        try:
            status = path.stat()
            with os.scandir(path) as scanned:
                entries = list(scanned)
        except OSError as error:
            faults.append(f"folder {path} cannot be read ({error.strerror or error}): correct its permissions, or move it elsewhere")
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            loops.append(str(path))
            continue
        if identity in seen:
            repeated.append(str(path))
        seen.add(identity)
        for entry in entries:
            kind, below = _kind(entry), prefix + entry.name
            if is_hidden(entry.name):
                hidden += [entry.path] if kind == "folder" or is_image_name(entry.name) else []
            elif not any(map(wanted, _paths_of(kind, below))):
                continue
            elif kind == "folder":
                held = _above(entry.path) if entry.is_symlink() else frozenset()
                waiting.append((path / entry.name, below + "/", above | {identity} | held))
            elif kind == "file" or (kind == "broken" and is_image_name(entry.name)):  # reading a broken image reports it
                (files if is_image_name(entry.name) else others)[below] = entry.path
            elif kind == "broken":
                target = f"a link to {os.readlink(entry.path)}" if entry.is_symlink() else "a file"
                faults.append(f"{entry.path} is {target} that cannot be reached: correct or remove it")
            elif is_image_name(entry.name):
                faults.append(f"{entry.path} is neither a file nor a folder: remove it")
    found = (tuple(sorted(each)) for each in (hidden, loops, repeated, faults))
    return Listing(dict(sorted(files.items())), dict(sorted(others.items())), *found)


def _above(folder):
    """Returns the identities (device, inode) of all parents of a folder on disk: links to them are loops."""
    identities = set()
    for path in pathlib.Path(os.path.realpath(folder)).parents:
        with contextlib.suppress(OSError):
            identities.add((path.stat().st_dev, path.stat().st_ino))
    return frozenset(identities)


def _kind(entry):
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "broken" if entry.is_symlink() and not os.path.exists(entry.path) else "other"
    except OSError:  # a link to itself, or a folder of which only the names can be read
        return "broken"


def _paths_of(kind, below):
    """How the path of an entry may be written: a broken one may be meant as a file or as a folder."""
    return {"folder": [below + "/"], "file": [below]}.get(kind, [below, below + "/"])


def _counted_endings(paths):
    counts = collections.Counter(os.path.splitext(path)[1].lower() or "no ending" for path in paths)
    return ", ".join(f"{ending} {count}" for ending, count in counts.most_common(5)) + (", ..." if len(counts) > 5 else "")
