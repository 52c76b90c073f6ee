"""What was measured, kept under a key of everything that it depends on: nothing is measured twice, and what was interrupted goes on."""
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib

VERSION = 2  # of what is measured: raise it whenever a number changes, or the cache would give the old one


def cache_folder():
    """$OASIS_JAX_CACHE/statistics, or ~/.cache/oasis_jax/statistics."""
    return pathlib.Path(os.environ.get("OASIS_JAX_CACHE", "~/.cache/oasis_jax")).expanduser() / "statistics"


def key_of(identity):
    """Hex key of a JSON value that says what a measurement depends on."""
    return hashlib.sha256(json.dumps([VERSION, identity], sort_keys=True).encode()).hexdigest()[:24]


@contextlib.contextmanager
def locked(file):
    """Of two programs that measure the same at once, the second waits here and finds it measured."""
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, however the program ends
        yield


@contextlib.contextmanager
def replacing(file):
    """A stream whose content takes the place of the file at the end: whoever reads it finds the old or the new, never a part."""
    unfinished = file.with_suffix(f".{os.getpid()}.tmp")
    with unfinished.open("wb") as stream:
        yield stream
    unfinished.replace(file)


def remembered(folder, identity, compute):
    """The JSON value of `compute()`, from the folder if it was computed before for this identity."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{key_of(identity)}.json"
    with locked(file):
        try:
            return json.loads(file.read_text())
        except (OSError, ValueError):  # none, or a damaged one
            value = compute()
        with replacing(file) as stream:
            stream.write(json.dumps(value).encode())
    return value
