"""Runs training commands in separate processes, to their end or until they are killed."""
import os
import pathlib
import re
import subprocess
import sys
import time

from oasis_jax.config_flag import flat

ROOT = pathlib.Path(__file__).parents[1]
# Runs a command with the default handling of SIGINT and SIGHUP: if the tests run in the background or by nohup, it would ignore them.
_HEED = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
HEEDING = (sys.executable, "-c", _HEED)
EXPECTED = r"%\||slow_operation_alarm|^\*+$|Very slow compile"  # progress bars, and XLA's warning on a busy machine
ENVIRONMENT = os.environ | {"JAX_PLATFORMS": "cpu"}


def command(name, config, unchanged, workdir):
    """The training command for configs/NAME.py, whose config is `unchanged`, with flags for the fields that differ in `config`."""

    def flag(value):
        return ",".join(map(str, value)) if isinstance(value, tuple) else value

    before = flat(unchanged)
    flags = [f"--config.{field}={flag(value)}" for field, value in flat(config).items() if value != before[field]]
    return [sys.executable, "-m", "oasis_jax.main", f"--config=configs/{name}.py", f"--workdir={workdir}", *flags]


def run_to_end(command):
    """Runs a command and returns its standard output. Its standard error must hold only progress bars, and nothing from libraries."""
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    others = [line for line in re.split(r"[\r\n]|\x1b\[A", done.stderr) if line.strip() and not re.search(EXPECTED, line)]
    assert not others, others
    return done.stdout


def run_until_killed(command, workdir, signal_number, after_step):
    """Sends a signal to a command once it has a checkpoint of step `after_step` or later; returns (what it prints, its exit status)."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen([*HEEDING, *command], cwd=ROOT, env=ENVIRONMENT, **options)
    deadline = time.monotonic() + 900  # a busy machine takes minutes to compile
    while not any(path.name.isdigit() and int(path.name) >= after_step for path in (workdir / "checkpoints").glob("*")):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"it ended, or took too long, before it was killed:\n{process.communicate()[0]}")
        time.sleep(0.005)
    process.send_signal(signal_number)
    return process.communicate()[0], process.returncode
