import concurrent.futures
import dataclasses
import io
import itertools
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from oasis_jax.data import archive
from oasis_jax.data.check import check_split
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.labels import DataError
from oasis_jax.data.pipeline import eval_batches, train_batches
from oasis_jax.data.split import Split
from oasis_jax.evaluation.sources import Examples, Photos

SIZES = [(16, 16), (30, 20), (17, 40), (64, 64), (16, 24)]
PATHS = ["00000/img00000000.png", "00000/img00000001.png", "deep/er/c.JPG", "d.webp", "e.bmp"]
NAMES = ["00000/img00000000", "00000/img00000001", "d", "deep/er/c", "e"]
COLUMNS = ("image",)


def encode(array, ending="png", **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, {"jpg": "jpeg"}.get(ending.lower(), ending), **options)
    return file.getvalue()


def photos():
    """{path: bytes} of five photos of several sizes and formats."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]
    return {path: encode(array, path.rsplit(".", 1)[-1]) for path, array in zip(PATHS, arrays, strict=True)}


def write_zip(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def write_folder(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


OTHERS = {"dataset.json": b'{"labels": null}', "readme.txt": b"", "__MACOSX/._d.webp": b"\0", "00000/": b""}
FORMS = {
    "folder": lambda path: write_folder(path / "photos", photos()),
    "zip": lambda path: write_zip(path / "photos.zip", photos()),
    "zip of the data set tool": lambda path: write_zip(path / "photos.ZIP", OTHERS | photos()),
    "deflated zip": lambda path: write_zip(path / "photos.zip", photos(), zipfile.ZIP_DEFLATED),
}


def spec_of(root, **fields):
    return DataSpec(**({"layout": "images", "root": str(root), "image_size": (16, 16), "workers": 3, "fit": "crop"} | fields))


def open_photos(root, split="train", **fields):
    return open_split(spec_of(root, **fields), split, COLUMNS)


@pytest.mark.parametrize("form", FORMS)
def test_all_photos_are_examples_whatever_holds_them(tmp_path, form):
    split = open_photos(FORMS[form](tmp_path))
    assert [example.name for example in split.examples] == NAMES and not split.faults
    stored = photos()
    for index, path in enumerate(sorted(PATHS, key=lambda path: path.rsplit(".", 1)[0])):
        assert (np.asarray(split.read(index)["image"]) == np.asarray(Image.open(io.BytesIO(stored[path])))).all()
    assert check_split(split, spec_of("")).num_examples == 5


@pytest.mark.parametrize("fields", [{}, {"fit": "resize"}, {"resize_size": (20, 24)}, {"cache": True}])
def test_a_zip_and_a_folder_give_the_same_batches(tmp_path, fields):
    streams = []
    for form in ("folder", "zip"):
        root = FORMS[form](tmp_path)
        spec, split = spec_of(root, **fields), open_photos(root, **fields)
        streams.append([*itertools.islice(train_batches(split, spec, 4, seed=2), 3), *eval_batches(split, spec, 4)])
    for a, b in zip(*streams, strict=True):
        assert a.keys() == b.keys() and all((a[key] == b[key]).all() for key in a)


def test_many_threads_read_one_zip(tmp_path):
    rng = np.random.default_rng(0)
    noise = {f"{i}.png": encode(rng.integers(0, 256, (40, 40, 3), np.uint8)) for i in range(40)}
    opened = archive.Archive(write_zip(tmp_path / "photos.zip", noise, zipfile.ZIP_DEFLATED))
    members = opened.members * 20
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(data == noise[member] for member, data in zip(members, pool.map(opened.read, members), strict=True))


def test_names_stay_unique_when_photos_differ_in_their_ending_only(tmp_path):
    one = encode(np.zeros((8, 8, 3), np.uint8))
    files = dict.fromkeys(["a.png", "a.jpg", "b.png", "c.png", "c.png.jpg", "x/a.png"], one)
    for root in (write_folder(tmp_path / "photos", files), write_zip(tmp_path / "photos.zip", files)):
        assert [example.name for example in open_photos(root).examples] == ["a.jpg", "a.png", "b", "c", "c.png.jpg", "x/a"]


def test_validation_photos_are_those_of_val_root_or_the_training_photos(tmp_path, monkeypatch):
    root = FORMS["zip"](tmp_path)
    assert [example.name for example in open_photos(root, "val").examples] == NAMES
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder(tmp_path / "other", {"v.png": encode(np.zeros((8, 8, 3), np.uint8))})
    fields = {"val_root": "~/other"}
    assert [example.name for example in open_photos("~/photos.zip", "val", **fields).examples] == ["v"]
    assert [example.name for example in open_photos("~/photos.zip", "train", **fields).examples] == NAMES


def encrypted(path):
    """Marks the first member of a zip as encrypted, in both of its headers."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)


