"""Laws of the data sets that the sampling command writes."""
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from configs import custom
from oasis_jax import sample, sampling
from oasis_jax.data.check import check_split
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.labels import DataError, LabelRule, read_label_map, resize_label_map
from oasis_jax.data.palette import as_field, read_palette
from oasis_jax.sample_dataset import prepare
from tests.sample_options import sample_options
from tests.tiny_run import CLASS_NAMES, IMAGE_SIZE, save_run, tiny_config

UNLABELLED, ROAD, CAR, SKY = range(4)
RULE = LabelRule(4, 1, {255: 0})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run of a model whose label files store class - 1, and 255 for don't-care."""
    config = tiny_config()
    config.data.update(label_offset=1, label_map="255:0")
    save_run(workdir := tmp_path_factory.mktemp("run"), config)
    return workdir


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Three label files of twice the image size: road and sky, one also with a car."""
    folder = tmp_path_factory.mktemp("labels")
    stored = np.full((32, 64), SKY - 1, np.uint8)
    stored[16:, 8:], stored[:2] = ROAD - 1, 255
    for name in ("a", "b", "c d"):
        stored = np.roll(stored, 4, axis=1)
        if name == "b":
            stored[20:28, 10:40] = CAR - 1
        Image.fromarray(stored).save(folder / f"{name}.png")
        stored[20:28, 10:40] = ROAD - 1
    return folder


def written(run, labels, output, **flags):
    """Runs the command in this process; returns (samples.json, {label map of a pair: ids as written})."""
    sample.run(sample_options(run, output, labels=str(labels), as_dataset=True, **flags))
    summary = json.loads((output / "samples.json").read_text())
    return summary, {record["labels"]: np.asarray(Image.open(output / record["labels"])) for record in summary["images"]}


def fitted(path):
    return resize_label_map(read_label_map(path, RULE), IMAGE_SIZE)


def test_pairs_of_given_label_maps_fit_and_are_listed(run, labels, tmp_path):
    output = tmp_path / "out"
    summary, ids = written(run, labels, output, count=2, seed=3, mirror=True)
    names = [f"{name}{mirrored}_{k}" for name in ("a", "b", "c_d") for mirrored in ("", "_mirrored") for k in range(2)]
    assert list(ids) == [f"train/labels/{name}.png" for name in names]
    listed = [line.split() for line in (output / "train.txt").read_text().splitlines()]
    assert listed == [[f"train/photos/{name}.png", f"train/labels/{name}.png"] for name in names]
    assert [record["seed"] for record in summary["images"]] == list(range(3, 15))  # no two images have the same noise
    for record, (photo, label_file) in zip(summary["images"], listed, strict=True):
        assert (record["file"], record["labels"]) == (photo, label_file)
        assert np.asarray(Image.open(output / photo)).shape == (*IMAGE_SIZE, 3) and ids[label_file].dtype == np.uint8
        expected = fitted(record["label_file"])
        expected = expected[:, ::-1] if record.get("mirrored") else expected
        np.testing.assert_array_equal(np.array([255, 0, 1, 2])[expected], ids[label_file])  # the ids of the real label files
    found = {path.relative_to(output).as_posix() for path in output.rglob("*.*")}
    assert found == {*sum(listed, []), "train.txt", "palette.txt", "contact_sheet.png", "samples.json"}


@pytest.mark.parametrize("label_ids", [None, "classes"])
def test_the_images_are_reproduced_from_the_label_maps_that_are_written(run, labels, tmp_path, label_ids):
    summary, _ = written(run, labels, tmp_path / "out", examples=3, mirror=True, mix=["car"], seed=8, label_ids=label_ids)
    record = summary["images"][2]
    changed = ConfigDict({"data": {"label_map": "", "label_offset": 0, "palette": None}}) if label_ids else None
    again = sample_options(run, tmp_path / "again", labels=str(tmp_path / "out" / record["labels"]), seed=record["seed"], config=changed)
    sample.run(again)
    first, second = (np.asarray(Image.open(path)) for path in (tmp_path / "out" / record["file"], tmp_path / "again/example_000010_0.png"))
    np.testing.assert_array_equal(first, second)


def test_a_pair_depends_on_its_seed_alone(run, labels, tmp_path):
    how = {"mirror": True, "mix": ["car", "sky"], "favour_rare": True}
    written(run, labels, tmp_path / "all", examples=4, seed=2, **how)
    written(run, labels, tmp_path / "last", examples=2, seed=4, **how)
    for folder in ("photos", "labels"):
        files = sorted((tmp_path / "last/train" / folder).iterdir())
        assert [file.name for file in files] == ["example_000004.png", "example_000005.png"]
        assert all(file.read_bytes() == (tmp_path / "all/train" / folder / file.name).read_bytes() for file in files)


def test_pasted_regions_are_recorded(run, labels, tmp_path):
    summary, ids = written(run, labels, tmp_path / "out", examples=6, mix=["car"])
    for record in summary["images"]:
        pasted = record.get("pasted", [])
        assert bool(pasted) == (os.path.basename(record["label_file"]) != "b.png")  # the only one with a car, which changes nothing there
        assert {each["class"] for each in pasted} <= {"car"} and (ids[record["labels"]] == CAR - 1).any()
        assert all(os.path.basename(each["label_file"]) == "b.png" for each in pasted)


def spec_as_told(dataset, output, **val):
    """The DataSpec of the training command that the sampling command prints, with folders of real pairs to validate."""
    config = custom.get_config()
    fields = {"image_size": IMAGE_SIZE, "resize_size": ()}
    for flag in dataset.training_flags(output):
        name, value = flag.removeprefix("--config.data.").split("=", 1)
        kind = type(config.data[name])
        fields[name] = tuple(value.split(",")) if kind is tuple else kind(value)
    config.data.update(fields | val)
    return DataSpec.of_config(config.data)


@pytest.mark.parametrize(
    ("fields", "suffixes"),
    [
        ({"layout": "folders"}, {}),
        ({"layout": "folders", "label_suffix": "_mask"}, {"label_suffix": "_mask"}),
        ({"layout": "cityscapes"}, {"photo_suffix": "_leftImg8bit", "label_suffix": "_gtFine_labelIds"}),
        ({"layout": "tfds:a", "label_suffix": "_mask"}, {}),
    ],
)
def test_the_training_command_finds_real_pairs_by_their_suffixes(run, labels, tmp_path, fields, suffixes):
    model = sampling.load(run)
    model.config.data.update(fields)
    dataset = prepare(model, sample_options(run, tmp_path / "out", labels=str(labels), as_dataset=True))
    told = dict(flag.removeprefix("--config.data.").split("=", 1) for flag in dataset.training_flags(tmp_path / "out"))
    assert {name: value for name, value in told.items() if name.endswith("suffix")} == suffixes


@pytest.mark.parametrize("label_ids", [None, "classes"])
def test_the_training_command_reads_what_was_written(run, labels, tmp_path, label_ids):
    """With the flags that the command prints, the pairs pass the data check and are read as the model's classes."""
    options = sample_options(run, tmp_path / "out", labels=str(labels), as_dataset=True, label_ids=label_ids, mirror=True)
    model = sampling.load(run)
    dataset = prepare(model, options)
    dataset.write(tmp_path / "out")
    spec = spec_as_told(dataset, tmp_path / "out", **{f"val_{kind}": f"train/{kind}" for kind in ("photos", "labels")})
    for name in ("train", "val"):
        split = open_split(spec, name)
        survey = check_split(split, spec, remember=False)
        assert len(split) == 6 and split.class_names == CLASS_NAMES and survey.pixels[CAR] > 0
    number = {example.name: i for i, example in enumerate(split.examples)}
    for name, (classes, _) in zip(dataset.names, dataset.labels(), strict=True):
        np.testing.assert_array_equal(split.rule(split.read(number[name])["label_map"]), classes)


