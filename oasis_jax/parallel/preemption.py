"""Stopping a run in time, after Ctrl-C, a closed terminal, or SIGTERM, with which clouds also announce that they take a machine back."""
import contextlib
import os
import signal
import socket
import stat
import sys
import threading

import jax
from jax.experimental import multihost_utils

from oasis_jax.interrupts import INTERRUPTED

_SIGNALS = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C", signal.SIGHUP: "the end of its terminal"}


class Notice:
    """Tells whether this run should stop.

    Attributes:
        reason: the signal that has arrived; "" if none has.
        idle: what is saved, as text, while nothing would be lost if the process ended, such as while the step is compiled; "" otherwise.
        may_exit: whether a signal may then end the process immediately, which is not ours in a notebook. Several processes do not end that
            way: they agree on a step that all of them reach.
    """

    def __init__(self):
        self.reason, self.idle, self.may_exit = "", "", False

    def reached(self, step):
        """Returns whether to save and stop after `step`. Every process must call this at every step; all get the same answer.

        With several processes, once one has been notified, JAX's preemption service chooses a step that none of them has passed.
        """
        if jax.distributed.is_initialized() and multihost_utils.reached_preemption_sync_point(step):
            self.reason = self.reason or "a notice to one of its processes"
            return True
        return bool(self.reason) and not jax.distributed.is_initialized()


@contextlib.contextmanager
def notice():
    """Yields the Notice of this run. Within the context, the signals in _SIGNALS do not end the process, but a second Ctrl-C does."""
    received = Notice()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield received
        return
    joined = jax.distributed.is_initialized()

    def handle(number, _):
        if number == signal.SIGHUP:  # here as well: the main thread may print its next line before the answering thread runs
            _leave_terminal()
        received.reason = received.reason or _SIGNALS[number]
        if joined:  # JAX's preemption service handles SIGTERM, and notifies the other processes
            os.kill(os.getpid(), signal.SIGTERM)

    handled = [number for number in _SIGNALS if not (joined and number == signal.SIGTERM)]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # started by nohup
        handled.remove(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        with _answered(received, joined):
            yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _answered(received, joined):
    """Answers signals in a thread, also while the main thread is in the compiler, during which Python calls no signal handlers."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_answer, args=(ours, received, joined), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        theirs.close()  # ends the thread
        thread.join()
        ours.close()


def _answer(numbers, received, joined):
    """Reads signal numbers as they arrive, one byte each, and prints an answer to each, until the other end is closed."""
    asked = False
    while number := numbers.recv(1):
        name = _SIGNALS.get(number[0])
        if name is None:
            continue
        if number[0] == signal.SIGHUP:
            _leave_terminal()
        if name == "Ctrl-C" and asked:
            print("\nended at once by a second Ctrl-C; earlier checkpoints are kept", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED)
        if received.idle and received.may_exit and not joined:
            print(file=sys.stderr, flush=True)
            print(f"stopped by {name} before a step was trained; {received.idle}", flush=True)
            os._exit(0)
        asked = asked or name == "Ctrl-C"
        when = "the first step, once it is compiled" if received.idle else "this step"
        again = "; press it again to end at once" if name == "Ctrl-C" else ""
        print(f"\n{name}: saving after {when}, then ending{again}", file=sys.stderr, flush=True)


def _leave_terminal():
    """Redirects output from a closed terminal to the null device: printing would fail before the step is saved. Keeps files and pipes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if stat.S_ISCHR(os.fstat(stream).st_mode):
            os.dup2(nowhere, stream)
    os.close(nowhere)


@contextlib.contextmanager
def ending_before_training():
    """Within this context, before anything is trained, SIGTERM ends this process with exit code 0: a preempted run is started again.

    If the process has joined others, or is the only one of a job, JAX's preemption service handles SIGTERM.
    """
    if jax.distributed.is_initialized() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end_early)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_early(*_):
    """The handler of `ending_before_training`."""
    with contextlib.suppress(Exception):  # the output may be closed, or may be what was interrupted
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(1, b"stopped by SIGTERM before a step was trained; start the same command again\n")
    os._exit(0)
