"""A run on several processes: it starts, trains, resumes and shows itself once, with the result of one process."""
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from oasis_jax.checkpoint import load_state
from tests.training.test_loop import OVERRIDES

ROOT = pathlib.Path(__file__).parents[2]


def start(workdir, num_steps, **environment):
    fields = OVERRIDES | {"train.num_steps": num_steps, "checkpoint.every_steps": 3}
    flags = [f"--config.{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}" for name, value in fields.items()]
    command = [sys.executable, "-m", "oasis_jax.main", "--config=configs/scenes.py", f"--workdir={workdir}", *flags]
    env = os.environ | {"JAX_PLATFORMS": "cpu"} | environment
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(processes):
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(outputs)
    return outputs


def run_on_two(workdir, num_steps):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    return finish([start(workdir, num_steps, **dict(zip(names, (address, "2", str(i)), strict=True))) for i in range(2)])


@pytest.mark.slow
def test_two_processes_train_and_resume_as_one_does(tmp_path):
    finish([start(tmp_path / "one", 6)])
    run_on_two(tmp_path / "two", 3)
    first, second = run_on_two(tmp_path / "two", 6)
    assert "resuming from step 3" in first and "trained to step 6" in first
    assert "resuming" not in second and "trained to step" not in second
    one, two = (load_state(tmp_path / name) for name in ("one", "two"))
    assert int(one["step"]) == int(two["step"]) == 6
    for name in ("generator", "discriminator"):
        pairs = zip(*(jax.tree.leaves(state[name]["params"]) for state in (one, two)), strict=True)
        distances = np.concatenate([np.abs(a - b).ravel() for a, b in pairs])
        # Adam takes whole steps (6e-4) of biases whose gradient is only rounding; everything else agrees.
        assert np.mean(distances > 1e-5) < 0.1 and distances.max() < 6 * 2 * 6e-4
