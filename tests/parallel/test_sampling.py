"""Sampling as a job of two processes: they write what one writes, and both end with success."""
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
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    job = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    own = [job | {"JAX_PROCESS_ID": str(index)} for index in range(2)] if address else [{}]
    processes = [subprocess.Popen(command, env=os.environ | {"JAX_PLATFORMS": "cpu"} | variables, **options) for variables in own]
    try:
        said = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    alone, together = sampled(tmp_path / "one"), sampled(tmp_path / "two", address)
    assert alone.keys() == together.keys() and any(name.endswith(".png") for name in alone)
    assert {name for name in alone if alone[name] != together[name]} <= {"samples.json"}  # it names the folder
