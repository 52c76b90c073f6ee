"""Ctrl-C in the commands: one line and an exit code, at any time. Imports little, because it is the first thing that a command imports.

While modules are imported, a command ends at once: compiled ones would swallow a KeyboardInterrupt, or print it. Otherwise its main
function gets one, so that what it holds is given back; as code of libraries may make another error of it, and as Python calls no handler
while compiled code is busy, it ends in any case some seconds later, or by a second Ctrl-C. Training saves first (`parallel.preemption`).
"""
import contextlib
import os
import signal
import socket
import sys
import threading

INTERRUPTED = 130  # exit code, as of shells: 128 and the number of the signal
GRACE_SECONDS = 3.0


def end_at_once_while_imported():
    """From now on Ctrl-C ends this process, if it is `python -m oasis_jax.COMMAND`, whose package is now being imported."""
    names = [arg.rpartition(".")[2] for arg in sys.orig_argv if arg.startswith("oasis_jax.")]
    if sys.argv[:1] == ["-m"] and names and _is_default():
        end_at_once(names[0])


def end_at_once(name):
    """From now on Ctrl-C ends this process, a command of this name."""
    signal.signal(signal.SIGINT, lambda *_: _end(name))


@contextlib.contextmanager
def ending_soon(name):
    """Inside, Ctrl-C raises KeyboardInterrupt; the process ends when that, or what has become of it, leaves the block, and soon anyway.

    Outside, it ends at once. If the process was started to ignore Ctrl-C, it does.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield
        return
    asked = []

    def handle(_, frame):
        if _is_importing(frame):
            _end(name)
        asked.append(True)
        sys.unraisablehook = lambda _: None  # which would tell of a KeyboardInterrupt where none can be raised
        raise KeyboardInterrupt

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.signal(signal.SIGINT, handle)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_later, args=(ours, name), daemon=True).start()
    try:
        yield
    except BaseException:
        if asked:
            _end(name)
        raise
    finally:
        end_at_once(name)
        signal.set_wakeup_fd(-1)
        theirs.close()  # ends the thread


def _end_later(numbers, name):
    """Ends the process by a second interrupt, or some time after one; `numbers` has a byte for each signal, until its end is closed."""
    while number := numbers.recv(1):
        if number[0] == signal.SIGINT:
            numbers.settimeout(GRACE_SECONDS)
            with contextlib.suppress(TimeoutError):
                while (number := numbers.recv(1)) and number[0] != signal.SIGINT:
                    pass
            if number:
                _end(name)
            return
    numbers.close()


def _is_importing(frame):
    while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _is_default():
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _end(name):
    """Threads that still read data or compute are not waited for."""
    with contextlib.suppress(Exception):  # closed, or in the middle of being written
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, f"{name}: stopped by Ctrl-C\n".encode())  # print cannot be called while a print is interrupted
    os._exit(INTERRUPTED)