def test_all_faults_of_a_zip_come_in_one_report(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 5000)
    good, half = photos()[PATHS[1]], photos()[PATHS[3]]
    members = {"0_locked.png": good, "1_text.png": b"no image", "2_empty.jpg": b"", "3_half.webp": half[:-30]}
    root = write_zip(tmp_path / "photos.zip", members | {"4_bomb.bmp": bytes(100_000), "5_flipped.png": good, "6_good.png": good})
    with zipfile.ZipFile(root, "a", zipfile.ZIP_LZMA) as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("7_lzma.png", good)
        for _ in range(2):
            file.writestr("8_twice.png", good, zipfile.ZIP_STORED)
    encrypted(root)
    data = bytearray(root.read_bytes())
    data[data.index(b"5_flipped.png") + 100] ^= 255
    root.write_bytes(data)
    with pytest.raises(DataError) as error:
        check_split(open_photos(root), spec_of(root))
    report = str(error.value)
    assert report.startswith(f"8 faults in the train split of {root} (9 examples)")
    for member, reason in {
        "0_locked.png": "is encrypted",
        "1_text.png": "cannot be read as an image",
        "2_empty.jpg": "cannot be read as an image",
        "3_half.webp": "cannot be read as an image",
        "4_bomb.bmp": "unpacks to 100000 bytes",
        "5_flipped.png": "cannot be unpacked",
        "7_lzma.png": "is compressed by method 14",
    }.items():
        assert f"  {root}: {member} {reason}" in report
    assert f"{root}: 8_twice.png occurs 2 times" in report and "6_good" not in report


