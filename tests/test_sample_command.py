"""Laws of the sampling command."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import oasis_jax
from oasis_jax import recipe_file, sample, series
from oasis_jax.data.labels import DataError, LabelRule, read_label_map, resize_label_map
from oasis_jax.noise import Regions, class_noise, slerp
from oasis_jax.recipes import Recipe
from oasis_jax.sample_labels import class_colours, find_label_files
from oasis_jax.sample_options import find_class
from tests.sample_options import sample_options
from tests.tiny_run import CLASS_NAMES, IMAGE_SIZE, save_run, tiny_config

UNLABELLED, ROAD, CAR, SKY = range(4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model whose labels are stored as class - 1, and 255 for don't care."""
    config = tiny_config()
    config.data.label_offset = 1
    config.data.label_map = "255:0"
    workdir = tmp_path_factory.mktemp("run")
    save_run(workdir, config)
    return workdir


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    for name in ("a", "b"):
        stored = np.full((32, 64), SKY - 1, np.uint8)
        stored[16:], stored[20:28, 10:40], stored[:2] = ROAD - 1, CAR - 1, 255
        Image.fromarray(stored if name == "a" else stored[:, ::-1]).save(folder / f"{name}.png")
    return folder


def sampled(run, labels, output, **flags):
    """Runs the command in this process: (samples.json, {file: image})."""
    sample.run(sample_options(run, output, labels=str(labels), **flags))
    summary = json.loads((output / "samples.json").read_text())
    return summary, {record["file"]: np.asarray(Image.open(output / record["file"])) for record in summary["images"]}


def reproduced(summary, record):
    """The image of a record, by the library and the numbers in samples.json alone."""
    model = oasis_jax.load(summary["checkpoint"])
    data = model.config.data
    rule = LabelRule(model.num_classes, data.label_offset, {255: 0})
    ids = resize_label_map(read_label_map(record["label_file"], rule), summary["size"])

    def noise(side):
        overrides = {model.class_names.index(name): seed for name, seed in side["class_seeds"].items()}
        return class_noise(side["seed"], overrides, model.num_classes, model.config.model.z_dim)

    vectors = noise(record)
    if "interpolation" in record:
        vectors = slerp(vectors, noise(record["interpolation"]), record["interpolation"]["t"])
    return model.sample(ids, noise=vectors[None])[0]


@pytest.mark.parametrize(
    "flags",
    [
        {"seed": 4, "count": 2},
        {"count": 2, "resample_classes": ["road", "2"], "noise_seed_per_class": ["sky=9"]},
        {"interpolate": 3, "resample_classes": ["car"], "size": "8x16"},
    ],
)
def test_any_image_is_reproduced_from_the_json(run, labels, tmp_path, flags):
    summary, images = sampled(run, labels, tmp_path / "out", **flags)
    assert len(images) == 2 * (flags.get("interpolate") or flags["count"])
    for record in summary["images"][1::2]:
        np.testing.assert_array_equal(reproduced(summary, record), images[record["file"]])


def test_command_writes_images_sheet_and_json_and_says_where(run, labels, tmp_path):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "oasis_jax.sample", f"--checkpoint={run}", f"--labels={labels}", f"--output={output}", "--seed=3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 images" in done.stdout and str(output) in done.stdout
    assert {path.name for path in output.iterdir()} == {"a_0.png", "b_0.png", "contact_sheet.png", "samples.json"}
    summary = json.loads((output / "samples.json").read_text())
    assert summary["step"] == 5 and summary["size"] == list(IMAGE_SIZE) and len(summary["config_sha256"]) == 64
    assert summary["command"].startswith("python -m oasis_jax.sample --checkpoint=") and summary["command"].endswith("--seed=3")
    assert summary["images"][1] == {"file": "b_0.png", "label_file": str(labels / "b.png"), "seed": 3, "class_seeds": {}}


