import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds

from oasis_jax.data.check import check_split
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.labels import DataError
from oasis_jax.data.pipeline import eval_batches

SIZE = (16, 24)


class TinyScenes(tfds.core.GeneratorBasedBuilder):
    """Photos of one grey each, with the class that belongs to it."""

    __module__ = "tiny_scenes"  # of one part: TFDS looks for no package around it
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


def test_pairs_are_read_at_the_size_that_they_are_stored_at(spec):
    opened = open_split(dataclasses.replace(spec, image_size=(8, 8)), "val")
    stored = opened.read(1)
    assert stored["image"].size[::-1] == stored["label_map"].shape == SIZE


def test_a_missing_feature_split_or_builder_is_named(spec):
    for change, message in (
        ({"tfds_label": "mask"}, 'no feature "mask" .it has image, segmentation_label'),
        ({"tfds_train_split": "all"}, 'no split "all" .it has train, validation'),
        ({"layout": "tfds:huge"}, "tfds:huge cannot be opened"),
    ):
        with pytest.raises(DataError, match=message):
            open_split(DataSpec(**(vars(spec) | change)), "train")
