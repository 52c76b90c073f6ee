"""Laws of an evaluation, on tiny scenes: the numbers are the same if it is repeated, interrupted, spread over devices, or given files."""
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.labels import DataError
from oasis_jax.data.scenes import CLASS_NAMES
from oasis_jax.data.survey import Survey
from oasis_jax.evaluate import choose_protocol
from oasis_jax.evaluation.cache import remembered
from oasis_jax.evaluation.image_set import measure
from oasis_jax.evaluation.networks import Networks
from oasis_jax.evaluation.report import best_and_worst, valid_json, write_report
from oasis_jax.evaluation.sources import Targets
from oasis_jax.evaluation.validation import Validation
from oasis_jax.family import own_networks
from oasis_jax.metrics.colour import ColourDistance
from oasis_jax.metrics.feature_distances import FeatureDistances
from oasis_jax.metrics.metric import Measured
from oasis_jax.metrics.nets import vgg16
from oasis_jax.metrics.nets.label_spaces import LabelSpace
from oasis_jax.metrics.protocols import find_protocol
from oasis_jax.metrics.segmentation import MeanOver
from oasis_jax.metrics.texture import TextureDistance
from oasis_jax.oasis import family
from oasis_jax.oasis.scores import ScoresByDiscriminator
from oasis_jax.parallel.mesh import make_mesh
from oasis_jax.pictures import save_png
from oasis_jax.training.setup import score_direction
from tests.loopback import places
from tests.tiny_evaluation import NETWORKS, PROTOCOL, everything, extract, make_config, make_model, make_validation
from tests.tiny_run import random_state

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def config():
    return make_config()


@pytest.fixture
def model(config):
    return make_model(config)


@pytest.fixture
def validation(config, tmp_path):
    return make_validation(config, tmp_path / "cache")


def scores(validation, source, **options):
    return validation.evaluate(source, {}, **options).scores


def test_two_evaluations_are_equal_and_the_second_looks_at_no_image(validation, model, config, tmp_path, monkeypatch):
    first = scores(validation, validation.samples(model))
    assert {"fd_vgg16", "kd_vgg16_x1000", "miou", "colour_distance", "texture_distance"} < first.keys()
    assert scores(make_validation(config, tmp_path / "other"), validation.samples(model)) == first
    monkeypatch.setattr("oasis_jax.evaluation.image_set.Tally.add", None)
    assert scores(validation, validation.samples(model)) == first
    with pytest.raises(TypeError):
        scores(validation, validation.samples(model), keep=False)


