"""Laws of a run on several processes: its result is that of one process, it reports once, all stop together, any number can resume it."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from oasis_jax.checkpoint import load_state
from tests.loopback import places
from tests.training.test_loop import OVERRIDES

ROOT = pathlib.Path(__file__).parents[2]
FLOAT64 = {"model.dtype": "float64", "log.every_steps": 1}
SAME = 1e-9  # tolerance, relative to the largest value of an array
ROUNDING = 1e-12  # absolute tolerance: the gradient of biases before a normalisation is only rounding error


def start(workdir, num_steps, count=1, **fields):
    """Starts `count` processes of one run, which write their output to files."""
    fields = OVERRIDES | {"train.num_steps": num_steps, "checkpoint.every_steps": 3, **fields}
    flags = [f"--config.{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}" for name, value in fields.items()]
    command = [sys.executable, "-m", "oasis_jax.main", "--config=configs/scenes.py", f"--workdir={workdir}", *flags]
    processes = []
    for index, joined in enumerate(places(count)):
        precise = {"JAX_ENABLE_X64": "1"} if fields.get("model.dtype") == "float64" else {}
        environment = os.environ | {"JAX_PLATFORMS": "cpu"} | precise | joined
        with pathlib.Path(f"{workdir}_{index}.log").open("w") as log:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT))
        processes[-1].log = log.name
    return processes


def finish(processes, codes=None, seconds=300):
    """Waits for processes, checks their exit codes (by default 0), and returns their outputs."""
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
    """Waits until the first checkpoint has been saved, so that the run is under way."""
    deadline = time.monotonic() + 600
    while not (workdir / "checkpoints" / "3").exists():
        assert time.monotonic() < deadline, pathlib.Path(process.log).read_text()
        assert process.poll() is None, pathlib.Path(process.log).read_text()
        time.sleep(0.1)


def assert_same_state(one, other):
    """Compares the networks with their statistics, the averaged generator and the optimizer states of two runs in float64."""
    assert int(one["step"]) == int(other["step"])
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(other), strict=True):
        name = jax.tree_util.keystr(path)
        assert a.dtype == b.dtype and a.dtype in (np.float64, np.int32), name
        rounding = ROUNDING**2 if "['nu']" in name else ROUNDING  # Adam's second moments are squares
        np.testing.assert_allclose(a, b, rtol=0, atol=max(SAME * np.abs(b).max(), rounding), err_msg=name)


@pytest.mark.slow
def test_processes_train_and_resume_as_one_does_whatever_their_number(tmp_path):
    """Four processes for three steps, then two, in float64: the losses of every step and the whole state match those of one process."""
    finish(start(tmp_path / "one", 6, **FLOAT64))
    divided = {"mesh.space": 2, "mesh.shard_state": True}
    first, *others = finish(start(tmp_path / "several", 3, count=4, **FLOAT64, **divided), seconds=600)
    assert "mesh: 2 parts of the batch x 2 parts of each image" in first and "trained to step 3" in first
    assert not any("trained to step" in output or "mesh:" in output for output in others)
    first, second = finish(start(tmp_path / "several", 6, count=2, **FLOAT64))
    assert "resuming from step 3" in first and "mesh: 2 parts of the batch x 1 parts of each image" in first
    assert "resuming" not in second
    for step in ("3", "6"):
        assert_same_state(*(load_state(tmp_path / name / "checkpoints" / step) for name in ("one", "several")))
    one, several = (json.loads((tmp_path / name / "losses.json").read_text()) for name in ("one", "several"))
    assert {"loss_g", "loss_d_real", "loss_d_fake"} <= one.keys() == several.keys()
    for name, values in one.items():
        assert list(values) == list("123456") and several[name] == pytest.approx(values, rel=SAME, abs=0), name
    assert len(list((tmp_path / "several").glob("events.out.tfevents*"))) == 2  # one for each start
    assert json.loads((tmp_path / "several" / "evaluation.json").read_text())["step"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("number, count", [(signal.SIGTERM, 4), (signal.SIGINT, 2)])
def test_a_signal_to_one_process_stops_all_at_one_saved_step(tmp_path, number, count):
    processes = start(tmp_path / "run", 100_000, count=count)
    wait_for_checkpoint(tmp_path / "run", processes[0])
    processes[-1].send_signal(number)
    first, *_ = finish(processes)
    step = int(re.search(r"stopped by .* at step (\d+), which is saved; the same command resumes from there", first)[1])
    assert (tmp_path / "run" / "checkpoints" / str(step)).exists()
    assert f"resuming from step {step}" in finish(start(tmp_path / "run", step + 1, count=2))[0]


@pytest.mark.slow
@pytest.mark.parametrize("count, killed", [(2, 1), (4, 0)])
def test_when_a_process_is_killed_the_others_stop_within_a_minute_and_say_why(tmp_path, count, killed):
    processes = start(tmp_path / "run", 100_000, count=count)
    wait_for_checkpoint(tmp_path / "run", processes[0])
    lost = processes.pop(killed)
    lost.kill()
    lost.wait()
    deadline = time.monotonic() + 60
    try:
        for left in processes:
            left.wait(deadline - time.monotonic())
    finally:
        for left in processes:
            left.kill()
    for left in processes:
        said = pathlib.Path(left.log).read_text()
        saved = re.search(r"error: lost another process, .*step (\d+) is saved", said)
        assert left.returncode not in (0, None) and ((saved and int(saved[1]) >= 3) or "another task died" in said), said
    assert "resuming from step" in finish(start(tmp_path / "run", 4))[0]
