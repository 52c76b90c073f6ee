import dataclasses
import io
import os
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import downloader

from oasis_jax.data.check import check_split, open_splits
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.labels import DataError
from oasis_jax.data.pipeline import eval_batches
from oasis_jax.evaluation.sources import Examples, Photos

SIZE = (16, 24)


class TinyScenes(tfds.core.GeneratorBasedBuilder):
    """Pairs of a photo of one grey and a label map of one class."""

    __module__ = "tiny_scenes"  # a name without dots, so that TFDS does not look for a package
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "segmentation_label": tfds.features.LabeledImage(labels=8, shape=(None, None, 1)),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(5), "validation": self._generate_examples(2)}

    def _generate_examples(self, count):
        for i in range(count):
            ids = np.full((*SIZE, 1), i, np.uint8)
            yield i, {"image": np.repeat(ids * 10, 3, axis=2), "segmentation_label": ids}


@pytest.fixture(params=["array_record", "tfrecord"])
def spec(request, tmp_path):
    TinyScenes(data_dir=tmp_path, file_format=request.param).download_and_prepare()
    return DataSpec(layout="tfds:tiny_scenes", root=str(tmp_path), num_classes=8, image_size=SIZE)


def test_a_builder_with_photo_and_label_map_is_a_data_set(spec):
    for split, count in (("train", 5), ("val", 2)):
        opened = open_split(spec, split)
        assert check_split(opened, spec).pixels.tolist() == [SIZE[0] * SIZE[1]] * count + [0] * (8 - count)
        (batch,) = eval_batches(opened, spec, count)
        assert (batch["label_map"] == np.arange(count)[:, None, None]).all()
        assert (batch["image"] == 10 * np.arange(count)[:, None, None, None]).all()


def test_a_part_of_a_split_is_one(spec):
    parts = dataclasses.replace(spec, tfds_train_split="train[:60%]", tfds_val_split="train[60%:]")
    for split, classes in (("train", [0, 1, 2]), ("val", [3, 4])):
        opened = open_split(parts, split)
        assert np.flatnonzero(check_split(opened, parts).pixels).tolist() == classes and len(opened) == len(classes)
        assert re.fullmatch(r"train_[:_\d]*000000", opened.examples[0].name)
        (batch,) = eval_batches(opened, parts, len(classes))
        assert batch["label_map"][:, 0, 0].tolist() == classes


def test_what_was_found_in_older_data_is_not_used_again(spec, tmp_path):
    """The check of the data and the evaluation remember results until the files of the builder change."""
    opened = open_split(spec, "train")
    check_split(opened, spec, tmp_path)
    before = repr(Examples(opened, spec, 5).identity)
    assert repr(Examples(open_split(spec, "train"), spec, 5).identity) == before
    record = next(path for path in tmp_path.rglob("*train*record*") if path.is_file())
    os.utime(record, (1, 1))
    changed = open_split(spec, "train")
    assert repr(Examples(changed, spec, 5).identity) != before
    remembered = (tmp_path / "data_check.json").read_text()
    check_split(changed, spec, tmp_path)
    assert (tmp_path / "data_check.json").read_text() != remembered


def test_pairs_are_read_at_the_size_that_they_are_stored_at(spec):
    opened = open_split(dataclasses.replace(spec, image_size=(8, 8)), "val")
    stored = opened.read(1)
    assert stored["image"].size[::-1] == stored["label_map"].shape == SIZE


def test_a_missing_feature_split_or_builder_is_named(spec):
    for change, message in (
        ({"tfds_label": "mask"}, 'no feature "mask" .it has image, segmentation_label'),
        ({"tfds_train_split": "test"}, 'no split "test" .it has train, validation'),
        ({"tfds_train_split": "test[:50%]"}, r'no split "test\[:50%\]" .it has train, validation'),
        ({"tfds_train_split": "train[:half]"}, r'no split "train\[:half\]" .it has train, validation'),
        ({"tfds_train_split": "train[:0]"}, r'the split "train\[:0\]" of tfds:tiny_scenes has no examples'),
        ({"layout": "tfds:huge"}, "there is no TFDS builder huge"),
    ):
        with pytest.raises(DataError, match=message):
            open_split(DataSpec(**(vars(spec) | change)), "train")


def stored(array, ending="PNG"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, ending)
    file.seek(0)
    return file


