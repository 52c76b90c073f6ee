"""Sampling as a job of two processes: they write what one writes, and both end with success."""
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def sampled(folder, address=None):
    """The files that `sample` writes as one process, or as two that meet at an address: {name: bytes}."""
    command = [sys.executable, "-m", "oasis_jax.sample", "--checkpoint=scenes", f"--output={folder}", "--seed=3"]
    job = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    own = [job | {"JAX_PROCESS_ID": str(index)} for index in range(2)] if address else [{}]
    logs = [folder.with_name(f"{folder.name}_{index}.log") for index in range(len(own))]
    processes = []
    for variables, log in zip(own, logs, strict=True):
        environment = os.environ | {"JAX_PLATFORMS": "cpu"} | variables
        with log.open("w") as output:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT))
    try:
        codes = [process.wait(240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0] * len(processes), [log.read_text() for log in logs]
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    alone, together = sampled(tmp_path / "one"), sampled(tmp_path / "two", address)
    assert alone.keys() == together.keys() and any(name.endswith(".png") for name in alone)
    told = [json.loads(files.pop("samples.json")) for files in (alone, together)]
    assert alone == together
    for each in told:
        each.pop("command")  # it names the folder
    assert told[0] == told[1]
