"""A run whose workdir is in a bucket (gs://) writes everything that a run on disk writes, and can be resumed, loaded and sampled from."""
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from configs import scenes
from oasis_jax.checkpoint import load_state
from oasis_jax.training.workdir import LOCK
from tests import killed_run
from tests.storage_server import BUCKET, objects, storage_server
from tests.training.test_loop import tiny_config

WORKDIR = f"gs://{BUCKET}/runs/a b"  # names in buckets may have spaces
LOAD = """
import sys
import numpy as np
import oasis_jax

model = oasis_jax.load(sys.argv[1])
np.save(sys.argv[2], model.sample(np.full((1, *model.image_size), 2), seed=3))
assert "tensorflow" not in sys.modules
"""


def train(workdir, num_steps, **environment):
    every = {"log__every_steps": 1, "log__images_every_steps": 2, "checkpoint__every_steps": 2, "eval__every_steps": 2}
    config = tiny_config(train__num_steps=num_steps, **every)
    return run(killed_run.command("scenes", config, scenes.get_config(), workdir)[1:], environment)


def sample(workdir, file, environment):
    run(["-c", LOAD, workdir, file], environment)
    return np.load(file)


def run(arguments, environment):
    command, environment = [sys.executable, *map(str, arguments)], killed_run.ENVIRONMENT | environment
    done = subprocess.run(command, cwd=killed_run.ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def logged(folder):
    """{(step, name)} of all TensorBoard files in a folder."""
    events = [event for file in folder.glob("events.out.tfevents*") for event in EventFileLoader(str(file)).Load()]
    return {(event.step, value.tag) for event in events for value in event.summary.value}


@pytest.mark.slow
def test_run_in_a_bucket_is_that_on_disk(tmp_path):
    local, downloaded = tmp_path / "local", tmp_path / "downloaded"
    train(local, 4)
    with storage_server() as environment:
        assert "resuming" not in train(WORKDIR, 2, **environment)
        assert "resuming from step 2" in train(WORKDIR, 4, **environment)
        found = {name.removeprefix("runs/a b/"): data for name, data in objects(environment).items()}
        images = sample(WORKDIR, tmp_path / "bucket.npy", environment)

    for name, data in found.items():
        (downloaded / name).parent.mkdir(parents=True, exist_ok=True)
        (downloaded / name).write_bytes(data)

    def written(folder):
        files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
        return {name for name in files if not name.startswith(("checkpoints", "events"))} - {LOCK}  # buckets have none

    assert written(downloaded) == written(local) >= {"samples/step_0000002.png", "samples/step_0000004.png", "losses.png", "losses.json"}
    assert logged(downloaded) == logged(local) >= {(2, "samples"), (4, "samples"), *((step, "loss_g") for step in range(1, 5))}
    for name in ("losses.json", "samples/step_0000004.png"):
        assert (downloaded / name).read_bytes() == (local / name).read_bytes()
    jax.tree.map(np.testing.assert_array_equal, load_state(downloaded), load_state(local))
    assert json.loads(found["evaluation.json"])["step"] == 4
    np.testing.assert_array_equal(images, sample(local, tmp_path / "local.npy", os.environ))