PALETTE = np.array([[9, 9, 9], [200, 0, 0], [0, 200, 0], [0, 0, 200], [7, 7, 200]], np.uint8)


@pytest.mark.parametrize("in_colour", [False, True], ids=["ids", "colours"])
@pytest.mark.parametrize(
    ("label_ids", "offset", "label_map", "stored"),
    [
        (None, 0, "4:0", (4, 0, 1, 2, 3)),
        ("classes", 0, "4:0", (4, 0, 1, 2, 3)),  # ids that are classes anyway
        (None, 1, "3:0,4:2", (3, 0, 1, 2, 4)),
        (None, 0, "0:2,4:0", (4, 1, 0, 2, 3)),  # class 2 is written as id 2, although id 0 stands for it too
    ],
)
def test_real_label_files_validate_with_the_training_command(tmp_path, label_ids, offset, label_map, stored, in_colour):
    """Of every id that the model was trained on, also those that share a class."""
    config = tiny_config()
    config.data.update(label_offset=offset, label_map=label_map, palette_colours=as_field(PALETTE if in_colour else None))
    save_run(tmp_path / "run", config)
    real = np.repeat(np.array(stored, np.uint8), 4)[:, None].repeat(40, 1)
    for folder, array in (("photos", PALETTE[real]), ("labels", PALETTE[real] if in_colour else real)):
        (tmp_path / "real" / folder).mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / "real" / folder / "a.png")
    options = sample_options(tmp_path / "run", tmp_path / "out", labels=str(tmp_path / "real/labels"), as_dataset=True, label_ids=label_ids)
    dataset = prepare(sampling.load(tmp_path / "run"), options)
    dataset.write(tmp_path / "out")
    assert "must hold classes" not in dataset.told(tmp_path / "out")
    val = {f"val_{kind}": str(tmp_path / "real" / kind) for kind in ("photos", "labels")}
    spec = spec_as_told(dataset, tmp_path / "out", **val)
    classes = {}
    for name in ("train", "val"):
        split = open_split(spec, name)
        assert check_split(split, spec, remember=False).pixels.all() and split.class_names == CLASS_NAMES
        classes[name] = resize_label_map(split.rule(split.read(0)["label_map"]), IMAGE_SIZE)
    np.testing.assert_array_equal(classes["train"], classes["val"])
    colours, names = read_palette(tmp_path / "out/palette.txt")
    assert all(names[i] == CLASS_NAMES[split.rule.table[i]] for i in range(len(names)))
    if in_colour:
        np.testing.assert_array_equal(colours, PALETTE)


