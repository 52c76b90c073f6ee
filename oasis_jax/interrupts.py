"""Ctrl-C in the commands: one line and an exit code, at any time. Imports little, because it is the first module that a command imports.

While modules are imported, Ctrl-C ends a command immediately: compiled modules would swallow a KeyboardInterrupt, or print it. Otherwise
it raises KeyboardInterrupt in the main function, so that resources are released. Libraries may turn that into another error, and Python
calls no handler while compiled code is busy, so the command ends in any case a few seconds later, or on a second Ctrl-C. Training saves
first (`parallel.preemption`).
"""
import contextlib
import os
import signal
import socket
import sys
import threading

INTERRUPTED = 130  # exit code, as in shells: 128 plus the number of the signal
GRACE_SECONDS = 3.0


def end_at_once_while_imported():
    """From now on, Ctrl-C ends this process immediately, if it is `python -m oasis_jax.COMMAND` and still imports the package."""
    names = [arg.rpartition(".")[2] for arg in sys.orig_argv if arg.startswith("oasis_jax.")]
    if sys.argv[:1] == ["-m"] and names and _is_default():
        end_at_once(names[0])


def end_at_once(name):
    """From now on, Ctrl-C ends this process immediately, with a message that begins with the command's name."""
    signal.signal(signal.SIGINT, lambda *_: _end(name))


@contextlib.contextmanager
def ending_soon(name):
    """Within this context, Ctrl-C raises KeyboardInterrupt. The process ends when an exception then leaves the block, or soon anyway.

    After the block, Ctrl-C ends the process immediately. If the process was started with Ctrl-C ignored, it stays ignored.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield
        return
    asked = []

    def handle(_, frame):
        if _is_importing(frame):
            _end(name)
        asked.append(True)
        sys.unraisablehook = lambda _: None  # it would print a KeyboardInterrupt that occurs where none can be raised
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
    """Ends the process on a second interrupt, or some time after the first.

    The socket `numbers` delivers the number of each signal as a byte, until its other end is closed.
    """
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
    """Ends the process without waiting for threads that still read data or compute."""
    with contextlib.suppress(Exception):  # stdout may be closed, or in the middle of a write
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, f"{name}: stopped by Ctrl-C\n".encode())  # print cannot be called while a print is interrupted
    os._exit(INTERRUPTED)
