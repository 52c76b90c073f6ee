"""Sampling as a job of two processes: they write what one writes, and both end with success."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.loopback import places

ROOT = Path(__file__).parents[2]


def sampled(folder, count):
    """Runs `sample` as a job of `count` processes; returns the files that it writes, {name: bytes}."""
    command = [sys.executable, "-m", "oasis_jax.sample", "--checkpoint=scenes", f"--output={folder}", "--seed=3"]
    logs = [folder.with_name(f"{folder.name}_{index}.log") for index in range(count)]
    processes = []
    for variables, log in zip(places(count), logs, strict=True):
        environment = os.environ | {"JAX_PLATFORMS": "cpu"} | variables
        with log.open("w") as output:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT))
    try:
        codes = [process.wait(240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0] * count, [log.read_text() for log in logs]
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path):
    alone, together = sampled(tmp_path / "one", 1), sampled(tmp_path / "two", 2)
    assert alone.keys() == together.keys() and any(name.endswith(".png") for name in alone)
    told = [json.loads(files.pop("samples.json")) for files in (alone, together)]
    assert alone == together
    for each in told:
        each.pop("command")  # it names the folder
    assert told[0] == told[1]
