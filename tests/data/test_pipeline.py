import dataclasses
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from oasis_jax.data.columns import LabelMap, Photo
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.decode import png_ids
from oasis_jax.data.heatmap_draws import draw
from oasis_jax.data.labels import DataError, resize_label_map
from oasis_jax.data.pipeline import eval_batches, train_batches


def take(batches, count):
    return list(itertools.islice(batches, count))


def pair_numbers(batches):
    return np.concatenate([batch["image"][:, 0, 0, 2] for batch in batches])


def assert_equal(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        assert all((x[key] == y[key]).all() for key in x)


def test_every_epoch_is_a_permutation(spec):
    numbers = pair_numbers(take(train_batches(open_split(spec, "train"), spec, 3, seed=1), 14)).reshape(6, 7)
    assert (np.sort(numbers, axis=1) == np.arange(7)).all()
    assert len({tuple(epoch) for epoch in numbers}) > 1


@pytest.mark.parametrize("step", [1, 5])
def test_resume_at_a_step_equals_the_tail(spec, step):
    split = open_split(spec, "train")
    spec = dataclasses.replace(spec, image_size=(16, 16), resize_size=(20, 28))
    whole = take(train_batches(split, spec, 4, seed=3), 8)
    assert_equal(whole[step:], take(train_batches(split, spec, 4, seed=3, start_step=step), 8 - step))


@pytest.mark.parametrize("own", [[0, 1], [2, 3], [3], [0, 2], [0, 1, 2, 3]])
def test_a_process_sees_its_positions_of_the_batch(spec, own):
    split = open_split(spec, "train")
    whole = take(train_batches(split, spec, 4, seed=0, start_step=2, with_heatmaps=True), 3)
    part = take(train_batches(split, spec, 4, 0, 2, positions=np.array(own), with_heatmaps=True), 3)
    assert_equal([{key: array[own] for key, array in batch.items()} for batch in whole], part)


def test_streams_differ_by_seed(spec):
    split = open_split(spec, "train")
    assert (pair_numbers(take(train_batches(split, spec, 7, 0), 3)) != pair_numbers(take(train_batches(split, spec, 7, 1), 3))).any()


def test_photo_and_label_map_share_crop_and_flip(spec):
    spec = dataclasses.replace(spec, image_size=(17, 19), resize_size=(24, 32))
    split = open_split(spec, "train")
    stored = [split.read(i)["label_map"] for i in range(7)]
    seen = set()
    for batch in take(train_batches(split, spec, 7, seed=0), 6):
        assert (batch["image"][..., 0] == 40 * batch["label_map"]).all()
        for number, label_map in zip(batch["image"][:, 0, 0, 2], batch["label_map"], strict=True):
            windows = [(top, left, flip) for top in range(8) for left in range(14) for flip in (1, -1)]
            seen |= {w for w in windows if (stored[number][w[0] : w[0] + 17, w[1] : w[1] + 19][:, :: w[2]] == label_map).all()}
    assert {w[2] for w in seen} == {1, -1} and len({w[0] for w in seen}) > 3 and len({w[1] for w in seen}) > 3


def test_without_flip_nothing_is_mirrored(spec):
    spec = dataclasses.replace(spec, flip=False)
    split = open_split(spec, "train")
    for batch in take(train_batches(split, spec, 7, seed=0), 2):
        for number, label_map in zip(batch["image"][:, 0, 0, 2], batch["label_map"], strict=True):
            assert (split.read(number)["label_map"] == label_map).all()


def test_a_cache_of_many_pairs_holds_each_in_its_place(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    spec = DataSpec(layout="scenes", scenes_train=19, image_size=(16, 32))
    split = open_split(spec, "train")
    cached = train_batches(split, dataclasses.replace(spec, cache=True), 19, seed=0)
    assert_equal(take(train_batches(split, spec, 19, seed=0), 1), take(cached, 1))


@pytest.mark.parametrize("resize_size", [(), (20, 28)])
def test_the_cache_changes_nothing_but_rounding(root, spec, resize_size):
    rng = np.random.default_rng(0)
    for path in root.glob("train/photos/*"):
        Image.fromarray(rng.integers(64, 192, (24, 32, 3), np.uint8)).save(path)
    spec = dataclasses.replace(spec, image_size=(16, 24), resize_size=resize_size)
    split = open_split(spec, "train")
    cached = train_batches(split, dataclasses.replace(spec, cache=True), 4, seed=5, start_step=1)
    for a, b in zip(take(train_batches(split, spec, 4, seed=5, start_step=1), 4), take(cached, 4), strict=True):
        assert (a["label_map"] == b["label_map"]).all()
        # Pillow sometimes rounds a window of a resized photo differently than the whole photo; without a crop there is no window.
        assert np.abs(a["image"] - b["image"].astype(int)).max() <= (2 if resize_size else 0)


def test_labels_hold_only_ids_that_existed(spec):
    spec = dataclasses.replace(spec, image_size=(50, 70))
    split = open_split(spec, "train")
    for batch in take(train_batches(split, spec, 7, seed=0), 1):
        for number, label_map in zip(batch["image"][:, 0, 0, 2], batch["label_map"], strict=True):
            assert set(np.unique(label_map)) <= set(np.unique(split.read(number)["label_map"]))


def test_evaluation_is_in_order_and_pads_the_last_batch(spec):
    split = open_split(spec, "train")
    batches = list(eval_batches(split, spec, 4))
    assert np.concatenate([batch["mask"] for batch in batches]).tolist() == [True] * 7 + [False]
    assert np.concatenate([batch["name"] for batch in batches])[:7].tolist() == [f"pair{i}" for i in range(7)]
    parts = [list(eval_batches(split.subset(part), spec, 4)) for part in (range(4), range(4, 7), range(0))]
    assert_equal(batches, sum(parts, []))


def test_every_kind_of_file_gives_the_pixels_that_pillow_reads(root, spec):
    rng = np.random.default_rng(0)
    for name in ("train", "val"):
        for path in [*root.glob(f"{name}/*/*")]:
            path.unlink()
    photo, ids = rng.integers(0, 256, (24, 32, 3), np.uint8), rng.integers(0, 6, (24, 32), np.uint8)
    photos, labels = root / "train/photos", root / "train/labels"
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees
    Image.fromarray(photo).save(photos / "a.jpg", quality=95)
    Image.fromarray(photo.swapaxes(0, 1)).save(photos / "b.jpg", exif=exif)
    Image.fromarray(photo[..., 0]).save(photos / "c.jpg")
    Image.fromarray(photo[..., 0]).save(photos / "d.png")
    palette = Image.fromarray(ids, "P")
    palette.putpalette(list(range(30)))
    stored = (Image.fromarray(ids), palette, Image.fromarray(ids.astype(np.uint16)), Image.fromarray(ids))
    for name, label in zip("abcd", stored, strict=True):
        label.save(labels / f"{name}.png")
    split = open_split(spec, "train")
    (batch,) = eval_batches(split, spec, 4)
    for i in range(4):
        assert (batch["image"][i] == np.asarray(split.read(i)["image"])).all()
        assert (batch["label_map"][i] == ids).all()


def test_more_than_256_classes_travel_as_16_bits(root, spec):
    for path in root.glob("train/labels/*.png"):
        Image.fromarray(np.full((24, 32), 1000, np.uint16)).save(path)
    spec = dataclasses.replace(spec, num_classes=1203)
    (batch,) = take(train_batches(open_split(spec, "train"), spec, 2, seed=0), 1)
    assert batch["label_map"].dtype == np.uint16 and (batch["label_map"] == 1000).all()


@pytest.mark.parametrize("cache", [False, True])
def test_a_file_that_breaks_during_training_is_named(root, spec, cache):
    spec = dataclasses.replace(spec, cache=cache)
    split = open_split(spec, "train")
    (root / "train/labels/pair3.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"pair3\.png cannot be read"):
        take(train_batches(split, spec, 7, seed=0), 1)
    Image.fromarray(np.full((24, 32), 77, np.uint8)).save(root / "train/labels/pair3.png")
    with pytest.raises(DataError, match=r"pair3\.png holds id 77"):
        take(train_batches(split, spec, 7, seed=0), 1)


def cut_off(path, count):
    path.write_bytes(path.read_bytes()[:-count])


ORIENTATION = 0x0112  # tag of EXIF
IEND = 12  # bytes of the chunk that ends a PNG file; Pillow also reads a file without it


def test_what_tensorflow_refuses_is_left_to_pillow(root, spec):
    spec = dataclasses.replace(spec, workers=3)

    def streams():
        split = open_split(spec, "train")
        return take(train_batches(split, spec, 3, seed=0, with_heatmaps=True), 6), list(eval_batches(split, spec, 3))

    whole, evaluated = streams()
    second = root / f"train/labels/pair{whole[1]['image'][0, 0, 0, 2]}.png"
    cut_off(second, IEND)
    with pytest.raises(tf.errors.InvalidArgumentError):
        png_ids(str(second))
    with pytest.warns(UserWarning, match=f"{second.name} is damaged, though Pillow reads it"):
        found, found_evaluated = streams()
    assert_equal(whole, found)
    assert_equal(evaluated, found_evaluated)


def test_a_file_that_breaks_after_it_was_left_to_pillow_is_named(root, spec):
    split, path = open_split(spec, "train"), root / "train/labels/pair3.png"
    cut_off(path, IEND)
    stream = train_batches(split, spec, 7, seed=0)
    with pytest.warns(UserWarning, match="damaged"):
        next(stream)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"pair3\.png cannot be read"):
        take(stream, 20)


@pytest.mark.parametrize("kind", ["photos", "labels"])
def test_a_truncated_file_is_named(root, spec, kind):
    rng = np.random.default_rng(0)
    for path in [*root.glob("train/photos/*")]:
        path.unlink()
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).save(path.with_suffix(".jpg"))
    split = open_split(spec, "train")
    (broken,) = root.glob(f"train/{kind}/pair3.*")
    cut_off(broken, 60)
    with pytest.raises(DataError, match=rf"{broken.name} cannot be read"):
        take(train_batches(split, spec, 3, seed=0), 6)


@pytest.mark.parametrize("kind, ending", [("photos", "png"), ("photos", "jpg"), ("labels", "png")])
def test_a_file_that_changes_its_size_after_the_check_is_refused(root, spec, kind, ending):
    if ending == "jpg":
        for path in (root / "train/photos").iterdir():
            Image.open(path).save(path.with_suffix(".jpg"))
            path.unlink()
    split = open_split(spec, "train")
    batches = train_batches(split, spec, 7, seed=0)
    next(batches)
    path = root / f"train/{kind}/pair3.{ending}"
    Image.open(path).resize((64, 48), Image.Resampling.NEAREST).save(path)
    with pytest.raises(DataError, match=r"photos/pair3\..* is \d+x\d+ and .*labels/pair3.png is \d+x\d+: one of them has changed") as error:
        for _ in range(8):  # batches that were read ahead still hold the old file
            next(batches)
    assert f"pair3.{ending} is 64x48" in str(error.value)


@pytest.fixture
def upright(root):
    """A photo whose EXIF says that it is upright."""
    path = root / "train/photos/pair3.png"
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    Image.open(path).save(path, exif=exif)
    return path


def turn(path):
    """Turns a photo upside down by its EXIF; its height, width and file size stay the same."""
    exif, size = Image.Exif(), path.stat().st_size
    exif[ORIENTATION] = 3
    Image.open(path).save(path, exif=exif)
    assert path.stat().st_size == size


def later(path):
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 3600))


