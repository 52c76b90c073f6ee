"""Processes find each other by what a scheduler tells them: two on one host, with the variables and metadata that each scheduler sets."""
import http.server
import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FIRST_PORT = 61440  # for SLURM, JAX uses this port plus the job's number modulo 4096
CLUSTERS = ("SLURM", "KUBERNETES", "TPU_", "MEGASCALE", "JAX_")  # prefixes of variables of a cluster that this test may run on
TPU = {"JAX_FORCE_TPU_INIT": "1"}  # makes JAX treat this host as one with TPUs
JOIN = """
import os, sys
import jax
from oasis_jax.parallel.processes import end_together, gather, is_first, join, num_processes
if "tpu_vm" in sys.argv:
    os.environ.pop("TPU_SKIP_MDS_QUERY", None)  # which JAX sets where no TPU is, and GKE in every pod
join()
print(num_processes(), is_first(), gather(jax.process_index()), flush=True)
end_together()
"""


def slurm(index):
    """The variables that srun sets in each task."""
    placed = {"SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"}
    return placed | {"SLURM_PROCID": str(index), "SLURM_LOCALID": str(index)}


def gke(index):
    """The variables that GKE sets in each pod of a slice."""
    placed = {"TPU_WORKER_HOSTNAMES": "localhost,127.0.0.1", "TPU_WORKER_ID": str(index)}
    return TPU | {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "TPU_SKIP_MDS_QUERY": "true"} | placed


def gke_slices(index):
    """The variables that xpk's JobSet sets, for two slices of one pod each."""
    slices = {"MEGASCALE_NUM_SLICES": "2", "MEGASCALE_SLICE_ID": str(index), "MEGASCALE_COORDINATOR_ADDRESS": "localhost"}
    return gke(0) | {"TPU_WORKER_HOSTNAMES": "localhost"} | slices


def tpu_vm(index):
    """Workers of a pod of TPU VMs have no variables: they ask their metadata server."""
    pytest.importorskip("requests", reason="JAX asks with it; jax[tpu] installs it")
    return TPU


def metadata(index, told):
    """The metadata server of worker `index` of two, on a free port. Only the server of a TPU VM knows the workers."""
    attributes = {"tpu-env": "ACCELERATOR_TYPE: 'v5litepod-16'\nZONE: 'us-west4-a'\n"}
    if told is tpu_vm:
        endpoints = "unknown:unknown:127.0.0.1,unknown:unknown:127.0.0.1"
        attributes |= {"agent-worker-number": str(index), "worker-network-endpoints": endpoints}

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            value = attributes.get(self.path.removeprefix("/computeMetadata/v1/instance/attributes/"))
            self.send_response(404 if value is None else 200)
            self.end_headers()
            self.wfile.write((value or "").encode())

        def log_message(self, *_):
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)


def free_port():
    """Returns a free port among those that JAX derives from the numbers of SLURM jobs."""
    for port in range(FIRST_PORT + os.getpid() % 2048, 65536):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no port is free")


@pytest.mark.slow
@pytest.mark.parametrize("told", [slurm, gke, gke_slices, tpu_vm])
def test_two_processes_join_by_what_the_scheduler_tells_them(told):
    variables = [told(index) for index in range(2)]
    port, processes, servers = free_port(), [], [metadata(index, told) for index in range(2)]
    at = {"SLURM_JOB_ID": str(port - FIRST_PORT)} if told is slurm else {"JAX_COORDINATOR_PORT": str(port)}
    for own, server in zip(variables, servers, strict=True):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        outside = {name: value for name, value in os.environ.items() if not name.startswith(CLUSTERS)}
        host = {"JAX_PLATFORMS": "cpu", "GCE_METADATA_IP": f"127.0.0.1:{server.server_port}", "no_proxy": "127.0.0.1,localhost"}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        command = [sys.executable, "-c", JOIN, told.__name__]
        processes.append(subprocess.Popen(command, cwd=ROOT, env=outside | host | at | own, **options))
    try:
        said = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process, server in zip(processes, servers, strict=True):
            process.kill()
            process.wait()
            server.shutdown()
            server.server_close()
    assert [process.returncode for process in processes] == [0, 0], said
    assert [output.splitlines()[-1] for output in said] == ["2 True [0, 1]", "2 False [0, 1]"], said
