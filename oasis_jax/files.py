"""Writes files that are complete whenever they exist, on disk or in a bucket (gs://); expands paths of users; shows names in messages."""
import codecs
import glob
import hashlib
import importlib.util
import os
import sys
import tempfile
import unicodedata

from etils import epath

LONGEST_NAME = 255  # bytes of a file's name, on most systems
_LONG_NAME = LONGEST_NAME - len("..partial")
_ALL_NAMES = "bytes or escapes"  # name of the error handler for characters that an encoding lacks


class LiteralPath(type(epath.Path("/"))):
    """A local path that `glob` takes literally, even with `*`, `?` or `[`: only the part below it is a pattern."""

    def glob(self, pattern):
        """The paths below this one that match the pattern."""
        return super(LiteralPath, type(self)(glob.escape(os.fspath(self)))).glob(pattern)


def expanded(path):
    """The path with `~` as the home folder, an epath.Path, and a LiteralPath if it is local.

    Raises:
        ValueError: it has a scheme that cannot be read, such as http://, or is relative to a current folder that was deleted.
    """
    path = os.fspath(path)
    if "://" not in path:
        local = os.path.expanduser(path)
        if not os.path.isabs(local):
            _refuse_lost_folder(path)
        return LiteralPath(local)
    if path.startswith("s3://") and importlib.util.find_spec("s3fs") is None:
        raise ValueError(f"{path}: s3:// needs a package: pip install s3fs")
    try:
        return epath.Path(path)
    except KeyError:
        raise ValueError(f"{path} is neither on a disk nor in a bucket (gs://): fetch it first, and give its path") from None


def _refuse_lost_folder(path):
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ValueError(f"{path} is relative to the current folder, which was deleted: change to another one (cd)") from None


def regular(path):
    """Returns the path of a file to read. Raises OSError for a folder, and for a pipe or device, from which reading might never end."""
    if "://" not in str(path) and os.path.exists(path) and not os.path.isfile(path):
        raise OSError("it is no regular file")
    return path


def new_folder(path, flag="output"):
    """Returns the path of a folder that does not exist yet or is empty; raises ValueError, naming the flag, for any other."""
    folder = expanded(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--{flag}={path} exists and is not an empty folder: choose another, or remove it")
    refuse_unwritable(folder, flag)
    return folder


def refuse_unwritable(folder, flag="output"):
    """Raises ValueError, naming the flag, if no files can be written to a local folder, which need not exist yet. Leaves nothing behind."""
    if "://" in str(folder):
        return
    above = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))  # a link may be broken
    try:
        tempfile.TemporaryFile(dir=above).close()
    except OSError as error:
        raise ValueError(f"cannot write to {folder} ({above}: {error.strerror}): choose another folder with --{flag}") from error


def is_text(name):
    """Whether a name is valid Unicode: file names in Python may also hold bytes of another encoding."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def compared(name):
    """The form in which names are compared: some systems write é as one character, others as e and an accent."""
    return unicodedata.normalize("NFC", name)


def told_apart(*paths):
    """A list of paths for one message: in ASCII, with escapes such as \\u0301, if they would look the same otherwise."""
    looks = {compared(path) for path in paths}
    return [path.encode("ascii", "backslashreplace").decode() for path in paths] if len(looks) < len(paths) else list(paths)


def one_line(text):
    """A text with names in it, for display: in one line, with escapes such as \\n and \\u200b for characters that cannot be printed.

    Bytes that are not text (`is_text`) are kept: `print_all_names` lets print write them.
    """
    return "".join(sign if sign.isprintable() or not is_text(sign) else sign.encode("unicode_escape").decode() for sign in str(text))


def print_all_names():
    """Lets print write any name: bytes that are not text (`is_text`) are written as they are, so that printed commands can be pasted.

    Characters that the encoding of the output lacks become escapes, as on stderr.
    """
    codecs.register_error(_ALL_NAMES, _bytes_or_escapes)
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(errors=_ALL_NAMES)


def _bytes_or_escapes(error):
    error.end = error.start + 1  # one character: the next may need the other handler
    kind = "backslashreplace" if is_text(error.object[error.start]) else "surrogateescape"
    return codecs.lookup_error(kind)(error)


def write_whole(path, data):
    """Writes bytes to a file that appears under its name, or replaces the old one, only when it is complete, even if the program is killed.

    Args:
        path: local, or in a bucket. The parent folder must exist.
        data: bytes.
    """
    path = epath.Path(path)
    if "://" in str(path):  # an object in a bucket appears only when it is complete, and a rename would copy it
        path.write_bytes(data)
        return
    name = path.name if len(os.fsencode(path.name)) <= _LONG_NAME else hashlib.sha256(os.fsencode(path.name)).hexdigest()
    partial = path.parent / f".{name}.partial"
    try:
        partial.write_bytes(data)
    except OSError as error:
        error.filename = error.filename or str(path)  # the error of a full disk has no name
        raise
    partial.replace(path)
