"""The folder of a run: created, writable, and used by one run at a time."""
import contextlib
import json
import os
import socket
import time

import filelock
import jax
from etils import epath

from oasis_jax.parallel.processes import any_process, is_first

LOCK = ".in_use"
COMPILED = "compiled"


def prepare_workdir(workdir):
    """The workdir as a path, created; raises ValueError if nothing can be written there."""
    path = epath.Path(workdir).expanduser()
    probe = path / f".writable_{socket.gethostname()}_{os.getpid()}"  # its own file for every process of the run
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise ValueError(f"cannot write to the workdir {path} ({error}): choose another --workdir") from error
    return path


def keep_compiled(workdir):
    """Keeps what this process compiles in the workdir, for the next start, unless JAX_COMPILATION_CACHE_DIR names another folder."""
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(workdir / COMPILED))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@contextlib.contextmanager
def claimed(workdir):
    """Yields the prepared workdir, which no other run can use until the block ends, or this process, however it ends.

    Every process of a run must call this. Buckets (gs://) have no locks: there, nothing is refused.

    Raises:
        ValueError: another run is using the workdir, or nothing can be written there.
    """
    path = prepare_workdir(workdir)
    if "://" in str(path):
        yield path
        return
    lock, note = filelock.FileLock(path / LOCK), path / f"{LOCK}.json"
    taken = False
    if is_first():
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            taken = True
    try:
        if any_process(taken)[0]:
            raise ValueError(f"the workdir {path} is in use by {_user(note)}: stop that run first, or choose another --workdir")
        if is_first():
            note.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}))
        yield path
    finally:
        if lock.is_locked:
            note.unlink(missing_ok=True)
            lock.release()


def _user(note):
    try:
        user = json.loads(note.read_text())
        return f"process {user['pid']} on {user['host']}, since {user['since']}"
    except (OSError, ValueError, KeyError):
        return "another run"
