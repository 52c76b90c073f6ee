"""Stopping in time: Ctrl-C, a terminal that is closed, and SIGTERM, which is also how clouds announce that they take a machine back."""
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
    """Whether this run is to stop.

    Attributes:
        reason: what has arrived; "" if nothing has.
        idle: as long as nothing would be lost, what is printed when a signal ends the process at once, such as while the step is compiled;
            "" otherwise. It counts for a process alone: several agree on a step that all of them reach.
    """

    def __init__(self):
        self.reason = self.idle = ""

    def reached(self, step):
        """Whether to save and stop after `step`. All processes, each of which must ask at every step, get the same answer.

        Of several processes, JAX's preemption service agrees on a step that none of them has passed, once one has been notified.
        """
        if jax.distributed.is_initialized() and multihost_utils.reached_preemption_sync_point(step):
            self.reason = self.reason or "a notice to one of its processes"
            return True
        return bool(self.reason) and not jax.distributed.is_initialized()


@contextlib.contextmanager
def notice():
    """Yields the Notice of this run. Inside, the signals of _SIGNALS do not end the process; a second Ctrl-C does, at once."""
    received = Notice()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield received
        return
    joined = jax.distributed.is_initialized()

    def handle(number, _):
        if number == signal.SIGHUP:  # here, too: the thread that answers may come later than the next line that is printed
            _leave_terminal()
        received.reason = received.reason or _SIGNALS[number]
        if joined:  # SIGTERM belongs to JAX's service, which tells the other processes
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
    """Answers signals, also while the main thread is in a long call of the compiler, during which Python calls no handler of them."""
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
    """Reads the numbers of signals as they arrive, one byte each, until the other end is closed."""
    asked = False
    while number := numbers.recv(1):
        name = _SIGNALS.get(number[0])
        if name is None:
            continue
        if number[0] == signal.SIGHUP:
            _leave_terminal()
        if name == "Ctrl-C" and asked:
            print("\nended at once by a second Ctrl-C; what was saved before stays", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED)
        if received.idle and not joined:
            print(file=sys.stderr, flush=True)
            print(f"stopped by {name} before a step was trained; {received.idle}", flush=True)
            os._exit(0)
        asked = asked or name == "Ctrl-C"
        when = "the first step, which is compiled before" if received.idle else "this step"
        again = "; press it again to end at once" if name == "Ctrl-C" else ""
        print(f"\n{name}: saving after {when}, then ending{again}", file=sys.stderr, flush=True)


def _leave_terminal():
    """Lets go of a terminal that is gone: to print there would be an error, before the step is saved. Files and pipes stay."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if stat.S_ISCHR(os.fstat(stream).st_mode):
            os.dup2(nowhere, stream)
    os.close(nowhere)