def test_a_photo_that_is_turned_after_the_check_is_refused(upright, spec):
    batches = train_batches(open_split(spec, "train"), spec, 7, seed=0)
    next(batches)
    turn(upright)
    later(upright)
    with pytest.raises(DataError, match=r"photos/pair3\.png has changed since the check of the data \(its date, and EXIF turns it\)"):
        take(batches, 8)


def test_a_file_of_another_length_after_the_check_is_refused(root, spec):
    batches = train_batches(open_split(spec, "train"), spec, 7, seed=0)
    next(batches)
    with (root / "train/labels/pair3.png").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(DataError, match=r"labels/pair3\.png has changed since the check of the data \(its size\)"):
        take(batches, 8)


def test_files_of_which_only_the_date_changes_are_read_on_and_that_is_told_once(root, spec):
    spec = dataclasses.replace(spec, workers=3)
    expected = take(train_batches(open_split(spec, "train"), spec, 7, seed=0), 8)
    split = open_split(spec, "train")
    batches = train_batches(split, spec, 7, seed=0)
    first = next(batches)
    with pytest.warns(UserWarning, match=r"the date of .*train/.* has changed since the check of the data, but not its size") as told:
        for path in root.glob("train/*/*"):  # some of them are read ahead in the meantime
            later(path)
        found = [first, *take(batches, 7)]
    assert len(told) == 1
    np.testing.assert_equal(found, expected)


