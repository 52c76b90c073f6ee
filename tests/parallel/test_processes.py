"""Laws of joining processes and dividing a set of images among them; how several processes evaluate it is tested in tests/evaluation."""
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import time
import types

import jax
import numpy as np
import pytest

from oasis_jax.parallel import processes
from oasis_jax.parallel.processes import gather, gather_rows, join, part_of
from tests.loopback import places

ROOT = pathlib.Path(__file__).parents[2]
WORKER = """
import sys, time
from oasis_jax.parallel.processes import any_process, end_together, join
join(saves_when_stopped=True)
any_process(True)
print("joined", flush=True)
time.sleep(float(sys.argv[1]))
end_together()
"""


@pytest.mark.parametrize("total, batch_size, processes", [(10, 4, 1), (10, 4, 2), (10, 4, 3), (10, 4, 8), (500, 8, 16), (0, 4, 2)])
def test_parts_make_up_the_whole_and_are_made_of_whole_batches(total, batch_size, processes):
    parts = [part_of(total, batch_size, i, processes) for i in range(processes)]
    assert [number for part in parts for number in part] == list(range(total))
    assert all(part.start % batch_size == 0 for part in parts if part)
    batches = [-(-len(part) // batch_size) for part in parts]
    assert max(batches) - min(batches) <= 1


def test_one_process_has_everything_itself(tmp_path):
    tree = {"count": 3, "sums": np.arange(4.0)}
    assert gather(tree) == [tree]
    rows = np.random.default_rng(0).normal(size=(2500, 3)).astype(np.float32)
    with (tmp_path / "rows").open("w+b") as file:
        np.testing.assert_array_equal(gather_rows(rows, [2500], file), rows)


@pytest.mark.parametrize(
    "variables, message",
    [
        ({"JAX_NUM_PROCESSES": "2"}, "JAX_NUM_PROCESSES given, but not JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID: set all of"),
        ({"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "two", "JAX_PROCESS_ID": "0"}, "JAX_NUM_PROCESSES=two and .*numbers"),
        ({"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"}, "JAX_PROCESS_ID=2: .* the second below"),
    ],
)
def test_variables_that_do_not_fit_are_errors(monkeypatch, variables, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        join()


@pytest.mark.parametrize("failure, raised", [("coordinator_address should be defined.", False), ("invalid literal for int()", True)])
def test_a_job_that_is_recognised_but_cannot_be_joined_is_an_error(monkeypatch, failure, raised):
    def initialize(**_):
        raise ValueError(failure)

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    if not raised:
        return join()  # this process runs alone
    with pytest.raises(ValueError, match=f"could not join .*{re.escape(failure)}"):
        join()


def test_the_only_task_of_a_slurm_job_joins_nothing_and_has_all_devices(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    monkeypatch.setattr(jax.distributed, "initialize", None)
    join()


@pytest.mark.parametrize(
    "platforms, packages, expected",
    [("cpu", ["libtpu"], True), ("", [], True), (None, ["jax_plugins"], False), (None, ["libtpu"], False), ("cuda", [], False)],
)
def test_computing_on_cpu_is_foreseen_where_nothing_else_can_be_chosen(monkeypatch, platforms, packages, expected):
    config = types.SimpleNamespace(jax_platforms=platforms)
    monkeypatch.setattr(processes, "jax", types.SimpleNamespace(config=config))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in packages or None)
    assert processes._will_compute_on_cpu() is expected


def start(tmp_path, *seconds):
    """Starts a process for each of `seconds`, the time until it is done; returns them when all have joined. Their output goes to files."""
    started = []
    for index, (each, place) in enumerate(zip(seconds, places(len(seconds)), strict=True)):
        with (tmp_path / f"{index}.log").open("w") as log:
            command = [sys.executable, "-c", WORKER, str(each)]
            environment = os.environ | place | {"JAX_PLATFORMS": "cpu"}
            started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT))
    deadline = time.monotonic() + 120
    while any("joined" not in (tmp_path / f"{index}.log").read_text() for index in range(len(seconds))):
        assert time.monotonic() < deadline and all(process.poll() is None for process in started)
        time.sleep(0.1)
    return started


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [(40, 0), (0, 40)])
def test_processes_that_are_done_wait_for_a_late_one_and_all_end_with_success(tmp_path, seconds):
    """It is late by more than the time after which a dead process is noticed."""
    assert max(seconds) > processes.HEARTBEAT_SECONDS
    assert [process.wait(120) for process in start(tmp_path, *seconds)] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_done_waits_no_minute_for_one_that_was_killed(tmp_path, killed):
    started = start(tmp_path, *((300, 1) if killed == 0 else (1, 300)))
    time.sleep(3)
    started[killed].kill()
    began = time.monotonic()
    assert started[1 - killed].wait(90) not in (0, None) and time.monotonic() - began < 60
    assert re.search("another task died|not all others are", (tmp_path / f"{1 - killed}.log").read_text())
    started[killed].wait()