def test_the_palette_of_a_run_lends_no_colour_of_one_id_to_another(run, labels, tmp_path):
    """An id without a row in the palette of the run has a colour that no row has, even if another id of its class has one."""
    model = sampling.load(run)
    model.config.data.update(palette_colours=as_field(PALETTE[:3]), label_offset=0, label_map="0:3")
    options = sample_options(run, tmp_path / "out", labels=str(labels), as_dataset=True)
    options.config = ConfigDict({"data": {"label_map": "255:1", "label_offset": 1, "palette": None}})  # how the files in `labels` are read
    (tmp_path / "palette.txt").write_text(prepare(model, options).palette())
    colours, names = read_palette(tmp_path / "palette.txt")
    np.testing.assert_array_equal(colours[:3], PALETTE[:3])
    assert names == ("sky", "road", "car", "sky")


def test_classes_instead_of_ids_are_asked_of_real_label_maps_too(run, labels, tmp_path):
    """Label files of the training data would be read as other classes, often without an error."""
    told = {}
    for label_ids in (None, "classes"):
        options = sample_options(run, tmp_path / "out", labels=str(labels), as_dataset=True, label_ids=label_ids)
        told[label_ids] = prepare(sampling.load(run), options).told(tmp_path / "out")
    assert "must hold classes" not in told[None]
    assert "The real label maps must hold classes 0..3 too" in told["classes"] and "without --label_ids=classes" in told["classes"]


def test_real_and_generated_pairs_are_mixed_by_links(run, labels, tmp_path):
    """By default the ids are those of the real label files."""
    written(run, labels, tmp_path / "out")
    for folder, suffix in (("photos", "RGB"), ("labels", "L")):
        (tmp_path / "real/train" / folder).mkdir(parents=True)
        os.symlink(tmp_path / "out/train" / folder, tmp_path / "real/train" / folder / "generated")
        image = Image.open(labels / "a.png") if folder == "labels" else Image.new(suffix, (64, 32))
        image.save(tmp_path / "real/train" / folder / "a.png")
    spec = DataSpec(root=str(tmp_path / "real"), num_classes=4, label_offset=1, label_map="255:0", image_size=IMAGE_SIZE)
    split = open_split(spec, "train")
    assert len(split) == 4 and check_split(split, spec, remember=False).pixels.sum() == 32 * 64 + 3 * 16 * 32


def test_the_palette_names_the_ids_that_are_written(run, labels, tmp_path):
    written(run, labels, tmp_path / "out")
    colours, names = read_palette(tmp_path / "out/palette.txt")
    assert names[:3] == CLASS_NAMES[1:] and names[255] == "unlabelled" and set(names[3:255]) == {"unused"} and len(colours) == 256
    written(run, labels, tmp_path / "classes", label_ids="classes")
    assert read_palette(tmp_path / "classes/palette.txt")[1] == CLASS_NAMES


