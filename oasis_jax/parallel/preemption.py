"""Stopping in time: Ctrl-C and SIGTERM, which is also how clouds announce that they take a machine back."""
import contextlib
import os
import signal
import socket
import sys
import threading

import jax
from jax.experimental import multihost_utils

from oasis_jax.interrupts import INTERRUPTED

_SIGNALS = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


class Notice:
    """Whether this run is to stop.

    Attributes:
        reason: what has arrived; "" if nothing has.
    """

    def __init__(self):
        self.reason = ""

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
    """Yields the Notice of this run. Inside, SIGTERM and Ctrl-C do not end the process; a second Ctrl-C does, at once."""
    received = Notice()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield received
        return
    joined = jax.distributed.is_initialized()

    def handle(number, _):
        received.reason = received.reason or _SIGNALS[number]
        if joined:  # SIGTERM belongs to JAX's service, which tells the other processes
            os.kill(os.getpid(), signal.SIGTERM)

    handled = (signal.SIGINT,) if joined else tuple(_SIGNALS)
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        with _second_ends_at_once():
            yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _second_ends_at_once():
    """Answers Ctrl-C, also while the main thread is in a long call of the compiler, during which Python calls no handler of signals."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_answer, args=(ours,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        theirs.close()  # ends the thread
        thread.join()
        ours.close()


def _answer(numbers):
    """Reads the numbers of signals as they arrive, one byte each, until the other end is closed."""
    asked = False
    while number := numbers.recv(1):
        if number[0] != signal.SIGINT:
            continue
        if asked:
            print("\nended at once by a second Ctrl-C; what was saved before stays", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED)
        asked = True
        print("\nCtrl-C: saving after this step, then ending; press it again to end at once", file=sys.stderr, flush=True)