def test_a_member_that_unpacks_to_more_than_it_says_is_a_fault(tmp_path):
    root = write_zip(tmp_path / "photos.zip", {"a.png": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    size = (1 << 20).to_bytes(4, "little")
    assert root.read_bytes().count(size) == 2
    root.write_bytes(root.read_bytes().replace(size, (64).to_bytes(4, "little")))
    with pytest.raises(DataError, match=r"photos\.zip: a\.png cannot be unpacked"):
        open_photos(root).read(0)


@pytest.mark.parametrize("split, field", [("train", "root"), ("val", "val_root")])
def test_faults_of_a_folder_name_the_files(tmp_path, split, field):
    root = write_folder(tmp_path / "photos", photos() | {"deep/bad.jpg": b"", "worse.png": b"text"})
    spec = spec_of(**({"root": "elsewhere"} | {field: str(root)}))
    with pytest.raises(DataError, match=f"2 faults in the {split} split of {root} ") as error:
        check_split(open_split(spec, split, COLUMNS), spec)
    assert all(f"{root / name} cannot be read" in str(error.value) for name in ("deep/bad.jpg", "worse.png"))


@pytest.mark.parametrize("field, split", [("root", "train"), ("val_root", "val")])
def test_a_root_without_photos_is_an_error_that_names_its_field(tmp_path, field, split):
    def refused(path, message):
        with pytest.raises(DataError, match=message):
            open_photos(**({"root": "unused", "split": split} | {field: str(path)}))

    (tmp_path / "empty").mkdir()
    (tmp_path / "torn.zip").write_bytes(FORMS["zip"](tmp_path).read_bytes()[:-200])
    (tmp_path / "photos.tar").write_bytes(b"")
    refused(tmp_path / "empty", rf"data\.{field} .*empty holds no photos")
    refused(write_zip(tmp_path / "none.zip", {"dataset.json": b"{}"}), rf"data\.{field} .*none\.zip holds no photos")
    refused(tmp_path / "torn.zip", rf"data\.{field} .*torn\.zip cannot be read as a local zip")
    refused(tmp_path / "missing.zip", rf"data\.{field} .*missing\.zip cannot be read as a local zip")
    refused(tmp_path / "photos.tar", rf"data\.{field} .*photos\.tar is neither a folder nor a \.zip")


def test_an_empty_root_is_an_error():
    with pytest.raises(DataError, match=r"data\.root is empty"):
        open_photos("")


def test_label_maps_and_an_unknown_fit_are_refused(tmp_path):
    spec = spec_of(FORMS["zip"](tmp_path))
    with pytest.raises(DataError, match="set data.layout to folders, cityscapes, ade20k, coco_stuff, scenes or tfds:NAME"):
        open_split(spec, "train")
    with pytest.raises(DataError, match='data.fit is "crop", which is for photos without label maps'):
        open_split(DataSpec(layout="scenes", fit="crop"), "train")
    with pytest.raises(DataError, match='data.fit is "pad": it must be resize or crop'):
        dataclasses.replace(spec, fit="pad")


def test_a_changed_zip_is_checked_and_measured_again(tmp_path, monkeypatch):
    reads, read = [], Split.read
    monkeypatch.setattr(Split, "read", lambda self, index: reads.append(index) or read(self, index))
    root = FORMS["zip"](tmp_path)

    def found(root=root, split="train"):
        reads.clear()
        opened, spec = open_photos(root, split), spec_of(root)
        check_split(opened, spec, tmp_path / "run")
        return len(reads), repr(Examples(opened, spec, 5).identity)

    first = found()
    assert first[0] == 5 and found() == (0, first[1])
    assert found(split="val")[0] == 0  # the validation photos are the training photos
    os.utime(root, (1, 1))
    dated = found()
    assert dated[0] == 5 and dated[1] != first[1]
    with zipfile.ZipFile(root, "a") as file:
        file.comment = b"longer"
    os.utime(root, (1, 1))
    longer = found()
    assert longer[0] == 5 and longer[1] != dated[1]
    moved = found(root.rename(tmp_path / "moved.zip"))
    assert moved[0] == 5 and moved[1] != longer[1]


@pytest.mark.parametrize("layout", ["images", "folders"])
def test_a_crop_holds_in_training_cache_and_evaluation(tmp_path, layout):
    columns = np.arange(48, dtype=np.uint8) * 5
    wide = np.broadcast_to(columns[:, None], (16, 48, 3)).copy()
    splits = {"images": ("train",), "folders": ("train", "val")}[layout]
    root = write_folder(tmp_path, {f"{name}/photos/a.png": encode(wide) for name in splits})
    spec = spec_of(root, layout=layout, flip=False)
    middle = wide[:, 16:32]
    split = open_split(spec, "val", COLUMNS)
    (evaluated,) = eval_batches(split, spec, 1)
    assert (evaluated["image"][0] == middle).all() and (Photos(Examples(split, spec, 1)).image(0) == middle).all()
    train = open_split(spec, "train", COLUMNS)
    for cache in (False, True):
        batch = next(train_batches(train, dataclasses.replace(spec, cache=cache), 1, seed=0))
        assert (batch["image"][0] == middle).all()
        cropped = dataclasses.replace(spec, cache=cache, resize_size=(16, 24))  # the window of 16x24 is columns 12 to 35
        starts = {int(b["image"][0, 0, 0, 0]) // 5 for b in itertools.islice(train_batches(train, cropped, 1, seed=0), 60)}
        assert starts == set(range(12, 21))
    squashed = dataclasses.replace(spec, fit="resize")
    (evaluated,) = eval_batches(open_split(squashed, "val", COLUMNS), squashed, 1)
    assert np.ptp(evaluated["image"]) > 200 > np.ptp(middle)
