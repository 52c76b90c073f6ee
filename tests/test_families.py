"""The family interface is sufficient: a family that no shared code knows is trained, resumed, evaluated and sampled."""
import json
import types
import zipfile

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import oasis_jax
from oasis_jax import evaluate, sample
from oasis_jax.checkpoint import load_config, load_state
from oasis_jax.family import find_family
from oasis_jax.training.loop import train_and_evaluate
from tests import toy_family
from tests.sample_options import sample_options


@pytest.fixture(scope="module", autouse=True)
def installed():
    toy_family.install()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("toy")
    return workdir, train_and_evaluate(toy_family.get_config(), workdir)


def test_it_trains_and_shows_its_images_with_their_seeds(run):
    workdir, scores = run
    assert {"colour_distance_l", "texture_distance", "score_gap_of_set"} <= scores.keys()
    assert not {"colour_distance", "miou_by_d"} & scores.keys()  # these need label maps, which it does not have
    assert (workdir / "samples" / "step_0000006.png").exists() and (workdir / "losses.png").exists()
    assert not (workdir / "labels").exists()


def test_it_resumes_exactly(run, tmp_path):
    config = toy_family.get_config()
    with config.unlocked():
        config.train.num_steps = 3
    train_and_evaluate(config, tmp_path)
    train_and_evaluate(toy_family.get_config(), tmp_path)
    once, twice = (load_state(workdir) for workdir in (run[0], tmp_path))
    np.testing.assert_equal(once, twice)


def test_it_is_evaluated_by_the_command_with_the_numbers_of_the_loop(run, tmp_path):
    workdir, scores = run
    report = evaluated(workdir, tmp_path, checkpoint=str(workdir), protocol="")
    assert {name: report.scores[name] for name in scores} == pytest.approx(scores, rel=1e-6)


def evaluated(workdir, output, **options):
    options = dict(checkpoint=None, images=None, output=str(output), protocol="toy-13", best=False) | options
    return evaluate.run(types.SimpleNamespace(**options), ConfigDict(load_config(workdir)))


def test_a_protocol_can_ask_for_more_samples_than_there_are_training_images(run, tmp_path):
    report = evaluated(run[0], tmp_path, checkpoint=str(run[0]))
    assert report.images == {"generated": 13, "real": 8}
    assert "| num_samples | 13 |" in report.as_markdown() and np.isfinite(report.scores["score_gap_of_set"])


def test_its_samples_in_files_score_as_the_run_does_whatever_they_are_called(run, tmp_path):
    sample.run(sample_options(run[0], tmp_path / "samples", count=13))
    from_run = evaluated(run[0], tmp_path / "report", checkpoint=str(run[0]))
    from_files = evaluated(run[0], tmp_path / "report", images=str(tmp_path / "samples"))
    assert from_files.images == from_run.images
    assert from_files.scores == pytest.approx({name: from_run.scores[name] for name in from_files.scores}, rel=1e-3)


def test_training_limits_samples_and_examples_and_says_so(tmp_path):
    config = toy_family.get_config()
    with config.unlocked():
        config.train.num_steps = 1
        config.eval.update(protocol="toy-13", max_examples=6)
    train_and_evaluate(config, tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text())["protocol"] == "toy-13, first 6 examples, 6 samples"
    report = json.loads((tmp_path / "evaluation" / "training" / "report.json").read_text())
    assert report["images"] == {"generated": 6, "real": 6} and report["protocol"]["split"] == "train"


def test_it_trains_on_a_zip_of_photos_and_is_compared_with_all_of_them(tmp_path):
    config = toy_family.get_config()
    noise = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), np.uint8)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        for number, photo in enumerate(noise):
            with file.open(f"00000/img{number:08d}.png", "w") as member:
                Image.fromarray(photo).save(member, "PNG")
    config.data.update(layout="images", root=str(tmp_path / "photos.zip"), fit="crop")
    config.train.num_steps = 1
    train_and_evaluate(config, tmp_path / "run")
    report = json.loads((tmp_path / "run" / "evaluation" / "training" / "report.json").read_text())
    assert report["images"] == {"generated": 5, "real": 5} and report["protocol"]["resize"].startswith("largest centred window")


def test_it_is_sampled_by_the_command_and_any_image_is_reproduced_from_its_seed(run, tmp_path):
    sample.run(sample_options(run[0], tmp_path / "out", count=3, seed=5))
    records = json.loads((tmp_path / "out" / "samples.json").read_text())["images"]
    model = oasis_jax.load(run[0])
    assert [record["seed"] for record in records] == [5, 6, 7]
    for record in records:
        image = np.asarray(Image.open(tmp_path / "out" / record["file"]))
        np.testing.assert_array_equal(model.sample(1, seed=record["seed"])[0], image)


def test_options_for_label_maps_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match="takes no --labels"):
        sample.run(sample_options(run[0], tmp_path / "out", labels="labels/"))
    with pytest.raises(ValueError, match="has no classes: omit --resample_classes"):
        sample.run(sample_options(run[0], tmp_path / "out", resample_classes=["road"]))


def test_a_family_that_does_not_exist_is_an_error_that_lists_those_that_do():
    with pytest.raises(ValueError, match="family=pix2pix is not one of .*oasis"):
        find_family(ConfigDict({"family": "pix2pix"}))
