"""A pod of local processes: each knows its place in it, all end together, and they train one run."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from configs import scenes
from oasis_jax.checkpoint import load_state
from tests import killed_run
from tests.launch.stand_ins import ROOT, TRAIN, StandIns
from tests.training.test_loop import tiny_config

POD = ["bash", "launch/local_pod.sh"]
PLACE = """
names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "XLA_FLAGS", "no_proxy")
print(json.dumps({name: os.environ.get(name) for name in names}), flush=True)
"""
WAIT = """
import signal, time
signal.signal(signal.SIGTERM, {on_sigterm})
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
LISTENING = WAIT.format(on_sigterm="lambda *_: (print('stopped by SIGTERM', flush=True), sys.exit(0))")
STUCK = WAIT.format(on_sigterm="signal.SIG_IGN")  # as in a collective operation that the failed process never joins


def start(commands, logs, *options):
    """Starts the script with two processes; returns it when both have begun."""
    command, environment = [*killed_run.HEEDING, *POD, "2", *TRAIN, f"--logs={logs}", *options], commands.environment(PYTHON="train")
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while sum("ready" in log.read_text() for log in logs.glob("*.log")) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_processes_know_their_places(tmp_path):
    commands = StandIns(tmp_path / "bin", train=PLACE)
    variables = {"PYTHON": "train", "XLA_FLAGS": "--xla_one", "http_proxy": "http://proxy:8080", "no_proxy": "intranet"}
    done = commands.run(*POD, 3, *TRAIN, "--devices=2", f"--logs={tmp_path / 'a b'}", **variables)
    assert done.returncode == 0, done.stderr
    assert commands.calls() == [["train", "-m", "oasis_jax.main", *TRAIN]] * 3
    logs = [(tmp_path / "a b" / f"process_{i}.log").read_text() for i in range(3)]
    places = [json.loads(log) for log in logs]
    assert done.stdout == logs[0]
    assert [place.pop("JAX_PROCESS_ID") for place in places] == ["0", "1", "2"]
    assert places[0] == places[1] == places[2] and places[0]["JAX_NUM_PROCESSES"] == "3"
    assert places[0]["JAX_COORDINATOR_ADDRESS"].startswith("127.0.0.1:")
    assert places[0]["no_proxy"] == "127.0.0.1,intranet"
    assert places[0]["XLA_FLAGS"] == "--xla_one --xla_force_host_platform_device_count=2"


def test_dry_run_prints_the_command_of_each_process(tmp_path):
    commands = StandIns(tmp_path / "bin", train=PLACE)
    dry = commands.run(*POD, 2, *TRAIN, f"--logs={tmp_path / 'a b'}", "--dry_run", PYTHON="train")
    assert commands.calls() == [] and not (tmp_path / "a b").exists()
    commands.run("bash", "-c", f"{dry.stdout}\nwait")
    assert commands.calls() == [["train", "-m", "oasis_jax.main", *TRAIN]] * 2
    places = [json.loads((tmp_path / "a b" / f"process_{i}.log").read_text()) for i in range(2)]
    assert [place["JAX_PROCESS_ID"] for place in places] == ["0", "1"]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_signal_is_passed_on_and_ends_with_success(signal_number, tmp_path):
    process = start(StandIns(tmp_path / "bin", train=LISTENING), tmp_path / "logs")
    process.send_signal(signal_number)
    assert end(process, 30) == "ready\nstopped by SIGTERM\n"
    assert (tmp_path / "logs" / "process_1.log").read_text().endswith("stopped by SIGTERM\n")


@pytest.mark.parametrize("others", [LISTENING, STUCK], ids=["others listen", "others are stuck"])
def test_when_one_process_fails_the_others_are_ended(others, tmp_path):
    source = "if os.environ['JAX_PROCESS_ID'] == '1':\n    sys.exit(7)\n" + others
    began = time.monotonic()
    done = StandIns(tmp_path / "bin", train=source).run(*POD, 3, *TRAIN, f"--logs={tmp_path / 'logs'}", "--grace=1", PYTHON="train")
    assert done.returncode == 7 and "failed with status 7" in done.stderr
    assert time.monotonic() - began < 20


def end(process, timeout):
    """Waits until the script ends with success; returns what it has printed."""
    try:
        output = process.communicate(timeout=timeout)[0]
    finally:
        for _ in range(2):  # the second signal kills the processes
            process.terminate()
            time.sleep(0.5)
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
def test_two_processes_train_one_run_which_sigterm_stops_and_the_same_command_resumes(tmp_path):
    workdir = tmp_path / "a run"

    def start(num_steps):
        config = tiny_config(train__num_steps=num_steps, checkpoint__every_steps=1)
        command = [*POD, "2", *killed_run.command("scenes", config, scenes.get_config(), workdir)[3:]]
        environment = os.environ | {"PYTHON": sys.executable}
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    process, deadline = start(2000), time.monotonic() + 600
    while not (workdir / "checkpoints" / "1").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    output = end(process, 300)
    stopped_at = int(re.search(r"^stopped by .* at step (\d+)", output, re.MULTILINE)[1])
    assert int(load_state(workdir)["step"]) == stopped_at

    output = end(start(stopped_at + 1), 600)
    assert f"resuming from step {stopped_at}" in output and f"trained to step {stopped_at + 1}" in output
    assert "for 2 cpu" in output  # one device of each process
    assert int(load_state(workdir)["step"]) == stopped_at + 1
    second = (workdir / "logs" / "process_1.log").read_text()
    assert "trained to step" not in second and "stopped by" not in second  # only the first process reports
    assert len(list(workdir.glob("events.out.tfevents*"))) == 2  # one for each start, not for each process
