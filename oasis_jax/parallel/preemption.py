"""Stopping in time: Ctrl-C and SIGTERM, which is also how clouds announce that they take a machine back."""
import contextlib
import os
import signal
import threading

import jax
from jax.experimental import multihost_utils

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
    """Yields the Notice of this run. Inside, SIGTERM and Ctrl-C do not end the process; a second Ctrl-C does."""
    received = Notice()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield received
        return
    joined = jax.distributed.is_initialized()

    def handle(number, _):
        if received.reason and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.reason = _SIGNALS[number]
        if joined:  # SIGTERM belongs to JAX's service, which tells the other processes
            os.kill(os.getpid(), signal.SIGTERM)

    handled = (signal.SIGINT,) if joined else tuple(_SIGNALS)
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
