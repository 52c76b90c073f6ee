"""Laws of a run on several processes: it has the result of one, shows itself once, stops together, and is resumed by any number."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from oasis_jax.checkpoint import load_state
from tests.training.test_loop import OVERRIDES

ROOT = pathlib.Path(__file__).parents[2]
VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def start(workdir, num_steps, count=1, **fields):
    """`count` processes of one run, whose output goes to files."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    fields = OVERRIDES | {"train.num_steps": num_steps, "checkpoint.every_steps": 3, **fields}
    flags = [f"--config.{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}" for name, value in fields.items()]
    command = [sys.executable, "-m", "oasis_jax.main", "--config=configs/scenes.py", f"--workdir={workdir}", *flags]
    processes = []
    for index in range(count):
        joined = dict(zip(VARIABLES, (address, str(count), str(index)), strict=True)) if count > 1 else {}
        environment = os.environ | {"JAX_PLATFORMS": "cpu"} | joined
        with pathlib.Path(f"{workdir}_{index}.log").open("w") as log:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT))
        processes[-1].log = log.name
    return processes


def finish(processes, codes=None, seconds=300):
    """The outputs of processes that end with these exit codes, by default 0."""
    try:
        for process in processes:
            process.wait(seconds)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    outputs = [pathlib.Path(process.log).read_text() for process in processes]
    assert [process.returncode for process in processes] == (codes or [0] * len(processes)), "\n".join(outputs)
    return outputs


def wait_for_checkpoint(workdir, process):
    """Returns when the first step is saved; at that time, the run is under way."""
    deadline = time.monotonic() + 300
    while not (workdir / "checkpoints" / "3").exists():
        assert time.monotonic() < deadline, pathlib.Path(process.log).read_text()
        assert process.poll() is None, pathlib.Path(process.log).read_text()
        time.sleep(0.1)


def assert_same_training(one, other):
    assert int(one["step"]) == int(other["step"])
    for name in ("generator", "discriminator"):
        pairs = zip(*(jax.tree.leaves(state[name]["params"]) for state in (one, other)), strict=True)
        distances = np.concatenate([np.abs(a - b).ravel() for a, b in pairs])
        # Adam takes whole steps (6e-4) of biases whose gradient is only rounding; everything else agrees.
        assert np.mean(distances > 1e-5) < 0.1 and distances.max() < 6 * 2 * 6e-4


@pytest.mark.slow
def test_processes_train_and_resume_as_one_does_whatever_their_number(tmp_path):
    finish(start(tmp_path / "one", 6))
    divided = {"mesh.space": 2, "mesh.shard_state": True}
    first, *others = finish(start(tmp_path / "several", 3, count=4, **divided))
    assert "mesh: 2 parts of the batch x 2 parts of each image" in first and "trained to step 3" in first
    assert not any("trained to step" in output or "mesh:" in output for output in others)
    first, second = finish(start(tmp_path / "several", 6, count=2))
    assert "resuming from step 3" in first and "mesh: 2 parts of the batch x 1 parts of each image" in first
    assert "resuming" not in second
    assert_same_training(*(load_state(tmp_path / name) for name in ("one", "several")))
    assert len(list((tmp_path / "several").glob("events.out.tfevents*"))) == 2  # one for each start
    assert json.loads((tmp_path / "several" / "evaluation.json").read_text())["step"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_process_stops_all_at_one_saved_step(tmp_path, number):
    processes = start(tmp_path / "run", 100_000, count=2)
    wait_for_checkpoint(tmp_path / "run", processes[0])
    processes[1].send_signal(number)
    first, _ = finish(processes)
    step = int(re.search(r"stopped by .* at step (\d+), which is saved; the same command resumes from there", first)[1])
    assert (tmp_path / "run" / "checkpoints" / str(step)).exists()
    assert f"resuming from step {step}" in finish(start(tmp_path / "run", step + 1, count=2))[0]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_when_a_process_is_killed_the_other_stops_within_a_minute_and_says_why(tmp_path, killed):
    processes = start(tmp_path / "run", 100_000, count=2)
    wait_for_checkpoint(tmp_path / "run", processes[0])
    processes[killed].kill()
    processes[killed].wait()
    began = time.monotonic()
    left = processes[1 - killed]
    left.wait(90)
    assert time.monotonic() - began < 60 and left.returncode not in (0, None)
    said = pathlib.Path(left.log).read_text()
    lost = re.search(r"error: lost another process, .*step (\d+) is saved", said)
    assert (lost and int(lost[1]) >= 3) or "another task died" in said, said
    assert "resuming from step" in finish(start(tmp_path / "run", 4))[0]
