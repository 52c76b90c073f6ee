"""Laws of stopping in time: the first signal is noticed and answered, a second one ends the process, even in a call that blocks Python."""
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from oasis_jax.interrupts import INTERRUPTED
from oasis_jax.parallel.preemption import notice
from tests.killed_run import HEEDING

BLOCKED = """
import hashlib, time
from oasis_jax.parallel.preemption import notice
with notice() as received:
    print("begun", flush=True)
    {wait}
    print(f"noticed {received.reason}, {received.reached(1)}", flush=True)
"""
PATIENT = "while not received.reason: time.sleep(0.01)"
# Takes minutes, during which Python calls no signal handler, as while XLA compiles.
IN_C = 'hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)'


def begun(wait):
    code = BLOCKED.replace("{wait}", wait)
    process = subprocess.Popen([*HEEDING, sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    return process


SIGNALS = [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "the end of its terminal")]


@pytest.mark.parametrize("number, name", SIGNALS)
def test_the_first_signal_is_noticed_and_ends_nothing(number, name):
    process = begun(PATIENT)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert out == f"noticed {name}, True\n" and process.returncode == 0 and "Traceback" not in err
    assert ("press it again to end at once" in err) == (name == "Ctrl-C")


def test_a_second_ctrl_c_ends_at_once_even_in_a_call_that_blocks_python():
    process = begun(IN_C)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "\n" and "press it again" in process.stderr.readline()
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED and not out and "ended at once by a second Ctrl-C" in err and "Traceback" not in err
    assert time.monotonic() - before < 2


@pytest.mark.parametrize("wait, code", [("received.idle, received.may_exit = 'nothing is saved yet', True", 0), ("pass", 7)])
def test_a_terminal_that_is_closed_ends_nothing_by_itself(wait, code):
    """Closing it takes standard output away, so that printing fails, and sends SIGHUP to the processes that were started in it."""
    lines = f"""{wait}; print("ready", flush=True)
    open(0).readline()  # of this test, which has closed the terminal by then
    while not received.reason: time.sleep(0.01)
    for _ in range(200): print("a progress bar", flush=True); time.sleep(0.01)
    import os; os._exit(7)
"""
    try:
        ours, theirs = pty.openpty()
    except OSError as error:  # for example, /dev/pts is not mounted
        pytest.skip(f"there are no terminals here: {error}")
    start = "import fcntl, os, termios; os.setsid(); fcntl.ioctl(1, termios.TIOCSCTTY, 0); "
    code_of_run = f"exec({start!r}); " + "exec(" + repr(BLOCKED.replace("{wait}", lines)) + ")"
    command = [*HEEDING, sys.executable, "-c", code_of_run]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"ready" not in shown:
        shown += os.read(ours, 100)
    os.close(ours)
    process.stdin.close()
    assert process.wait(20) == code


def test_a_run_started_by_nohup_ignores_a_hangup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with notice() as received:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
        assert not received.reason and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number, name", SIGNALS)
def test_where_nothing_would_be_lost_the_first_signal_ends_the_process_even_in_a_call_that_blocks_python(number, name):
    process = begun(f"received.idle, received.may_exit = 'step 3 is saved', True; print('idle', flush=True); {IN_C}")
    assert process.stdout.readline() == "idle\n"
    before = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err.strip()) == (0, f"stopped by {name} before a step was trained; step 3 is saved\n", "")
    assert time.monotonic() - before < 2


def test_a_process_that_may_not_exit_such_as_a_notebook_is_only_told():
    process = begun(f"received.idle = 'step 3 is saved'; print('idle', flush=True)\n    {PATIENT}")
    assert process.stdout.readline() == "idle\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "noticed Ctrl-C, True\n") and "saving after the first step, once it is compiled" in err


def test_signals_are_as_before_when_the_run_is_over():
    before = [signal.getsignal(number) for number, _ in SIGNALS]
    with notice() as received:
        os.kill(os.getpid(), signal.SIGTERM)
        while not received.reason:
            time.sleep(0.001)
    assert received.reason == "SIGTERM" and before == [signal.getsignal(number) for number, _ in SIGNALS]
    assert signal.set_wakeup_fd(-1) == -1
