"""A run that was stopped is started again, by each scheduler's own means; one that has finished or failed is not."""
import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.launch.stand_ins import ROOT, TRAIN, StandIns

STOPPED, FINISHED, FAILED = "print('stopped by SIGTERM at step 3')", "print('trained to step 9')", "sys.exit(3)"


@pytest.mark.parametrize("source, status", [(STOPPED, 75), (FINISHED, 0), (FAILED, 3), ("os.kill(os.getpid(), 9)", 137)])
def test_attempt_tells_how_the_run_ended(source, status, tmp_path):
    done = StandIns(tmp_path / "bin", train=source).run("bash", "launch/attempt.sh", "train", *TRAIN)
    assert done.returncode == status
    assert done.stdout.startswith("stopped by") == (status == 75)


def test_attempt_passes_sigterm_on_and_survives_it(tmp_path):
    source = "import signal, time\nsignal.signal(15, lambda *_: (time.sleep(0.5), print('stopped by SIGTERM'), sys.exit(0)))\n"
    commands = StandIns(tmp_path / "bin", train=f"{source}print('ready', flush=True)\nwhile True: time.sleep(0.1)")
    command = ["bash", "launch/attempt.sh", "train"]
    process = subprocess.Popen(command, cwd=ROOT, env=commands.environment(), stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGTERM)  # as schedulers do, to every process of the job
    assert process.communicate(timeout=30)[0] == "stopped by SIGTERM\n" and process.returncode == 75


