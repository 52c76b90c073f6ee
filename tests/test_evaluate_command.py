"""The evaluation command on a tiny run, and its messages for mistakes of users."""
import json
import os
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import pytest
from PIL import Image

from oasis_jax.checkpoint import Checkpoints
from oasis_jax.evaluate import folder_of_run
from tests.tiny_evaluation import make_config, random_state

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir, config = tmp_path_factory.mktemp("run"), make_config()
    state = random_state(config).replace(step=jnp.asarray(5))
    with Checkpoints(workdir, 1, "colour_distance", False) as checkpoints:
        checkpoints.save(5, state, state.ema, config.to_dict(), wait=True)
    return workdir


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory):
    """Runs the command; returns its standard output, or the last line of its standard error if it fails."""
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "", "OASIS_JAX_CACHE": str(tmp_path_factory.mktemp("cache"))}

    def command(*flags):
        line = [sys.executable, "-m", "oasis_jax.evaluate", *map(str, flags)]
        done = subprocess.run(line, env=env, capture_output=True, text=True, cwd=ROOT)
        return done.stdout if done.returncode == 0 else done.stderr.splitlines()[-1]

    return command


def test_a_checkpoint_is_evaluated_by_the_config_of_its_run(run, evaluate):
    printed = evaluate(f"--checkpoint={run}", "--config.data.scenes_val=6")
    report = json.loads((run / "evaluation" / "report.json").read_text())
    assert report["subject"] == {"checkpoint": str(run), "step": 5} and report["images"] == {"generated": 6, "real": 6}
    assert {"di_seg", "miou_by_d", "texture_distance"} < report["scores"].keys()
    assert "# Evaluation by protocol plain" in printed and f"the report is in {run / 'evaluation'}" in printed


def test_a_config_says_with_what_data_to_compare_and_the_run_which_networks_it_has(run, evaluate, tmp_path):
    """--config has another model than the run."""
    data = ["--config=configs/scenes.py", "--config.data.scenes_val=2", "--config.data.image_size=16,32"]
    evaluate(f"--checkpoint={run}", *data, f"--output={tmp_path / 'out'}")
    assert {"miou_by_d", "di_seg"} < json.loads((tmp_path / "out" / "report.json").read_text())["scores"].keys()
    other = evaluate(f"--checkpoint={run}", "--config=configs/eqgan_scenes.py", f"--output={tmp_path / 'other'}")
    assert f"evaluate: --checkpoint={run} is of the family oasis, --config of eqgan: leave --config out" == other


def test_the_report_is_in_the_folder_of_the_run(tmp_path):
    """Also if that folder is called like a step."""
    for folder in (tmp_path / "run", tmp_path / "42"):
        (folder / "checkpoints" / "7").mkdir(parents=True)
        for path in (folder, folder / "checkpoints", folder / "checkpoints" / "7"):
            assert folder_of_run(path) == folder
    assert folder_of_run(tmp_path / "packed" / "2024") == tmp_path / "packed" / "2024"


def test_faults_are_named(run, evaluate, tmp_path):
    assert "no checkpoint at" in evaluate("--checkpoint=nowhere")
    assert "did you mean --config.data.root?" in evaluate(f"--checkpoint={run}", "--config.data.rot=x")
    assert "did you mean plain" in evaluate(f"--checkpoint={run}", "--protocol=plan")
    assert "eval.batch_size=0 is not an integer in 1" in evaluate(f"--checkpoint={run}", "--config.eval.batch_size=0")
    assert "--images needs --output" in evaluate("--config=configs/scenes.py", f"--images={tmp_path}")
    assert "is not a folder" in evaluate("--config=configs/scenes.py", f"--images={tmp_path / 'x'}", f"--output={tmp_path / 'out'}")
    same = [f"--images={tmp_path}", "--output=" + os.path.relpath(tmp_path, ROOT)]
    assert "is the folder of --images" in evaluate("--config=configs/scenes.py", *same)
    told = evaluate(f"--checkpoint={run}", "--config.model.dtype=bfloat16")
    assert told == "evaluate: --config.model.dtype would change nothing, since the networks are those of the run: omit it"


def test_what_the_check_finds_is_told_once(evaluate, tmp_path):
    for kind, mode in (("photos", "RGB"), ("labels", "L")):
        (tmp_path / "val" / kind).mkdir(parents=True)
        for name in ("a.png", "b.png"):
            Image.new(mode, (16, 16), 1 if mode == "L" else "red").save(tmp_path / "val" / kind / name)
    (tmp_path / "val/photos/notes.txt").touch()
    data = [f"--config.data.root={tmp_path}", "--config.data.num_classes=2", "--config.data.image_size=16,16", "--protocol=plain"]
    printed = evaluate("--config=configs/custom.py", *data, f"--images={tmp_path / 'val/photos'}", f"--output={tmp_path / 'out'}")
    assert printed.count("are decoded by Pillow") == printed.count("skipped in") == 1, printed


def test_a_palette_that_determines_the_number_of_classes_limits_dontcare(evaluate, tmp_path):
    for kind in ("photos", "labels"):
        (tmp_path / "val" / kind).mkdir(parents=True)
        Image.new("RGB", (16, 16), "red").save(tmp_path / "val" / kind / "a.png")
    (tmp_path / "palette.txt").write_text("0 0 0\n255 0 0\n")
    data = [f"--config.data.root={tmp_path}", f"--config.data.palette={tmp_path / 'palette.txt'}", "--config.data.image_size=16,16"]
    out = [f"--images={tmp_path / 'val/photos'}", f"--output={tmp_path / 'out'}", "--protocol=plain"]
    said = evaluate("--config=configs/custom.py", *data, *out, "--config.data.dontcare_id=255")
    assert "data.dontcare_id=255 is not" in said and "below data.num_classes=2" in said
