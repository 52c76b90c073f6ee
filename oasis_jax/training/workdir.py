"""The folder of a run: created, writable, and used by one run at a time."""
import contextlib
import json
import os
import socket
import sys
import threading
import time

import filelock
import jax

from oasis_jax.checkpoint import CheckpointError, refuse_unstorable
from oasis_jax.files import expanded, write_whole
from oasis_jax.parallel.processes import FAILED, any_process, is_first

LOCK, NOTE = ".in_use", ".in_use.json"
COMPILED = "compiled"
BEAT_SECONDS = 20  # interval at which a run renews its note in a bucket; without renewal for three intervals, it counts as dead


def prepare_workdir(workdir):
    """Creates the workdir and returns its path; raises ValueError if it is not writable."""
    path = expanded(workdir)
    try:
        refuse_unstorable(path)
    except CheckpointError as error:
        raise ValueError(str(error)) from None
    probe = path / f".writable_{socket.gethostname()}_{os.getpid()}"  # a file of its own for every process of the run
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except Exception as error:  # the library for buckets raises its own types of errors
        raise ValueError(f"cannot write to the workdir {path} ({error}): choose another --workdir") from error
    return path


def keep_compiled(workdir):
    """Sets JAX's compilation cache to a folder in the workdir, unless JAX_COMPILATION_CACHE_DIR names another one."""
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(workdir / COMPILED))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@contextlib.contextmanager
def claimed(workdir):
    """Yields the prepared workdir, which no other run can use until the block ends or this process ends, for whatever reason.

    Every process of a run must call this.

    Raises:
        ValueError: another run is using the workdir, or the workdir is not writable.
    """
    path = prepare_workdir(workdir)
    claim = Lease(path / NOTE) if "://" in str(path) else Lock(path)
    user, failure = None, None
    if is_first():
        try:
            user = claim.acquire()
        except Exception as error:  # raised below: the other processes wait for an answer
            failure = error
    try:
        taken, failed = any_process(user is not None, failure is not None)
        if failed:
            raise ValueError(f"cannot write to the workdir {path} ({failure or 'see the first process'}): choose another --workdir")
        if taken:
            who = _described(user) if user else "another run"
            raise ValueError(f"the workdir {path} is in use by {who}: stop that run first, or choose another --workdir")
        yield path
    finally:
        if is_first() and user is None and failure is None:
            claim.release()


class Lock:
    """A claim on a folder on disk: a lock, which ends with its process, and a note that says which run holds it."""

    def __init__(self, folder):
        self._lock, self._note = filelock.FileLock(folder / LOCK), folder / NOTE

    def acquire(self):
        """Takes the claim and returns None; if another run holds it, returns the note of that run, {} if there is none."""
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            return _read(self._note) or {}
        write_whole(self._note, json.dumps(_own_note()).encode())
        return None

    def release(self):
        """Releases the claim."""
        self._note.unlink(missing_ok=True)
        self._lock.release()


class Lease:
    """A claim on a folder in a bucket, which has no locks: a note that the run renews for as long as it runs.

    Attributes:
        note: path of the note.
        beat: seconds between two renewals. A note that is not renewed for three times as long counts as that of a dead run.
        lost: function of a message, called when another run has taken over in the meantime; by default, it ends this process.
    """

    def __init__(self, note, beat=BEAT_SECONDS, lost=None):
        self.note, self.beat, self.lost = note, beat, lost or _end
        self._own, self._over = _own_note(), threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def acquire(self):
        """Like `Lock.acquire`. If a note exists, waits until it is renewed, is deleted, or has expired."""
        found = _read(self.note)
        if found is not None:
            print(f"{self.note} says that the workdir is in use by {_described(found)}; waiting for a sign of life ...", flush=True)
            deadline = time.monotonic() + 3 * self.beat
            while (now := _read(self.note)) == found and time.monotonic() < deadline:
                time.sleep(self.beat / 10)
            if now not in (found, None):
                return now
        self._write()
        time.sleep(self.beat / 10)  # if two runs start at the same time, the one that wrote last keeps the claim
        now = _read(self.note) or {}
        if now.get("id") != self._own["id"]:
            return now
        self._thread.start()
        return None

    def release(self):
        """Like `Lock.release`."""
        self._over.set()
        self._thread.join()
        if self._is_own(self._holder()):
            self.note.unlink(missing_ok=True)

    def _holder(self):
        """The note of the run that holds the claim; our own if it is missing or damaged."""
        return _read(self.note) or self._own

    def _is_own(self, note):
        return note.get("id") == self._own["id"]

    def _write(self):
        self._own["renewed"] += 1
        write_whole(self.note, json.dumps(self._own).encode())

    def _renew(self):
        while not self._over.wait(self.beat):
            holder = self._own
            with contextlib.suppress(Exception):  # the network may fail for a while; training continues
                holder = self._holder()
                if self._is_own(holder):
                    self._write()
            if not self._is_own(holder):
                self.lost(
                    f"{_described(holder)} has taken over {self.note.parent}, because this run gave no sign of life for too long: this one "
                    "ends without saving, so that the two do not mix"
                )
                return


def _end(message):
    """Ends this process from any of its threads."""
    try:
        print(f"error: {message}", file=sys.stderr, flush=True)
    finally:  # also if stderr is closed
        os._exit(FAILED)


def _own_note():
    host, pid = socket.gethostname(), os.getpid()
    return {"host": host, "pid": pid, "since": time.strftime("%Y-%m-%d %H:%M:%S"), "id": f"{host}-{pid}-{time.time_ns()}", "renewed": 0}


def _read(note):
    """The content of a note; {} if it is damaged, None if it does not exist."""
    try:
        content = json.loads(note.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _described(user):
    return f"process {user['pid']} on {user['host']}, since {user['since']}" if {"pid", "host", "since"} <= user.keys() else "another run"