GREY = np.arange(16 * 40, dtype=np.uint32).reshape(16, 40)
RGB = np.stack([GREY % 256, 255 - GREY % 256, GREY % 256 // 2], -1).astype(np.uint8)
OPACITY = (GREY % 256)[..., None] / 255
ON_WHITE = RGB * OPACITY + 255 * (1 - OPACITY)


class TinyCats(tfds.core.GeneratorBasedBuilder):
    """Photos without label maps, of several sizes and kinds; not all other features are images of 8 bits."""

    __module__ = "tiny_cats"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        kinds = {"image": {}, "alpha": {"shape": (None, None, 4)}, "deep": {"shape": (None, None, 1), "dtype": np.uint16}}
        kinds |= {"grey": {"shape": (None, None, 1)}, "depth": {"shape": (None, None, 1), "dtype": np.float32}}
        features = {name: tfds.features.Image(**options) for name, options in kinds.items()}
        features |= {"label": tfds.features.ClassLabel(num_classes=2), "frames": tfds.features.Image(shape=(None, None, None, 3))}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        grey = (GREY % 256).astype(np.uint8)
        rgb = RGB
        others = {"alpha": np.dstack([rgb, grey]), "deep": (GREY * 100).astype(np.uint16)[..., None], "grey": grey[..., None]}
        others |= {"depth": np.ones((4, 4, 1), np.float32), "label": 1}
        images = stored(rgb), stored(np.tile(rgb, (2, 2, 1))), stored(grey), stored(grey, "JPEG"), io.BytesIO(b"damaged")
        for i, image in enumerate(images):
            yield i, {"image": image, "frames": stored(grey, "GIF")} | others


@pytest.fixture(params=["array_record", "tfrecord"])
def cats(request, tmp_path):
    TinyCats(data_dir=tmp_path, file_format=request.param).download_and_prepare()
    root = str(tmp_path)
    return DataSpec(layout="tfds:tiny_cats", root=root, image_size=(16, 16), fit="crop", tfds_val_split="train", workers=2)


def test_photos_alone_of_any_size_are_a_data_set_and_its_validation(cats):
    for name in ("train", "val"):
        split = open_split(cats, name, ("image",))
        with pytest.raises(DataError, match="(?s)1 fault in the .* split of .*tfds:tiny_cats train_000004 cannot be read as an image"):
            check_split(split, cats)
        readable = split.subset(range(4))
        assert check_split(readable, cats).num_examples == 4
        (batch,) = eval_batches(readable, cats, 4)
        grey = (GREY % 256).astype(np.uint8)[:, 12:28]
        assert (batch["image"][0] == np.stack([grey, 255 - grey, grey // 2], -1)).all()
        assert (batch["image"][2] == grey[..., None]).all()
        assert (batch["image"][3] == batch["image"][3, ..., :1]).all()
        photos = Photos(Examples(readable, cats, 4))
        assert all((photos.image(i) == batch["image"][i]).all() for i in range(4))


@pytest.mark.parametrize("feature, expected", [("alpha", ON_WHITE), ("grey", GREY % 256), ("deep", GREY * 100 // 256)])
def test_other_kinds_of_images_become_what_files_of_theirs_become(cats, feature, expected):
    split = open_split(dataclasses.replace(cats, tfds_image=feature), "train", ("image",))
    found = np.asarray(split.read(0)["image"])
    expected = expected.reshape(16, 40, -1).astype(int)
    assert found.shape == (16, 40, 3) and abs(found - expected).max() <= (feature == "alpha")  # blending with white is rounded


@pytest.mark.parametrize("feature", ["depth", "label", "frames"])
def test_features_that_are_no_photos_are_refused(cats, feature):
    with pytest.raises(DataError, match=f'tfds:tiny_cats feature "{feature}" is .*, not an image of 8 or 16 bits: correct data.tfds_image'):
        open_split(dataclasses.replace(cats, tfds_image=feature), "train", ("image",))


IDS = np.arange(16 * 24).reshape(16, 24) // 100  # 0..3
LABELS = {
    "wide": (tfds.features.Image(shape=(None, None, 1), dtype=np.uint16, encoding_format="png"), (IDS * 100)[..., None].astype(np.uint16)),
    "grey": (tfds.features.Image(shape=(None, None, 3), encoding_format="png"), np.stack([IDS] * 3, -1).astype(np.uint8)),
    "negative": (tfds.features.Tensor(shape=(16, 24), dtype=np.int32), (IDS - 1).astype(np.int32)),
    "long": (tfds.features.Tensor(shape=(16, 24, 1), dtype=np.uint64, encoding="zlib"), IDS[..., None].astype(np.uint64)),
    "mask": (tfds.features.Tensor(shape=(16, 24), dtype=np.bool_), IDS > 1),
    "colours": (tfds.features.Image(shape=(None, None, 3), encoding_format="png"), np.stack([IDS, IDS, IDS + 1], -1).astype(np.uint8)),
    "text": (tfds.features.Text(), "road"),
    "number": (tfds.features.ClassLabel(num_classes=3), 1),
    "shares": (tfds.features.Tensor(shape=(16, 24), dtype=np.float32), IDS.astype(np.float32)),
    "depth": (tfds.features.Image(shape=(None, None, 1), dtype=np.float32, encoding_format="png"), IDS[..., None].astype(np.float32)),
    "deep": (tfds.features.Image(shape=(None, None, 3), dtype=np.uint16, encoding_format="png"), np.zeros((16, 24, 3), np.uint16)),
}


class TinyLabels(tfds.core.GeneratorBasedBuilder):
    """One pair, with labels of many kinds."""

    __module__ = "tiny_labels"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(None, None, 3), encoding_format="png")}
        features |= {name: feature for name, (feature, _) in LABELS.items()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"image": np.zeros((16, 24, 3), np.uint8)} | {name: value for name, (_, value) in LABELS.items()}


@pytest.fixture(scope="module", params=["array_record", "tfrecord"])
def labels(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("labels")
    TinyLabels(data_dir=root, file_format=request.param).download_and_prepare()
    return DataSpec(layout="tfds:tiny_labels", root=str(root), num_classes=4, image_size=(16, 24))


def classes(labels, **fields):
    split = open_split(dataclasses.replace(labels, **fields), "train")
    check_split(split, labels)
    return split.rule(split.read(0)["label_map"], "the label map")


def test_labels_of_any_width_are_read(labels):
    assert (classes(labels, tfds_label="wide", label_map="100:1,200:2,300:3") == IDS).all()
    assert (classes(labels, tfds_label="grey") == IDS).all() and (classes(labels, tfds_label="long") == IDS).all()
    assert (classes(labels, tfds_label="mask") == (IDS > 1)).all()


def test_negative_ids_can_be_mapped_or_shifted(labels):
    with pytest.raises(DataError, match="train_000000 holds id -1.*map id -1 in data.label_map"):
        classes(labels, tfds_label="negative")
    assert (classes(labels, tfds_label="negative", label_map="-1:3") == (IDS - 1) % 4).all()
    assert (classes(labels, tfds_label="negative", label_offset=1) == IDS).all()


@pytest.mark.parametrize("feature", ["text", "number", "shares", "depth", "deep"])
def test_features_that_are_no_label_maps_are_refused(labels, feature):
    with pytest.raises(DataError, match=rf'tfds:tiny_labels feature "{feature}" is .*, not a label map .*: correct data.tfds_label'):
        open_split(dataclasses.replace(labels, tfds_label=feature), "train")


def test_colours_need_a_palette(labels, tmp_path):
    with pytest.raises(DataError, match="train_000000, feature colours, holds colours, not ids: name a palette file"):
        classes(labels, tfds_label="colours")
    (tmp_path / "p.txt").write_text("\n".join(f"{i} {i} {i + 1}" for i in range(4)))
    assert (classes(labels, tfds_label="colours", palette=str(tmp_path / "p.txt")) == IDS).all()


@pytest.mark.parametrize("name, message", [
    ("no_such_thing", "there is no TFDS builder no_such_thing, .*; did you mean "), ("cityscape/x", "did you mean cityscapes, "),
    ("", "cannot be opened"), ("a b", "cannot be opened"), ("mnist/huge", "cannot be opened"), ("mnist:9.9.9", "only: "),
])  # fmt: skip
def test_an_unknown_builder_is_one_short_line(tmp_path, name, message):
    with pytest.raises(DataError, match=message) as error:
        open_split(DataSpec(layout=f"tfds:{name}", root=str(tmp_path), num_classes=4), "train")
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 600


class TinyWeb(tfds.core.GeneratorBasedBuilder):
    """Photos that would have to be downloaded, from a port on which no server listens."""

    __module__ = "tiny_web"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(None, None, 3)), "name": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(dl_manager.download("http://127.0.0.1:9/photos.zip"))}

    def _generate_examples(self, path):
        raise AssertionError(f"{path} was downloaded")


@pytest.mark.parametrize("fields", [{"tfds_image": "photo"}, {"tfds_image": "name"}, {"tfds_label": "name"}, {"tfds_label": "mask"}])
def test_features_are_checked_before_anything_is_downloaded(tmp_path, monkeypatch, fields):
    monkeypatch.setattr(TinyWeb, "_split_generators", lambda *_: pytest.fail("data were downloaded"))
    spec = DataSpec(layout="tfds:tiny_web", root=str(tmp_path), num_classes=2, **fields)
    with pytest.raises(DataError, match="feature.*: correct data.tfds_"):
        open_split(spec, "train", ("image", "label_map") if "tfds_label" in fields else ("image",))


def test_without_a_connection_the_download_ends_soon_with_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("oasis_jax.data.tfds_source.RETRIES", 1)
    with pytest.raises(DataError) as error:
        open_splits(DataSpec(layout="tfds:tiny_web", root=str(tmp_path)), ("image",))
    (line,) = str(error.value).splitlines()  # one line for both splits
    assert line.startswith(f"tfds:tiny_web is not in {tmp_path}, and could not be downloaded from 127.0.0.1 (ConnectionError): check the")
    assert downloader.MAX_RETRIES == 1
