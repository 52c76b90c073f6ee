"""Laws of Ctrl-C in the commands: whenever it comes, a command ends soon, with one line and the exit code of an interrupt."""
import signal
import subprocess
import sys
import time

import pytest

from oasis_jax.interrupts import INTERRUPTED
from tests.killed_run import ENVIRONMENT, HEEDING, ROOT
from tests.loopback import places

COMMANDS = {
    "main": ["--config=configs/scenes.py", "--workdir=RUN"],
    "sample": ["--checkpoint=RUN", "--output=OUT"],
    "evaluate": ["--checkpoint=RUN"],
    "convert": ["--config=configs/scenes.py", "--output=OUT"],
    "export": ["--checkpoint=RUN", "--format=onnx", "--output=OUT"],
    "plan": ["--config=configs/cityscapes.py", "--topology=v5e:4x4"],
}


def started(*line):
    """Starts Python with these arguments, with the default handling of SIGINT; returns the process."""
    env = ENVIRONMENT | {"PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*HEEDING, sys.executable, *line], cwd=ROOT, env=env, **pipes)


@pytest.mark.parametrize("module", ["oasis_jax.interrupts", "absl.flags", "numpy"])
@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_while_a_command_is_imported_ends_it_with_one_line(command, module):
    process = started("-X", "importtime", "-m", f"oasis_jax.{command}", *COMMANDS[command])  # prints what has been imported
    while not (line := process.stderr.readline()).endswith(f" {module}\n"):
        assert line, f"{command} has ended before it had imported {module}"
    if module == "oasis_jax.interrupts":  # which has been imported, but has yet to be called
        process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    told = [line for line in err.splitlines() if not line.startswith("import time:")]
    assert (process.returncode, out, told) == (INTERRUPTED, "", [f"{command}: stopped by Ctrl-C"])


WORK = """
import hashlib, sys, time
from oasis_jax import interrupts
interrupts.GRACE_SECONDS = {grace}
def given_back(): print("given back")
def work():
    {work}
with interrupts.ending_soon("command"):
    work()
"""
SLEEP = "time.sleep(60)"
WAIT = f"print('begun'); {SLEEP}"
ENDS = {  # what code may do with a KeyboardInterrupt: (code, grace period in seconds, what else it prints)
    "gives back": (f"try: {WAIT}\n    finally: given_back()", 60, "given back\n"),
    "makes another error of it": (f"try: {WAIT}\n    except BaseException: raise ImportError('failed')", 60, ""),
    "exits with a message": (f"try: {WAIT}\n    except BaseException: sys.exit('failed')", 60, ""),
    "swallows it": (f"try: {WAIT}\n    except BaseException: {SLEEP}", 0.2, ""),
    "is compiled and never looks": ('print("begun"); hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)', 0.2, ""),
}


@pytest.mark.parametrize("kind", ENDS)
def test_a_command_ends_whatever_code_does_with_the_interrupt(kind):
    work, grace, told = ENDS[kind]
    process = started("-c", WORK.replace("{work}", work).replace("{grace}", str(grace)))
    assert process.stdout.readline() == "begun\n"
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (INTERRUPTED, told, "command: stopped by Ctrl-C\n")
    assert time.monotonic() - before < 10


def test_a_second_ctrl_c_does_not_wait():
    process = started("-c", WORK.replace("{work}", ENDS["swallows it"][0]).replace("{grace}", "60"))
    assert process.stdout.readline() == "begun\n"
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (INTERRUPTED, "", "command: stopped by Ctrl-C\n")


def test_a_command_that_was_started_to_ignore_ctrl_c_does():
    work = "print('begun'); import os, signal; os.kill(os.getpid(), signal.SIGINT); time.sleep(0.1); print('done')"
    ignoring = WORK.replace("{work}", work).replace("{grace}", "0.1").replace("import hashlib", "import signal, hashlib", 1)
    ignoring = ignoring.replace("from oasis_jax", "signal.signal(signal.SIGINT, signal.SIG_IGN)\nfrom oasis_jax", 1)
    out, err = started("-c", ignoring).communicate(timeout=30)
    assert (out, err) == ("begun\ndone\n", "")


def test_a_run_that_is_preempted_before_it_trains_ends_well(tmp_path):
    """Its data check takes minutes; launch scripts start a run again that has ended so."""
    process = started("-m", "oasis_jax.main", "--config=configs/scenes.py", f"--workdir={tmp_path}", "--config.data.scenes_train=60000")
    said = ""
    while "checking" not in said and (more := process.stderr.read(1)):
        said += more
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in said + err
    assert out.endswith("stopped by SIGTERM before a step was trained; start the same command again\n")


JOINED = """
import signal
from oasis_jax.parallel.preemption import end_early, ending_before_training
from oasis_jax.parallel.processes import join
join(saves_when_stopped=True)
with ending_before_training():
    print(signal.getsignal(signal.SIGTERM) == end_early)
print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""


@pytest.mark.parametrize("joined", [False, True])
def test_sigterm_is_left_to_jax_by_a_process_that_has_joined_others(monkeypatch, joined):
    """Even if it is the only one: while JAX handles SIGTERM, Python reports the default handler."""
    address = places(2)[0]["JAX_COORDINATOR_ADDRESS"]
    for name, value in {"COORDINATOR_ADDRESS": address, "NUM_PROCESSES": "1", "PROCESS_ID": "0"}.items() if joined else ():
        monkeypatch.setitem(ENVIRONMENT, f"JAX_{name}", value)
    out, err = started("-c", JOINED).communicate(timeout=60)
    assert out.split() == [str(not joined), "True"], err
