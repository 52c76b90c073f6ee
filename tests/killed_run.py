"""Training commands in processes of their own, which are run to their end or killed."""
import os
import pathlib
import re
import subprocess
import sys
import time

from oasis_jax.config_flag import flat

ROOT = pathlib.Path(__file__).parents[1]
# Runs a command that heeds SIGINT and SIGHUP, even if the tests were started in the background or by nohup, whose processes ignore them.
_HEED = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
HEEDING = (sys.executable, "-c", _HEED)
ENVIRONMENT = os.environ | {"JAX_PLATFORMS": "cpu"}


def command(name, config, unchanged, workdir):
    """The training command by a file of configs/, with the fields in which `config` differs from the one it gives, `unchanged`."""

    def flag(value):
        return ",".join(map(str, value)) if isinstance(value, tuple) else value

    before = flat(unchanged)
    flags = [f"--config.{field}={flag(value)}" for field, value in flat(config).items() if value != before[field]]
    return [sys.executable, "-m", "oasis_jax.main", f"--config=configs/{name}.py", f"--workdir={workdir}", *flags]


def run_to_end(command):
    """What the command prints. Beside it stand progress bars alone, and nothing that another library has to say."""
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    others = [line for line in re.split(r"[\r\n]|\x1b\[A", done.stderr) if line.strip() and "%|" not in line]
    assert not others or "slow_operation_alarm" in done.stderr, others  # XLA tells that a busy machine compiles slowly
    return done.stdout


def run_until_killed(command, workdir, signal_number, after_step):
    """(what the command prints, its exit status) if it gets a signal as soon as there is a checkpoint of a step, or of a later one."""
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
