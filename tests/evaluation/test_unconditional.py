"""Laws of the evaluation of models without label maps: as many samples as the protocol says, each a function of its seed alone."""
import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.labels import DataError
from oasis_jax.evaluation.report import best_and_worst
from oasis_jax.evaluation.validation import Validation
from oasis_jax.metrics.protocols import Protocol, find_protocol
from oasis_jax.parallel.mesh import make_mesh
from oasis_jax.pictures import save_png
from tests import tiny_evaluation, toy_family
from tests.tiny_evaluation import UNCONDITIONAL, make_unconditional


@pytest.fixture
def toy(tmp_path):
    """(Validation of 5 examples and 13 samples in batches of 4, averaged model, the run's `own_networks`)."""
    return make_unconditional(tmp_path / "cache")


def evaluate(validation, model, own=None, **options):
    return validation.evaluate(validation.samples(model), {}, own, **options)


def test_there_are_as_many_samples_as_the_protocol_says_and_raw_ones_as_there_are_photos(toy, monkeypatch):
    validation, model, _ = toy
    counted, finish = [], toy_family.ScoreGap.finish
    monkeypatch.setattr(toy_family.ScoreGap, "finish", lambda *args: (counted.extend(each.images for each in args[1:]), finish(*args))[1])
    report = evaluate(*toy)
    assert report.images == {"generated": 13, "real": 5} and counted == [5, 5]
    assert {"fd_vgg16", "kd_vgg16_x1000", "texture_distance", "score_gap_of_set"} < report.scores.keys()
    found = json.loads(report.as_json())
    assert found["images"] == {"generated": 13, "real": 5} and found["protocol"]["num_samples"] == 13
    assert best_and_worst(validation.samples(model), validation.photos, report) == []


def test_any_sample_is_reproduced_from_its_seed(toy):
    validation, model, _ = toy
    validation.protocol = dataclasses.replace(UNCONDITIONAL, noise_seed=100)
    source = validation.samples(model)
    assert source.names[:2] == ["sample_000000", "sample_000001"] and len(source.names) == 13
    batches = list(source.batches(0, 13, 4))
    images = np.concatenate([batch.images[: batch.count] for batch in batches])
    assert len(images) == 13 and len(np.unique(images.reshape(13, -1), axis=0)) == 13
    for index in (0, 4, 12):
        np.testing.assert_array_equal(source.image(index), model.sample(1, seed=100 + index)[0])
        assert np.abs(source.image(index).astype(int) - images[index]).max() <= 1
    tail = np.concatenate([batch.images[: batch.count] for batch in source.batches(8, 13, 4)])
    np.testing.assert_array_equal(tail, images[8:])


def test_an_interrupted_evaluation_is_resumed_and_ends_equal(toy, tmp_path, monkeypatch):
    validation, model, own = toy
    whole = evaluate(*toy).scores
    again, _, _ = make_unconditional(tmp_path / "again")
    source = again.samples(model)
    batches = source.batches

    def interrupted(*part):
        for number, batch in enumerate(batches(*part)):
            if number == 3:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr("oasis_jax.evaluation.image_set.SAVE_EVERY_SECONDS", 0)
    monkeypatch.setattr(source, "batches", interrupted)
    with pytest.raises(KeyboardInterrupt):
        again.evaluate(source, {}, own)
    resumed, parts = again.samples(model), []
    batches = resumed.batches
    monkeypatch.setattr(resumed, "batches", lambda *part: (parts.append(part), batches(*part))[1])
    assert again.evaluate(resumed, {}, own).scores == whole
    assert parts == [(12, 13, 4)]


def test_samples_that_are_measured_are_not_generated_again_for_other_photos(toy, monkeypatch):
    validation, model, _ = toy
    first = evaluate(validation, model).scores
    validation.examples = dataclasses.replace(validation.examples, count=3)
    validation.photos.examples = validation.examples
    monkeypatch.setattr("oasis_jax.evaluation.sources.Samples.generate", None)
    report = evaluate(validation, model)
    assert report.images == {"generated": 13, "real": 3} and report.scores != first
    validation.protocol = dataclasses.replace(UNCONDITIONAL, noise_seed=1)
    with pytest.raises(TypeError):
        evaluate(validation, model)


