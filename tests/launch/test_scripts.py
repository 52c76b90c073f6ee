"""Laws of all launchers: they pass shellcheck, run what their dry run prints, and name what is wrong with an option."""
import os
import shutil
import subprocess
import sys

import pytest

from tests.launch.stand_ins import ROOT, TRAIN, StandIns

SCRIPTS = sorted([*(ROOT / "launch").glob("*.sh"), *(ROOT / "launch").glob("*.sbatch")])
TPU, XPK = ["--name=pod", "--zone=us-west4-a"], ["--workload=run", "--cluster=pods"]
STOPPED = 75  # exit status of a training that was stopped and has saved (launch/attempt.sh)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_script_passes_shellcheck(script):
    shellcheck = shutil.which("shellcheck", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
    if not shellcheck:
        pytest.skip("shellcheck is not installed: pip install -e '.[test]'")
    done = subprocess.run([shellcheck, "--external-sources", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        *(["tpu_vm.sh", command, *TPU] for command in ("create", "install", "tail", "status", "stop", "delete")),
        ["tpu_vm.sh", "create", *TPU, "--project=p", "--capacity=reserved", "--accelerator_type=v6e-16"],
        ["tpu_vm.sh", "train", *TPU, *TRAIN],
        ["xpk.sh", "train", *XPK, *TRAIN],
        ["xpk.sh", "train", *XPK, *TRAIN, "--image=own", "--num_slices=2", "--zone=z", "--project=p"],
        ["xpk.sh", "list", *XPK],
        ["xpk.sh", "delete", *XPK],
        ["slurm.sbatch", *TRAIN],
    ],
    ids=" ".join,
)
def test_dry_run_prints_what_is_run(arguments, tmp_path):
    """Pasted into a shell, the printed text calls the same commands with the same words; the dry run itself calls none.

    The training of a SLURM job is stopped here, so that the job is queued again, which is the last command that is printed.
    """
    commands = StandIns(tmp_path / "bin", git="", xpk="", gcloud="print('ACTIVE')", srun=f"sys.exit({STOPPED})", scontrol="")
    command = ["bash", f"launch/{arguments[0]}", *arguments[1:]]
    job = {"SLURM_JOB_ID": "42", "SLURM_JOB_NODELIST": "node1"}
    done = commands.run(*command, **job)
    assert done.returncode == (STOPPED if arguments[0] == "slurm.sbatch" else 0), done.stderr
    run = commands.calls()
    dry = commands.run(*command, "--dry_run", **job)
    assert dry.returncode == 0 and commands.calls() == []
    assert commands.run("bash", "-c", dry.stdout).returncode == 0
    assert commands.calls() == run != []


def test_commands_of_cloud_tpu(tmp_path):
    """Checks gcloud's verbs and their order."""
    dry = StandIns(tmp_path / "bin").run("launch/tpu_vm.sh", "watch", *TPU, *TRAIN, "--dry_run").stdout
    verbs = [line.split()[1:5] for line in dry.splitlines() if line.startswith("gcloud")]
    queue, tpu = ["compute", "tpus", "queued-resources"], ["compute", "tpus", "tpu-vm"]
    in_order = [[*queue, "describe"], [*queue, "create"], *[[*tpu, "ssh"]] * 2, [*tpu, "scp"], *[[*tpu, "ssh"]] * 3]
    assert verbs == [*in_order, [*queue, "delete"], [*queue, "create"]]
    assert "--spot" in dry and "--node-id=pod" in dry and dry.count("--worker=all") == 5


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script.name not in ("common.sh", "attempt.sh")], ids=lambda s: s.name)
def test_help_names_every_option(script):
    done = subprocess.run(["bash", script, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: ")
    parsed = [line for line in script.read_text().splitlines() if line.startswith("parse ")]
    options = parsed[0].removeprefix("parse ").split(" -- ")[0].split() if parsed else []
    assert all(f"--{option}=" in done.stdout for option in [*options, "config", "workdir"]) and "--dry_run" in done.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("local_pod.sh --config=c --workdir=w", "one number of processes"),
        ("local_pod.sh two --config=c --workdir=w", "'two', not a positive integer"),
        ("local_pod.sh 2 --workdir=w", "--config is missing: write --config=VALUE"),
        ("local_pod.sh 2 --config=c --workdir=w --devices=0", "--devices=0 is not a positive integer"),
        ("local_pod.sh 2 --config=c --workdir=w --device=2", "unknown option --device;"),
        ("local_pod.sh 2 --config=c --workdir", "--workdir needs a value: write --workdir=VALUE"),
        ("tpu_vm.sh create --zone=z", "--name is missing"),
        ("tpu_vm.sh crate --name=n --zone=z", "unknown command crate"),
        ("tpu_vm.sh create --name=n --zone=z --capacity=free", "--capacity=free is none of spot"),
        ("tpu_vm.sh create --name=n --zone=z --accelerator_type=v1-8", "write --runtime_version="),
        ("tpu_vm.sh train --name=n --zone=z --config=c --workdir=runs/a", "--workdir=runs/a is not in a bucket"),
        ("xpk.sh train --workload=w --config=c --workdir=gs://b/r", "--cluster is missing"),
        ("xpk.sh train --workload=w --cluster=c --config=c --workdir=r", "--workdir=r is not in a bucket"),
        ("xpk.sh list --workload=w --cluster=c --max_restarts=-1", "--max_restarts=-1 is not a whole number, 0 or more"),
        ("tpu_vm.sh watch --name=n --zone=z --config=c --workdir=gs://b/r --poll=0", "--poll=0 is not a positive integer"),
        ("slurm.sbatch --workdir=w", "--config is missing"),
        ("slurm.sbatch --config=c --workdir=w --nodes=2", "unknown option --nodes (options of sbatch stand before the file)"),
        ("slurm.sbatch --config=c --workdir=w", "submit it with sbatch"),
    ],
)
def test_wrong_option_is_named_with_the_fix(arguments, message, tmp_path):
    script, *options = arguments.split()
    done = StandIns(tmp_path / "bin").run("bash", f"launch/{script}", *options)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