def test_an_interrupted_evaluation_is_resumed_and_ends_equal(validation, model, config, tmp_path, monkeypatch):
    whole = scores(validation, validation.samples(model))
    again = make_validation(config, tmp_path / "again")
    source, seen = again.samples(model), []
    batches = source.batches

    def interrupted(*part):
        for batch in batches(*part):
            if len(seen) == 2:
                raise KeyboardInterrupt
            seen.append(part)
            yield batch

    monkeypatch.setattr("oasis_jax.evaluation.image_set.SAVE_EVERY_SECONDS", 0)
    monkeypatch.setattr(source, "batches", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scores(again, source)
    resumed = again.samples(model)
    parts, batches = [], resumed.batches
    monkeypatch.setattr(resumed, "batches", lambda *part: (parts.append(part), batches(*part))[1])
    assert scores(again, resumed) == whole
    assert parts == [(8, 10, 4)]


def test_other_weights_noise_or_labels_are_measured_again(validation, model, config):
    first = scores(validation, validation.samples(model))
    other = make_model(config, seed=1)
    assert scores(validation, validation.samples(other)) != first
    validation.protocol = dataclasses.replace(PROTOCOL, noise_seed=50)
    assert scores(validation, validation.samples(model)) != first


def test_real_photos_are_at_distance_zero_from_themselves_and_agree_as_the_ceiling_says(validation, tmp_path):
    for index, name in enumerate(validation.photos.names):
        save_png(tmp_path / "images" / f"{name}.png", validation.photos.image(index))
    report = validation.evaluate(validation.folder(tmp_path / "images"), {})
    assert report.scores["fd_vgg16"] < 1e-6
    assert report.scores["colour_distance"] == report.scores["texture_distance"] == 0
    assert report.scores["miou"] == report.real["miou"]


def test_images_of_a_checkpoint_score_the_same_from_files(validation, model, tmp_path):
    source = validation.samples(model)
    for index, name in enumerate(source.names):
        save_png(tmp_path / "images" / f"{name}.png", source.image(index))
    from_files, from_model = (scores(validation, s) for s in (validation.folder(tmp_path / "images"), source))
    assert from_files == pytest.approx(from_model, rel=1e-3)  # bytes may be rounded differently in a batch than in single images


def test_an_image_is_reproduced_from_its_seed(validation, model):
    validation.protocol = dataclasses.replace(PROTOCOL, samples_per_label=2)
    source = validation.samples(model)
    batches = list(source.batches(0, 20, 4))
    images = np.concatenate([batch.images[: batch.count] for batch in batches])
    assert len(images) == len(source.names) == 20
    for index in (0, 13):
        again = model.sample(validation.examples.label_map(index % 10), seed=index)[0]
        assert np.abs(again.astype(int) - images[index]).max() <= 1
    tail = np.concatenate([batch.images[: batch.count] for batch in source.batches(8, 20, 4)])
    assert (tail == images[8:]).all()


def assert_same(found, expected):
    """Checks that counts and texts are equal, and numbers to 1e-5."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_same(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_same(*pair)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)
    else:
        assert found == expected


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Results of one process on one device."""
    return json.loads(json.dumps(everything(tmp_path_factory.mktemp("alone"))))


def start(folder, devices, **environment):
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    command = [sys.executable, "-m", "tests.tiny_evaluation", folder, str(devices)]
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags} | environment
    return subprocess.Popen(command, env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def result(process):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


@pytest.mark.slow
def test_scores_do_not_depend_on_the_device_count(alone, tmp_path):
    found = result(start(tmp_path, 8))
    for report in ("report", "unconditional"):
        assert found[report]["scores"] == pytest.approx(alone[report]["scores"], rel=1e-5, abs=1e-7)


def test_several_processes_find_what_one_finds(alone, tmp_path):
    processes = [start(tmp_path, 1, **place) for place in places(2)]
    first, second = (result(process) for process in processes)
    assert first == second
    assert_same(first, alone)
    kept = 2 * (6 + 5 + 1)  # each process stores counts of its photos for six metrics, of its samples for five, of its raw samples for one
    unconditional = 2 * (4 + 3 + 1)
    assert len(list(tmp_path.glob("*.npz"))) == kept + unconditional


def test_the_report_says_the_whole_protocol_and_shows_best_and_worst(validation, model, tmp_path):
    source = validation.samples(model)
    report = validation.evaluate(source, {"checkpoint": "runs/x", "step": 7})
    panels = best_and_worst(source, validation.photos, report)
    write_report(tmp_path, report, panels)
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["protocol"]["noise_seed"] == 0 and found["protocol"]["image_size"] == [16, 32] and found["weights"] == {"quarters": "0"}
    markdown = (tmp_path / "report.md").read_text()
    assert all(name in markdown for name in (*report.scores, "samples_per_label", "sha256 of quarters", *CLASS_NAMES[1:]))
    shares = [[share for _, share, _ in rows] for _, rows in panels]
    assert shares[0] == sorted(shares[0], reverse=True) and shares[1] == sorted(shares[1]) and min(shares[0]) >= max(shares[1])
    assert (tmp_path / "pictures" / "best_0.png").exists() and "pictures/worst_4.png" in (tmp_path / "report.html").read_text()
    assert any("biased upwards" in note for note in report.notes)  # 10 images, 12 dimensions


def test_the_report_shows_what_the_data_hold(validation, tmp_path):
    pixels = np.arange(200)
    names = tuple(f"<class>{i}" for i in range(200))
    survey = Survey(7, pixels, None, pixels, notes=("odd name \udcff.png",), split="val", class_names=names)
    report = validation.evaluate(validation.samples(make_model(make_config())), {}, keep=False).with_data(survey)
    write_report(tmp_path, report)
    page, markdown = ((tmp_path / name).read_text() for name in ("report.html", "report.md"))
    assert "&lt;class&gt;199" in page and "&lt;class&gt;100<" not in page and "pictures" not in page
    assert "| <class>199 |" in markdown and "| <class>100 |" not in markdown
    assert all("absent (1 of 200)" in text and r"odd name \udcff.png" in text for text in (page, markdown))
    assert len(json.loads((tmp_path / "report.json").read_text())["data"]) == 200


def test_one_name_is_one_number_in_the_score_and_in_the_table(validation, model):
    report = validation.evaluate(validation.samples(model), {})
    of_classes = [row["colour"] for row in report.tables["per_class"]][1:]  # the don't-care class does not count
    assert report.scores["colour_distance"] == pytest.approx(np.nanmean(of_classes), rel=1e-12)


def test_scores_by_the_run_are_of_the_images_that_the_protocol_scores(validation, model, config):
    """The same numbers with and without a protocol that names further networks."""
    own = own_networks(config, model, random_state(config), validation.mesh)
    by_protocol = validation.evaluate(validation.samples(model), {}, own).scores
    validation.protocol, validation.networks = dataclasses.replace(PROTOCOL, features=""), Networks()
    plain = validation.evaluate(validation.samples(model), {}, own).scores
    assert {"colour_distance", "miou_by_d", "accuracy_by_d", "di_seg"} < plain.keys()
    assert {name: by_protocol[name] for name in plain} == plain


def test_dontcare_is_no_class_of_the_mean_even_if_d_predicts_it():
    confusion = np.array([[0, 0, 0], [1, 5, 0], [0, 0, 6]])  # a pixel of class 1 is predicted as class 0, don't-care
    discriminator = types.SimpleNamespace(module=types.SimpleNamespace(num_classes=3))
    measured = Measured(1, {"confusion": confusion}, {})
    for dontcare_id, expected in ((0, (5 / 6 + 1) / 2), (-1, (0 + 5 / 6 + 1) / 3)):
        found = ScoresByDiscriminator(discriminator, dontcare_id).finish(measured, measured).scores
        assert found["miou_by_d"] == found["miou_by_d_on_real_photos"] == pytest.approx(expected)


def test_lpips_is_missed_only_where_it_is_measured(validation, model):
    validation.protocol = dataclasses.replace(PROTOCOL, diversity_maps=2)
    with_diversity, without = (validation.evaluate(validation.samples(model), {}, diversity=each).notes for each in (True, False))
    assert any("lpips was not measured" in note for note in with_diversity) and not any("lpips" in note for note in without)


def test_diversity_is_none_where_noise_has_no_effect(validation, model):
    validation.protocol = dataclasses.replace(PROTOCOL, diversity_maps=2)

    def diversity(model):
        report = validation.evaluate(validation.samples(model), {}, diversity=True)
        columns = {name: np.array([row[name] for row in report.tables["per_class"]]) for name in report.tables["per_class"][0]}
        return report.scores["pixel_change_of_3_samples"], columns["pixel_change_inside"], columns["pixel_change_outside"]

    found, inside, outside = diversity(model)
    assert found > 0
    known = np.isfinite(inside)
    assert known.any() and (inside[known] > outside[known]).mean() > 0.5
    deaf = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * 0 if "shared" in str(path) or "conv_in" in str(path) else leaf, model.variables
    )
    assert diversity(dataclasses.replace(model, variables=deaf))[0] == 0