def test_a_model_of_procedural_scenes_needs_no_label_files(tmp_path):
    config = tiny_config(num_blocks=1)
    config.data.update(layout="scenes", num_classes=12, class_names=())
    save_run(tmp_path / "run", config)
    sample.run(sample_options(tmp_path / "run", tmp_path / "out", as_dataset=True, examples=3, size="16x16"))
    assert len(list((tmp_path / "out/train/labels").iterdir())) == 3


def test_ids_take_16_bits_where_8_do_not_do(run, labels, tmp_path):
    model = sampling.load(run)
    model.config.data.update(label_offset=-299, label_map="7:0")
    options = sample_options(run, tmp_path / "out", labels=str(labels), as_dataset=True)
    options.config = ConfigDict({"data": {"label_map": "255:0", "label_offset": 1, "palette": None}})  # how the files in `labels` are read
    dataset = prepare(model, options)
    assert dataset.stored.dtype == np.uint16 and dataset.stored.tolist() == [299, 300, 301, 302]
    dataset.write(tmp_path / "out")
    assert np.asarray(Image.open(tmp_path / "out/train/labels/b_0.png")).dtype == np.uint16


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"as_dataset": False, "mirror": True, "mix": ["car"]}, "--mirror and --mix: only a data set has this; give --as_dataset too"),
        ({"mix": ["car"]}, "with --mix label maps are drawn: .* --examples=N"),
        ({"favour_rare": True}, "with --favour_rare .* --examples=N"),
        ({"examples": 2, "count": 2}, "omit one of them"),
        ({"interpolate": 3}, "--as_dataset and --interpolate: its frames are no examples; omit one"),
        ({"resample_classes": ["car"]}, "--as_dataset and --resample_classes: .*; omit one"),
        ({"examples": 2, "mix": ["roda"]}, "no class 'roda'; did you mean road"),
        ({"examples": 2, "mix": ["unlabelled"]}, r"class 0 \(unlabelled\) is don't-care, .*: leave it out"),
        ({"examples": 2, "seed": 2**32 - 1}, "seed"),
        ({"size": "16x30"}, "nearest heights"),
    ],
)
def test_flags_that_do_not_fit_are_told_before_anything_is_written(run, labels, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        sample.run(sample_options(run, tmp_path / "out", **({"labels": str(labels), "as_dataset": True} | flags)))
    assert not (tmp_path / "out").exists()


def test_a_model_without_label_maps_writes_no_pairs(tmp_path):
    with pytest.raises(ValueError, match="takes no label maps, .*: omit --as_dataset"):
        prepare(SimpleNamespace(columns=("image",)), sample_options("run", tmp_path / "out", as_dataset=True))


def test_what_does_not_fit_the_label_maps_is_told(run, labels, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/a.png").write_bytes((labels / "a.png").read_bytes())
    with pytest.raises(ValueError, match=r"none of the label maps holds class 2 \(car\): leave it out; they hold road, sky"):
        written(run, tmp_path / "one", tmp_path / "out", examples=1, mix=["car"])
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "one/a.png")
    with pytest.raises(ValueError, match="--favour_rare: all label maps are don't-care throughout: give others"):
        written(run, tmp_path / "one", tmp_path / "out", examples=1, favour_rare=True)
    model = sampling.load(run)
    model.config.data.label_map = ""  # then no id stands for class 0
    changed = ConfigDict({"data": {"label_map": "255:0", "label_offset": None, "palette": None}})
    with pytest.raises(ValueError, match=r"class 0 \(unlabelled\) has no id in .*: give --label_ids=classes"):
        prepare(model, sample_options(run, tmp_path / "out", labels=str(tmp_path / "one"), as_dataset=True, config=changed))
    for name in ("x y", "x_y"):
        (tmp_path / f"one/{name}.png").write_bytes((labels / "a.png").read_bytes())
    with pytest.raises(ValueError, match="two pairs would be called x_y_0: rename one"):
        written(run, tmp_path / "one", tmp_path / "out")
    (tmp_path / "one/x_y.png").unlink()
    with pytest.raises(DataError, match="would find samples in .* as label maps"):
        written(run, tmp_path / "one", tmp_path / "one/out")
    (tmp_path / f"one/{'x' * 245}.png").write_bytes((labels / "a.png").read_bytes())
    with pytest.raises(DataError, match=r"x\.png has too long a name for those of its samples \(240 bytes and \.png\): shorten it"):
        written(run, tmp_path / "one", tmp_path / "out", mirror=True)
    assert not (tmp_path / "out").exists() and not (tmp_path / "one/out").exists()