@pytest.mark.parametrize(
    "source, restarts, requeued", [(STOPPED, 0, True), (STOPPED, 100, False), (FINISHED, 0, False), (FAILED, 0, False)]
)
def test_slurm_queues_a_stopped_job_again(source, restarts, requeued, tmp_path):
    commands = StandIns(
        tmp_path / "bin",
        scontrol="print('node1\\nnode2')",
        srun="words = sys.argv[1:]\nsys.exit(subprocess.run(words[words.index('bash'):]).returncode)",
        train=source + "\nassert os.environ['no_proxy'].startswith('node1,node2')",
    )
    variables = {"PYTHON": "train", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_RESTART_COUNT": str(restarts)}
    variables |= {"https_proxy": "http://proxy:8080"}
    commands.run("bash", "launch/slurm.sbatch", *TRAIN, **variables)
    calls = commands.calls()
    assert ["train", "-m", "oasis_jax.main", *TRAIN] in calls
    assert (["scontrol", "requeue", "7"] in calls) == requeued


def test_gke_pod_runs_the_training_command_and_fails_if_it_was_stopped(tmp_path):
    commands = StandIns(tmp_path / "bin", xpk="", pip="", python=STOPPED)
    commands.run("launch/xpk.sh", "train", "--workload=w", "--cluster=c", *TRAIN)
    (call,) = commands.calls()
    assert "--restart-on-user-code-failure" in call and "--max-restarts=10" in call
    (command,) = (word.removeprefix("--command=") for word in call if word.startswith("--command="))
    assert commands.run("bash", "-c", command).returncode == 75
    assert ["python", "-m", "oasis_jax.main", *TRAIN] in commands.calls()


CLOUD = """
cloud = pathlib.Path({cloud!r})
state, vm = cloud / "state", cloud / "vm"
words = sys.argv[3:]
if words[0] == "queued-resources":
    if words[1] == "create":
        vm.mkdir()
        state.write_text("ACTIVE")
    elif words[1] == "delete":
        vm.rename(cloud / f"deleted{{len(list(cloud.iterdir()))}}")
        state.unlink()
    elif not state.exists():
        sys.exit("ERROR: (gcloud.compute.tpus.queued-resources.describe) NOT_FOUND: no such resource")
    else:
        print(state.read_text())
elif words[1] == "scp":
    (vm / "oasis_jax.tar.gz").write_bytes(pathlib.Path(words[2]).read_bytes())
else:
    (command,) = (word.removeprefix("--command=") for word in words if word.startswith("--command="))
    sys.exit(subprocess.run(["bash", "-c", command], cwd=vm).returncode)
"""
# What the training does in its first attempt, its second, and so on; the attempts are counted outside the machine, which is lost.
ATTEMPTS = """
cloud = pathlib.Path({cloud!r})
attempts = cloud / "attempts"
number = len(attempts.read_text()) if attempts.exists() else 0
attempts.write_text("x" * (number + 1))
exec({sources!r}[number])
"""
PREEMPTED = "(cloud / 'state').write_text('SUSPENDED'); import time; time.sleep(5)"


def watch(tmp_path, *sources, max_restarts=2, times=([],)):
    """Runs `tpu_vm.sh watch` once with each list of options in `times`.

    Returns:
        (last finished process, gcloud's verbs that change the request, calls of the training).
    """
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("installs the last commit, and here is no git, or no checkout")
    cloud = tmp_path / "cloud"
    cloud.mkdir()
    commands = StandIns(tmp_path / "bin", gcloud=CLOUD.format(cloud=str(cloud)), sleep="import time; time.sleep(0.1)", uv="")
    training = tmp_path / "training"
    commands.add(training, ATTEMPTS.format(cloud=str(cloud), sources=sources))
    commands.add(commands.folder / "python3", f"""if "venv" in sys.argv:
    os.makedirs(".venv/bin", exist_ok=True)
    if not os.path.lexists(".venv/bin/python"):
        os.symlink({str(training)!r}, ".venv/bin/python")
""")
    for options in times:
        done = commands.run("launch/tpu_vm.sh", "watch", "--name=pod", "--zone=z", f"--max_restarts={max_restarts}", *TRAIN, *options)
    calls = commands.calls()
    requests = [call[4] for call in calls if "queued-resources" in call and "describe" not in call]
    return done, requests, [call for call in calls if "oasis_jax.main" in call]


def test_tpu_is_requested_and_trained_on_until_the_run_has_finished(tmp_path):
    done, requests, trainings = watch(tmp_path, STOPPED, PREEMPTED, FINISHED)
    assert done.returncode == 0, done.stderr
    assert requests == ["create", "delete", "create"]  # a preempted request is made again; a stop on a live TPU needs none
    assert trainings == [["python", "-m", "oasis_jax.main", *TRAIN]] * 3


def test_failed_training_is_not_started_again(tmp_path):
    done, requests, trainings = watch(tmp_path, FAILED)
    assert done.returncode == 1 and "the training has failed" in done.stderr
    assert requests == ["create"] and len(trainings) == 1


def test_restarts_are_limited(tmp_path):
    done, _, trainings = watch(tmp_path, STOPPED, STOPPED, FINISHED, max_restarts=1)
    assert done.returncode == 1 and "--max_restarts" in done.stderr and len(trainings) == 2
    time.sleep(0.3)  # so that the last background shell has ended before its folder is removed


def test_the_end_of_one_training_is_not_that_of_another(tmp_path):
    done, _, trainings = watch(tmp_path, FINISHED, FINISHED, times=([], [], ["--config.train.num_steps=9"]))
    assert done.returncode == 0, done.stderr
    assert [call[-1] == "--config.train.num_steps=9" for call in trainings] == [False, True]  # the second time, there was nothing to do


def test_a_training_that_is_not_to_be_restarted_ends_when_it_stops(tmp_path):
    done, _, trainings = watch(tmp_path, STOPPED, FINISHED, max_restarts=0)
    assert done.returncode == 1 and "was started again 0 times" in done.stderr and len(trainings) == 1


def test_a_request_that_can_never_be_made_ends_the_watch(tmp_path):
    done, requests, _ = watch(tmp_path, times=(["--accelerator_type=v1-8"],))
    assert done.returncode == 2 and "write --runtime_version=VERSION" in done.stderr and requests == []


def test_a_training_that_failed_is_started_again_by_the_next_watch(tmp_path):
    done, _, trainings = watch(tmp_path, FAILED, FINISHED, times=([], []))
    assert done.returncode == 0 and len(trainings) == 2, done.stderr