def test_missing_images_and_unknown_classes_are_named(validation, tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        validation.folder(tmp_path / "nowhere")
    (tmp_path / "images").mkdir()
    save_png(tmp_path / "images" / "stranger.png", np.zeros((16, 32, 3), np.uint8))
    with pytest.raises(DataError, match=rf"10 of 10 examples have no image .*first: {validation.photos.names[0]}, .*holds stranger"):
        validation.folder(tmp_path / "images")
    with pytest.raises(DataError, match="knows none of the classes"):
        Targets(validation.examples.split, LabelSpace(("a",), (999,), MeanOver.ALL), (16, 32))


@pytest.mark.parametrize("count, least_side, message", [
    (1, 1, "protocol plain, .* compares distributions of 2 images or more, the val split gives 1: raise eval.max_examples, "),
    (10, 32, "images of 16x32 are too small for vgg16, which needs 32x32: set a larger data.image_size, "),
])
def test_too_few_or_too_small_images_are_refused_before_any_is_measured(config, tmp_path, monkeypatch, count, least_side, message):
    networks = dataclasses.replace(NETWORKS, least_side=least_side, segmenter=None)
    monkeypatch.setattr("oasis_jax.evaluation.validation.load_networks", lambda *_: networks)
    spec = DataSpec.of_config(config.data)
    with pytest.raises(DataError, match=message):
        Validation(PROTOCOL.limited_to(count, 10), open_split(spec, "val"), spec, make_mesh(), cache=tmp_path)


@pytest.mark.parametrize("side, left", [(vgg16.LEAST_SIDE, 1), (vgg16.LEAST_SIDE - 1, 0)])
def test_vgg16_has_features_of_the_smallest_images_that_it_takes(side, left):
    image = jax.ShapeDtypeStruct((1, side, 64, 3), np.float32)
    (_, pool5), _ = jax.eval_shape(vgg16.VGG16Trunk().init_with_output, jax.random.key(0), image)
    assert pool5.shape == (1, left, 2, 512)


def test_without_a_folder_that_can_be_written_to_nothing_is_cached_and_the_scores_are_the_same(validation, model, config, tmp_path, capsys):
    folder = tmp_path / "file" / "cache"
    folder.parent.write_text("")
    uncached = make_validation(config, folder)
    assert scores(uncached, uncached.samples(model)) == scores(validation, validation.samples(model))
    assert remembered(folder, ["an identity"], lambda: 5) == 5
    assert capsys.readouterr().out.count(f"cannot write to {folder} (Not a directory), so measurements are not cached") == 1


def test_images_that_are_not_finite_have_no_scores(validation, model):
    broken = dataclasses.replace(model, variables=jax.tree.map(lambda leaf: leaf * np.nan, model.variables))
    with pytest.raises(ValueError, match="the generated images hold NaN or infinite numbers, so they have no scores"):
        validation.evaluate(validation.samples(broken), {}, keep=False)


def test_fields_that_change_no_image_measure_nothing_again(validation):
    identity, spec = validation.examples.identity, validation.examples.spec

    def changed(**fields):
        return dataclasses.replace(validation.examples, spec=dataclasses.replace(spec, **fields)).identity != identity

    assert not changed(workers=3, flip=False, class_names=tuple("abcdefghijkl"), train_labels="x", dontcare_id=1)
    other = dataclasses.replace(validation.examples.split, drawn_size=(48, 48))
    assert dataclasses.replace(validation.examples, split=other).identity != identity
    assert changed(fit="crop") and changed(image_size=(32, 32)) and changed(tfds_label="y")


def test_a_file_that_is_written_twice_in_a_second_is_measured_again(validation, tmp_path):
    found = []
    for value in (10, 200):  # BMPs of one size
        for name in validation.photos.names:
            Image.new("RGB", (32, 16), (value, 0, 0)).save(tmp_path / f"{name}.bmp")
            os.utime(tmp_path / f"{name}.bmp", ns=(10**18, 10**18 + value))
        found.append(scores(validation, validation.folder(tmp_path)))
    assert found[0] != found[1]


def test_features_that_are_not_finite_name_the_image(validation, tmp_path):
    broken = FeatureDistances("fd", "kd", lambda images: extract(images).at[1].set(jnp.nan), NETWORKS.dimensions)
    with pytest.raises(ValueError, match="image 1 "):
        measure(validation.photos, [broken], 4, tmp_path)


def test_a_metric_that_is_measured_is_not_measured_again_for_another(validation, tmp_path, monkeypatch):
    (colours,) = measure(validation.photos, [ColourDistance(len(CLASS_NAMES))], 4, tmp_path)
    monkeypatch.setattr(ColourDistance, "add", None)
    again, textures = measure(validation.photos, [ColourDistance(len(CLASS_NAMES)), TextureDistance()], 4, tmp_path)
    assert again.images == textures.images == 10
    np.testing.assert_array_equal(again.counts["by_class"], colours.counts["by_class"])


def test_a_damaged_file_of_counts_is_measured_again(validation, tmp_path):
    (whole,) = measure(validation.photos, [TextureDistance()], 4, tmp_path)
    (file,) = tmp_path.glob("*.npz")
    file.write_bytes(file.read_bytes()[:40])
    (again,) = measure(validation.photos, [TextureDistance()], 4, tmp_path)
    np.testing.assert_array_equal(again.counts["patterns"], whole.counts["patterns"])


def test_protocols_are_found_by_name_and_by_data_set(config):
    with pytest.raises(ValueError, match="did you mean cityscapes-oasis"):
        find_protocol("cityscape-oasis", family.protocols)
    for layout, num_classes, categories, name in (
        ("cityscapes", 35, (), "cityscapes-oasis"),
        ("ade20k", 151, ("beach",), "ade20k-outdoors-oasis"),
        ("coco_stuff", 183, (), "coco-stuff-oasis"),
        ("folders", 12, (), "plain"),
    ):
        other = make_config()
        other.data.update(layout=layout, num_classes=num_classes, scene_categories=categories)
        assert family.default_protocol(other) == choose_protocol(other).name == name
    assert choose_protocol(config).name == "plain" and choose_protocol(config, "camvid-espnet").segmenter == "espnet"


def test_the_best_checkpoint_is_chosen_by_a_score_that_is_measured(config):
    directions = {}
    for name in ("colour_distance", "texture_distance", "miou_by_d", "fid", "kid_x1000", "miou"):
        config.eval.score, config.eval.protocol = name, "cityscapes-oasis"
        directions[name] = score_direction(config)
    assert directions == {name: "miou" in name for name in directions}
    config.eval.score, config.eval.protocol = "fid", ""
    with pytest.raises(ValueError, match="eval.score=fid is not one of colour_distance, .*measured with no eval.protocol"):
        score_direction(config)


DAMAGES = {
    "lost": lambda file: file.unlink(),
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:200]),
    "a header without a quote": lambda file: file.write_bytes(file.read_bytes().replace(b"'fortran_order'", b"{fortran_order'")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_rows_that_are_damaged_are_measured_again(validation, tmp_path, damage):
    metrics = [FeatureDistances("fd", "kd", extract, NETWORKS.dimensions)]
    (whole,) = measure(validation.photos, metrics, 4, tmp_path)
    expected = np.array(whole.rows["features"])
    (rows,) = tmp_path.glob("*.features.npy")
    damage(rows)
    (again,) = measure(validation.photos, metrics, 4, tmp_path)
    np.testing.assert_array_equal(again.rows["features"], expected)


def test_two_metrics_that_count_the_same_are_refused(validation, tmp_path):
    with pytest.raises(ValueError, match="same identity"):
        measure(validation.photos, [TextureDistance(), TextureDistance()], 4, tmp_path)


def test_a_score_that_is_not_defined_is_null():
    scores = {"a": float("nan"), "b": {"c": [1, float("inf"), -float("inf"), 0.5]}, "d": None}
    assert json.loads(valid_json(scores), parse_constant=pytest.fail) == {"a": None, "b": {"c": [1, None, None, 0.5]}, "d": None}
