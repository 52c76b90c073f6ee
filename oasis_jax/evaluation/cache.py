"""Measurements cached under a key of everything that they depend on: nothing is measured twice, and interrupted passes are resumed."""
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import tempfile

from filelock import FileLock
from tqdm import tqdm

from oasis_jax.files import expanded

VERSION = 3  # of the measurements: increase it whenever a number changes, or the cache would return the old one


def cache_folder():
    """$OASIS_JAX_CACHE/statistics, or ~/.cache/oasis_jax/statistics."""
    return pathlib.Path(expanded(os.environ.get("OASIS_JAX_CACHE", "~/.cache/oasis_jax"))) / "statistics"


@functools.cache
def usable(folder):
    """Creates a folder if needed, and returns whether files can be written to it; if not, prints a note that nothing is cached."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = f"cannot write to {folder} ({error.strerror})"
        tqdm.write(f"note: {reason}, so measurements are not cached: name another folder in OASIS_JAX_CACHE")
        return False
    return True


def key_of(identity):
    """Hex key of a JSON value that says what a measurement depends on."""
    return hashlib.sha256(json.dumps([VERSION, identity], sort_keys=True).encode()).hexdigest()[:24]


def locked(file):
    """A lock, as a context manager: if two programs measure the same thing at the same time, the second waits and then reads the result."""
    return FileLock(file.with_suffix(".lock"))


@contextlib.contextmanager
def replacing(file):
    """Yields a stream whose content replaces the file at the end, atomically: a reader sees either the old or the new content."""
    unfinished = file.with_suffix(f".{os.getpid()}.tmp")
    with unfinished.open("wb") as stream:
        yield stream
    unfinished.replace(file)


def remembered(folder, identity, compute):
    """The JSON value of `compute()`, read from the folder if it was computed before for this identity."""
    if not usable(folder):
        return compute()
    file = folder / f"{key_of(identity)}.json"
    with locked(file):
        try:
            return json.loads(file.read_text())
        except (OSError, ValueError):  # missing or damaged
            value = compute()
        with replacing(file) as stream:
            stream.write(json.dumps(value).encode())
    return value
