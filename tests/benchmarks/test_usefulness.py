"""Laws of the benchmark that measures how useful generated pairs are for training."""
import dataclasses
import json
import re
import sys

import numpy as np
import optax
import pytest
from PIL import Image

from benchmarks import usefulness
from configs import default
from oasis_jax.data.check import check_split
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.labels import DataError

SIZE, COLOURS = (8, 16), np.array([[0, 0, 0], [250, 60, 60], [60, 60, 250], [60, 250, 60]], np.uint8)
NAMES = ("unlabelled", "road", "car", "sky")


def write_pairs(root, folders, count, seed, ids=(255, 0, 1, 2)):
    """Writes photos in the colours of their classes, and their label maps, in which the fourth class does not occur."""
    rng = np.random.default_rng(seed)
    for folder in folders:
        (root / folder).mkdir(parents=True)
    for i in range(count):
        classes = np.full(SIZE, 1)
        classes[:, rng.integers(4, 12) :] = 2
        classes[:2] = 0
        Image.fromarray(COLOURS[np.where(classes == 0, 1, classes)]).save(root / folders[0] / f"{i}.png")
        Image.fromarray(np.array(ids, np.uint8)[classes]).save(root / folders[1] / f"{i}.png")


def write_generated(root, label_ids, **pairs):
    write_pairs(root, ("train/photos", "train/labels"), 4, seed=2, **pairs)
    (root / "samples.json").write_text(json.dumps({"label_ids": label_ids, "images": []}))
    return str(root)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    write_pairs(root, ("photos", "ids"), 10, seed=0)
    write_pairs(root, ("val_photos", "val_ids"), 3, seed=1)
    return DataSpec(
        root=str(root), train_photos="photos", train_labels="ids", val_photos="val_photos", val_labels="val_ids", num_classes=4,
        label_offset=1, label_map="255:0", class_names=NAMES, image_size=SIZE, cache=True,
    )  # fmt: skip


def test_smaller_shares_are_parts_of_larger_ones():
    for seed in range(3):
        tenth, quarter, whole = (usefulness.subset_of(367, share, seed) for share in (0.1, 0.25, 1.0))
        assert len(tenth) == 37 and set(tenth) < set(quarter) < set(whole) and whole == list(range(367))
    assert tenth != usefulness.subset_of(367, 0.1, 0) and len(usefulness.subset_of(30, 0.1, 0)) == 3


@pytest.mark.parametrize("label_ids, ids", [("stored", (255, 0, 1, 2)), ("classes", (0, 1, 2, 3))])
def test_generated_label_maps_are_read_as_they_were_written(real, tmp_path, label_ids, ids):
    spec = usefulness.generated_spec(real, write_generated(tmp_path / "out", label_ids, ids=ids), 4)
    survey = check_split(open_split(spec, "train"), spec, remember=False)
    np.testing.assert_array_equal(survey.images, [4, 4, 4, 0])
    (tmp_path / "out/samples.json").unlink()
    with pytest.raises(DataError, match="samples.json .* --as_dataset"):
        usefulness.generated_spec(real, tmp_path / "out", 4)


def test_colours_are_learnt_and_dontcare_is_left_out(real, tmp_path, capsys):
    config = default.get_config()
    config.model.update(num_blocks=2, d_channels=(8, 8), d_last=8)
    folder = write_generated(tmp_path / "out", "stored")
    found = usefulness.run(config, real, [folder], [0.2], [0, 1], 4, 60, 1e-2)
    assert list(found) == [(0.2, usefulness.ALONE), (0.2, folder)]
    for rows in found.values():
        assert rows.shape == (2, 5) and np.isnan(rows[:, [1, 4]]).all()  # the IoU of don't-care, and of a class that is absent
        np.testing.assert_allclose(rows[:, 0], rows[:, 2:4].mean(1))
    assert found[0.2, folder][:, 0].min() > 0.6
    told = capsys.readouterr().out
    assert "20% of the real photos (2), alone, seed 0: mIoU" in told and "4 trainings took" in told
    table = told[told.index("IoU by class") :]
    assert "road" in table and "car" in table and "unlabelled" not in table and "sky" not in table


def test_a_subset_is_written_as_links_for_a_generator_to_train_on(real, tmp_path, capsys):
    usefulness.write_subset(real, tmp_path / "fifth", 0.2, seed=3)
    assert "scene_categories" not in capsys.readouterr().out
    spec = DataSpec(root=str(tmp_path / "fifth"), num_classes=4, label_offset=1, label_map="255:0", image_size=SIZE)
    assert [int(example.name) for example in open_split(spec, "train").examples] == usefulness.subset_of(10, 0.2, 3)
    with pytest.raises(ValueError, match="--write_subset=.* exists and is not an empty folder"):
        usefulness.write_subset(real, tmp_path / "fifth", 0.1, seed=3)


def test_the_flags_of_a_subset_empty_the_categories_of_the_config(tmp_path, capsys):
    """Its folders hold only images of these categories, and no list of them."""
    write_pairs(tmp_path / "real", ("images/training", "annotations/training"), 2, seed=0)
    (tmp_path / "real/sceneCategories.txt").write_text("0 bedroom\n1 street\n")
    spec = DataSpec(layout="ade20k", root=str(tmp_path / "real"), scene_categories=("street",), image_size=SIZE)
    usefulness.write_subset(spec, tmp_path / "whole", 1.0, seed=0)
    flags = dict(re.findall(r"--config\.data\.(\w+)=(\S*)", capsys.readouterr().out)) | {"num_classes": 256}
    assert flags.pop("scene_categories") == ""
    subset = dataclasses.replace(spec, scene_categories=(), **flags)
    assert [example.name for example in open_split(subset, "train").examples] == ["1"]


@pytest.mark.parametrize("args, told", [
    ([], "usefulness: --config=camvid_small does not say where the real data are: give --root=DIR"),
    (["--config=eqgan_scenes"], "of the family eqgan, which has no label maps"),
    (["--config=no_such_config"], "no such file"),
    (["--root=/no/such/folder"], "/no/such/folder is not a folder"),
    (["--config=scenes", "--write_subset=x"], "this data set has none"),
    (["--root=gs://bucket/camvid", "--write_subset=x"], "--write_subset links files, which .*gs://bucket/camvid.*: copy"),
    (["--root=/data", "--write_subset=gs://bucket/x"], "--write_subset links files, which .*gs://bucket/x"),
])  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(monkeypatch, args, told):
    monkeypatch.setattr(sys, "argv", ["usefulness", *args])
    with pytest.raises(SystemExit, match=told):
        usefulness.main()


def test_a_schedule_needs_two_steps(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["usefulness", "--config=scenes", "--steps=1"])
    with pytest.raises(SystemExit, match="2"):
        usefulness.main()
    assert "--steps are 2 or more" in capsys.readouterr().err
    optax.warmup_cosine_decay_schedule(0.0, 1e-3, 1, 2)  # the fewest that it takes