@pytest.mark.parametrize("kind", ["photos", "labels"])
def test_a_file_that_becomes_a_pipe_is_refused_and_not_waited_for(root, spec, kind):
    path = root / f"train/{kind}/pair3.png"
    batches = train_batches(open_split(spec, "train"), spec, 7, seed=0)
    next(batches)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match=rf"{kind}/pair3\.png has changed since .* no longer a regular file"):
        take(batches, 8)


def test_common_files_are_not_decoded_in_python(root, spec, monkeypatch):
    for path in [*root.glob("train/photos/*")]:
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()

    def refuse(column, path):
        raise AssertionError(f"{path} was left to Pillow")

    for column in (Photo, LabelMap):
        monkeypatch.setattr(column, "read", refuse)
    assert len(take(train_batches(open_split(spec, "train"), spec, 4, seed=0), 4)) == 4


@pytest.mark.parametrize("size", [1, 5, 12, 16])
def test_batches_of_all_sizes_are_parts_of_one_stream(spec, size):
    split = open_split(spec, "train")
    numbers = pair_numbers(take(train_batches(split, spec, 1, seed=4), 32))
    assert (pair_numbers(take(train_batches(split, spec, size, seed=4), 32 // size)) == numbers[: 32 // size * size]).all()


def test_faults_are_refused(root, spec):
    (root / "train/labels/pair3.png").unlink()
    with pytest.raises(DataError, match=r"pair3\.png has no label map"):
        train_batches(open_split(spec, "train"), spec, 4, seed=0)


@pytest.mark.parametrize("end, code", [("signal.alarm(0)", 0), ("for _ in stream: pass", -2)])
def test_a_program_ends_while_its_stream_is_open(end, code):
    program = f"""
import signal
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.pipeline import train_batches
spec = DataSpec(layout="scenes", scenes_train=4, image_size=(64, 64))
stream = train_batches(open_split(spec, "train"), spec, 4, seed=0)
next(stream)
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.5)
{end}
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == code


def test_scenes_flow_through_the_pipeline():
    spec = DataSpec(layout="scenes", scenes_train=3, image_size=(32, 64), resize_size=(36, 72), flip=False)
    split = open_split(spec, "train")
    (batch,) = take(train_batches(split, spec, 3, seed=0), 1)
    assert batch["image"].shape == (3, 32, 64, 3) and batch["label_map"].max() < split.rule.num_classes == len(split.class_names)
    spec = dataclasses.replace(spec, resize_size=())
    (batch,) = eval_batches((split := open_split(spec, "val")).subset(range(2)), spec, 2)
    assert (batch["label_map"][1] == resize_label_map(split.read(1)["label_map"], (32, 64))).all()


@pytest.mark.parametrize("hosts", [1, 2])
def test_heatmaps_join_the_stream_and_change_nothing_else(spec, hosts):
    split = open_split(spec, "train")
    plain = take(train_batches(split, spec, 4, seed=3), 5)
    parts = [take(train_batches(split, spec, 4, 3, 2, own, with_heatmaps=True), 3) for own in np.split(np.arange(4), hosts)]
    joined = [{key: np.concatenate([part[step][key] for part in parts]) for key in parts[0][step]} for step in range(3)]
    found = np.stack([batch.pop("heatmaps") for batch in joined])
    assert_equal(plain[2:], joined)
    alone = np.stack([draw(3, position, 4) for position in range(8, 20)]).reshape(3, 4, 2, 7, 3)
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-6)


def test_columns_that_are_not_asked_for_are_not_read(root, spec):
    split = open_split(spec, "train")
    (root / "train/photos/pair3.png").write_bytes(b"")
    (batch,) = eval_batches(split, spec, 7, columns=("label_map",))
    assert batch.keys() == {"label_map", "mask", "name"}
    assert (batch["label_map"][3] == split.column("label_map").read(root / "train/labels/pair3.png")).all()


def test_photos_alone_flow_through_the_pipeline(spec):
    pairs, photos = open_split(spec, "train"), open_split(spec, "train", ("image",))
    for both, alone in zip(take(train_batches(pairs, spec, 4, seed=0), 3), take(train_batches(photos, spec, 4, seed=0), 3), strict=True):
        assert alone.keys() == {"image"} and (alone["image"] == both["image"]).all()
