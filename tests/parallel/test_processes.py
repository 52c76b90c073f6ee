"""Laws of joining processes, and of sharing out a set of images; what several processes make of it is tested in tests/evaluation."""
import re

import jax
import numpy as np
import pytest

from oasis_jax.parallel.processes import gather, gather_rows, join, part_of


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
        return join()  # this process is on its own
    with pytest.raises(ValueError, match=f"could not join .*{re.escape(failure)}"):
        join()


def test_the_only_task_of_a_slurm_job_joins_nothing_and_has_all_devices(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    monkeypatch.setattr(jax.distributed, "initialize", None)
    join()