def test_a_folder_may_hold_any_number_of_images_with_any_names(toy, tmp_path):
    validation, model, _ = toy
    source = validation.samples(model)
    for index in range(13):
        save_png(tmp_path / "images" / f"any {index:02d}.png", source.image(index))
    folder = validation.folder(tmp_path / "images")
    from_files, from_model = (validation.evaluate(each, {}) for each in (folder, source))
    assert from_files.images == {"generated": 13, "real": 5} and from_files.notes == from_model.notes
    assert from_files.scores == pytest.approx(from_model.scores, rel=1e-3)
    (tmp_path / "images" / "any 12.png").unlink()
    fewer = validation.evaluate(validation.folder(tmp_path / "images"), {})
    assert fewer.images["generated"] == 12 and any("uses 13 generated images, this set has 12" in note for note in fewer.notes)


def test_images_of_one_name_and_two_endings_are_two_images_as_they_are_two_photos(toy, tmp_path):
    validation, model, _ = toy
    image = validation.samples(model).image(0)
    for name in ("p1.png", "p2.png", "p2.jpg", "P2.png"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "images" / name)
    photos = open_split(DataSpec(layout="images", root=str(tmp_path / "images")), "train", ("image",))
    folder = validation.folder(tmp_path / "images")
    assert len(folder.files) == len(photos) == 4
    assert sorted(map(str, folder.files)) == sorted(example.files["image"] for example in photos.examples)


def test_images_of_a_folder_are_cropped_as_photos_are(tmp_path):
    """So a set is at distance zero from itself."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("red", "green", "blue"):
        image = Image.new("RGB", (64, 16), "white")
        image.paste(name, (24, 0, 40, 16))  # the window that remains
        image.save(folder / f"{name}.png")
    spec = DataSpec(layout="images", root=str(folder), val_root=str(folder), image_size=(16, 16), fit="crop")
    split = open_split(spec, "val", ("image",))
    made = Validation(find_protocol("plain"), split, spec, make_mesh(jax.devices()[:1]), cache=tmp_path / "cache")
    found = made.evaluate(made.folder(folder), {}).scores
    assert set(found.values()) == {0}


def test_a_folder_without_images_is_an_error(toy, tmp_path):
    (tmp_path / "images" / "subfolder").mkdir(parents=True)
    with pytest.raises(DataError, match="there are no images in .*not in subfolders"):
        toy[0].folder(tmp_path / "images")


def test_a_model_of_label_maps_is_refused_by_name(tmp_path):
    config = tiny_evaluation.make_config()
    validation = tiny_evaluation.make_validation(config, tmp_path)
    validation.protocol = UNCONDITIONAL
    with pytest.raises(DataError, match="protocol tiny generates 13 images .*a protocol without num_samples, such as .*fd-vgg16, plain"):
        validation.samples(tiny_evaluation.make_model(config))


def test_a_model_is_not_compared_with_photos_of_a_size_that_it_does_not_generate(toy):
    validation, model, _ = toy
    validation.examples = dataclasses.replace(validation.examples, spec=dataclasses.replace(validation.examples.spec, image_size=(32, 64)))
    with pytest.raises(DataError, match="generates 16x32 only, not 32x64"):
        validation.samples(model)


@pytest.mark.parametrize(
    ("most", "name", "max_images", "num_samples"),
    [
        (0, "p", 0, 50),
        (100, "p", 0, 50),
        (40, "p, 40 samples", 0, 40),
        (20, "p, first 20 examples, 20 samples", 20, 20),
    ],
)
def test_a_limit_holds_for_examples_and_samples_and_is_named(most, name, max_images, num_samples):
    limited = Protocol("p", num_samples=50).limited_to(most, 30)
    assert limited == Protocol(name, max_images=max_images, num_samples=num_samples)
    assert Protocol("p", max_images=10).limited_to(most or 15, 30).max_images == 10  # a limit never adds examples