def test_command_tells_errors_in_one_line_without_traceback(tmp_path):
    flags = [f"--checkpoint={tmp_path}", "--labels=x.png", f"--output={tmp_path / 'out'}"]
    done = subprocess.run([sys.executable, "-m", "oasis_jax.sample", *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not (tmp_path / "out").exists()
    assert done.stderr.strip().splitlines()[-1].startswith(f"sample: no checkpoint at {tmp_path}") and "Traceback" not in done.stderr


def test_sample_zero_is_that_of_its_seed_and_the_others_redraw_the_classes_alone():
    plain, redrawn = series.samples(Recipe(5), 1), series.samples(Recipe(5, {SKY: 9}), 3, resample_classes=(ROAD, CAR))
    np.testing.assert_array_equal(plain[0].noise(4, 8), class_noise(5, {}, 4, 8))
    assert redrawn[0] == Recipe(5, {SKY: 9})
    assert redrawn[2] == Recipe(5, {SKY: 9, ROAD: 7, CAR: 7})


def test_interpolation_starts_at_sample_zero_and_ends_at_sample_one():
    samples = series.samples(Recipe(2), 2)
    frames = series.interpolation(*samples, 5)
    assert [frame.t for frame in frames] == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_array_equal(frames[0].noise(4, 8), samples[0].noise(4, 8))
    np.testing.assert_array_equal(frames[-1].noise(4, 8), samples[1].noise(4, 8))


def test_contact_sheet_shows_the_label_map_and_its_samples(run, labels, tmp_path):
    sampled(run, labels, tmp_path / "out", count=3)
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert sheet.width > 4 * IMAGE_SIZE[1] and sheet.height > 2 * IMAGE_SIZE[0]


def test_model_without_noise_gives_one_sample(labels, tmp_path):
    save_run(tmp_path / "run", tiny_config(z_dim=0, num_blocks=1))
    ids = np.zeros((4, 4), np.uint8)
    Image.fromarray(ids).save(tmp_path / "ids.png")
    _, images = sampled(tmp_path / "run", tmp_path / "ids.png", tmp_path / "out")
    assert list(images) == ["ids_0.png"]
    with pytest.raises(ValueError, match="has no noise"):
        sampled(tmp_path / "run", tmp_path / "ids.png", tmp_path / "more", count=2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"resample_classes": ["roda"]}, r"no class 'roda'; did you mean road.* 0\.\.3"),
        ({"resample_classes": ["4"]}, "no class '4'"),
        ({"noise_seed_per_class": ["road"]}, "write class=seed pairs"),
        ({"noise_seed_per_class": ["road=3"], "resample_classes": ["road"]}, "class 1 is both in"),
        ({"interpolate": 1}, "give 2 frames or more"),
        ({"interpolate": 3, "count": 2}, "leave --count out"),
        ({"size": "16"}, "such as 256x512"),
        ({"size": "16x30"}, "nearest heights 16, widths 28 or 32"),
    ],
)
def test_options_that_do_not_fit_are_reported_before_anything_is_written(run, labels, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        sampled(run, labels, tmp_path / "out", **flags)
    assert not (tmp_path / "out").exists()


def test_an_output_folder_in_use_is_refused(run, labels, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="not an empty folder"):
        sampled(run, labels, tmp_path)


def test_all_label_files_at_fault_are_reported_and_nothing_is_written(run, tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "good.png")
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(folder / "beyond.png")
    whole = (folder / "good.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    faults = r"beyond.png holds id 7.*\n  .*truncated.png cannot be read"
    with pytest.raises(DataError, match=rf"2 of 3 label files cannot be used .*:\n  .*{faults}"):
        sampled(run, folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_label_files_are_named_by_file_folder_or_pattern(labels, tmp_path):
    everything = {"a": str(labels / "a.png"), "b": str(labels / "b.png")}
    assert find_label_files(str(labels))[0] == everything
    assert find_label_files(str(labels / "a.png"))[0] == {"a": str(labels / "a.png")}
    assert find_label_files(str(labels / "*.png"))[0] == everything
    for missing, message in (("none", "no such file or folder"), ("", r"holds no .*\.png"), ("*.gif", "match")):
        with pytest.raises(DataError, match=f"no label files.*{message}"):
            find_label_files(str(tmp_path / missing))


def test_a_pipe_is_no_label_file(tmp_path):
    os.mkfifo(tmp_path / "a.png")  # without a writer, whoever opens it waits for ever
    with pytest.raises(DataError, match="no label files at .*a.png: it is neither a file nor a folder"):
        find_label_files(str(tmp_path / "a.png"))
    assert find_label_files(str(tmp_path)) == ({}, [f"{tmp_path / 'a.png'} is neither a file nor a folder: remove it"])


def test_label_files_are_found_as_in_training_and_keep_their_paths_below_the_folder(tmp_path):
    for name in ("x/a.png", "y/z/a.webp", "b.tif", "._b.png", ".hidden/c.png", "notes.txt", "[1]/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = {"x/a", "y/z/a", "b", "[1]/d"}
    assert find_label_files(str(tmp_path))[0].keys() == names
    assert find_label_files(str(tmp_path / "**" / "*.*"))[0].keys() == names
    assert find_label_files(str(tmp_path / "*" / "*.png"))[0].keys() == {"x/a", "[1]/d"}
    assert find_label_files(str(tmp_path / "[1]"))[0].keys() == find_label_files(str(tmp_path / "[1]" / "d.png"))[0].keys() == {"d"}
    (tmp_path / "x" / "a.bmp").touch()
    (fault,) = find_label_files(str(tmp_path))[1]
    assert re.match(".*a.bmp and .*a.png are two label maps of one name", fault)


def test_what_is_wrong_with_the_folder_does_not_hide_what_is_wrong_with_label_files(run, labels, tmp_path):
    folder = tmp_path / "labels"
    shutil.copytree(labels, folder)
    os.mkfifo(folder / "pipe.png")
    (folder / "a.tif").touch()
    (folder / "empty.png").touch()
    with pytest.raises(DataError) as error:
        sampled(run, folder, tmp_path / "out")
    first, *faults = str(error.value).splitlines()
    assert first.startswith("3 of 5 label files cannot be used")
    assert len(faults) == 3 and all(sum(name in fault for fault in faults) == 1 for name in ("pipe.png", "a.tif", "empty.png"))


@pytest.mark.parametrize(
    "given, output, told",
    [
        ("labels", "labels/out", "would find samples in"),
        ("labels", "labels/x/y", "would find samples in"),
        ("link", "labels/out", "would find samples in"),
        ("labels", "link/out", "would find samples in"),
        ("labels/**/*.png", "labels/x/out", "would find samples in"),
        ("labels/*/*.png", "labels/out", "would find samples in"),
        ("labels/*.png", "labels", "holds label maps of"),
        ("labels", "labels", "holds label maps of"),
        ("labels/x", ".", "holds label maps of"),
        ("labels/a.png", "labels", "holds label maps of"),
        ("labels/*.png", "labels/out", ""),
        ("labels/**/a.png", "labels/out", ""),
        ("labels/a.png", "labels/out", ""),
        ("labels", "labels/.out", ""),  # hidden folders are passed over
        ("labels", "out/labels", ""),
        ("labels", "labels_out", ""),
    ],
)
def test_no_sample_becomes_a_label_map_of_the_next_call(run, labels, tmp_path, monkeypatch, given, output, told):
    """What is allowed can be done twice, into two folders, and gives the same."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(labels, "labels/x")
    shutil.copy(labels / "a.png", "labels")
    os.symlink("labels", "link")
    before = sorted(tmp_path.rglob("*"))
    if told:
        with pytest.raises(DataError, match=f"{told}.*: choose an --output elsewhere"):
            sampled(run, given, pathlib.Path(output))
        assert sorted(tmp_path.rglob("*")) == before
    else:
        files = find_label_files(given)
        assert sampled(run, given, pathlib.Path(output))[1] and find_label_files(given) == files


def test_label_files_of_one_name_in_two_folders_have_samples_of_their_own(run, labels, tmp_path):
    for folder in ("x", "y/z"):
        (tmp_path / "labels" / folder).mkdir(parents=True)
        shutil.copy(labels / "a.png", tmp_path / "labels" / folder)
    summary, images = sampled(run, tmp_path / "labels", tmp_path / "out", count=2)
    assert list(images) == ["x/a_0.png", "x/a_1.png", "y/z/a_0.png", "y/z/a_1.png"]
    np.testing.assert_array_equal(images["x/a_1.png"], images["y/z/a_1.png"])


def test_label_files_of_any_name_are_sampled(run, labels, tmp_path):
    (tmp_path / "labels").mkdir()
    for name in ("line\nend", "latin\udce9", "\u200b"):
        shutil.copy(labels / "a.png", tmp_path / "labels" / f"{name}.png")
    _, images = sampled(run, tmp_path / "labels", tmp_path / "out")
    assert images.keys() == {"line\nend_0.png", "latin\udce9_0.png", "\u200b_0.png"} and (tmp_path / "out/contact_sheet.png").exists()


def test_ids_without_a_class_can_be_mapped_as_the_message_says(run, labels, tmp_path):
    stored = np.array(Image.open(labels / "a.png"))
    stored[5, 5] = 9
    Image.fromarray(stored).save(tmp_path / "nine.png")
    with pytest.raises(DataError, match="(?s)--config.data.label_map=255:0 .*id 9.*map id 9") as fault:
        sampled(run, tmp_path / "nine.png", tmp_path / "out")
    assert "data.num_classes=" not in str(fault.value)  # a model has the classes that it has
    changed = ConfigDict({"data": {"label_map": "255:0,9:0", "label_offset": None, "palette": None}})
    _, images = sampled(run, tmp_path / "nine.png", tmp_path / "out", config=changed)
    assert list(images) == ["nine_0.png"]


@pytest.mark.parametrize("flags, told", [({}, True), ({"size": "8x160"}, False)])
def test_label_maps_that_are_squeezed_are_told_with_a_size_that_keeps_their_shape(run, tmp_path, capsys, flags, told):
    Image.fromarray(np.zeros((16, 320), np.uint8)).save(tmp_path / "a.png")
    sampled(run, tmp_path / "a.png", tmp_path / "out", **flags)
    line = f"1 of 1 label maps, such as {tmp_path / 'a.png'} of 16x320, are squeezed into the size of the training images, 16x32"
    assert (f"{line}; --size=16x320 keeps the shape" in capsys.readouterr().err) == told


def test_label_maps_of_the_shape_of_the_model_are_resized_without_a_word(run, labels, tmp_path, capsys):
    sampled(run, labels, tmp_path / "out")
    assert "squeezed" not in capsys.readouterr().err


def test_class_names_of_the_config_are_understood():
    assert [find_class(name, CLASS_NAMES) for name in ("sky", "0")] == [SKY, UNLABELLED]
    with pytest.raises(ValueError, match="2 classes are called 'void': give one of the numbers 0, 2"):
        find_class("void", ("void", "road", "void"))


@pytest.fixture(scope="module")
def recipe(run, tmp_path_factory):
    """A recipe.json as it is saved with an image, and the image."""
    path, model, ids = tmp_path_factory.mktemp("recipe") / "my street.json", oasis_jax.load(run), np.full(IMAGE_SIZE, SKY, np.uint8)
    ids[8:] = ROAD
    drawn = np.zeros(IMAGE_SIZE, np.uint8)
    drawn[4:12, 10:20] = 1
    recipe = Recipe(3, {ROAD: 5}, regions=Regions(drawn, ((7, 8, 0.25),)))
    recipe_file.write(path, str(run), ids, recipe, CLASS_NAMES, step=model.step)
    return path, model.images(model.inputs([recipe], {"label_map": ids[None]}))[0]


@pytest.mark.parametrize("checkpoint", [False, True], ids=["of the file", "given"])
def test_the_image_of_a_recipe_file_is_drawn_again(run, recipe, tmp_path, checkpoint):
    path, expected = recipe
    sample.run(sample_options(run if checkpoint else None, tmp_path / "out", recipe=str(path)))
    np.testing.assert_array_equal(Image.open(tmp_path / "out" / "my street_0.png"), expected)
    summary = json.loads((tmp_path / "out" / "samples.json").read_text())
    (record,) = summary["images"]
    assert record["recipe_file"] == str(path) and summary["checkpoint"] == str(run) and (tmp_path / "out" / "contact_sheet.png").exists()
    assert Recipe.from_json(record, CLASS_NAMES) == recipe_file.open_file(path).recipe


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"seed": 4, "labels": "DIR", "path": ["0:1", "1:1"]}, "--recipe says what is drawn: omit --labels and --seed and --path"),
        ({"best": True}, "omit --best"),
        ({"config": ConfigDict({"data": {"label_map": "255:0", "palette": None}})}, "omit --config.data.label_map"),
    ],
)
def test_options_that_a_recipe_file_answers_are_refused(recipe, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        sample.run(sample_options(None, tmp_path / "out", recipe=str(recipe[0]), **flags))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"step": 4}, "of step 4 of .*, which has step 5 now: give --checkpoint=.* to draw it with that"),
        ({"model": "gs://bucket/run"}, "on another machine: give --checkpoint=gs://bucket/run"),
        ({"classes": [*CLASS_NAMES[:3], "sea"]}, "are not those of the model: such as 'sea' instead of 'sky'"),
        ({"classes": [*CLASS_NAMES, "sea"]}, "are not those of the model: 5 instead of 4"),
        ({"noise": "const"}, "has the noise 'const', but the model has no choice of noise"),
        ({"label_map": None, "classes": None, "recipe": {"seed": 1}}, "has no label map, but the model takes one"),
        ({"format": 2}, r"my street.json: its format is 2"),
    ],
)
def test_a_recipe_file_that_does_not_fit_is_told(recipe, tmp_path, changed, message):
    record = json.loads(recipe[0].read_text()) | changed
    (tmp_path / "my street.json").write_text(json.dumps({name: value for name, value in record.items() if value is not None}))
    with pytest.raises(ValueError, match=message):
        sample.run(sample_options(None, tmp_path / "out", recipe=str(tmp_path / "my street.json")))
    assert not (tmp_path / "out").exists()


def test_a_model_of_procedural_scenes_needs_no_label_files(tmp_path, capsys):
    config = tiny_config(num_blocks=1)
    config.data.update(layout="scenes", num_classes=12, class_names=())
    save_run(tmp_path / "run", config)
    sample.run(sample_options(tmp_path / "run", tmp_path / "out", size="16x16"))
    assert {path.name for path in (tmp_path / "out").glob("scene_*")} == {f"scene_{i}_0.png" for i in range(4)}
    assert "no --labels are given: the label maps are 4 procedural scenes" in capsys.readouterr().err


def test_without_labels_a_model_of_other_data_says_so(run, tmp_path):
    with pytest.raises(ValueError, match="this model takes label maps: give --labels=DIR"):
        sample.run(sample_options(run, tmp_path / "out"))


def test_classes_have_the_colours_of_the_palette_that_a_model_was_trained_with(run):
    model = oasis_jax.load(run)  # class = stored id + 1
    assert len(np.unique(class_colours(model), axis=0)) == 4
    model.config.data.palette_colours = ("112 168 224", "9 9 9")
    colours = class_colours(model).tolist()
    assert colours[1:3] == [[112, 168, 224], [9, 9, 9]] and len({tuple(colour) for colour in colours}) == 4
