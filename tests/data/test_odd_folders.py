"""Random folders of valid, odd and broken files: either the pairs of a plain listing are trained on, or one report names every fault.

`tests/odd_folders.py` says how to draw more of them.
"""
import collections
import pathlib
import tempfile
import warnings

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st
from PIL import Image

from oasis_jax.data.check import check_splits, open_splits
from oasis_jax.data.datasets import DataSpec
from oasis_jax.data.labels import DataError
from oasis_jax.data.pipeline import eval_batches, train_batches
from tests.odd_files import NUM_CLASSES
from tests.odd_folders import SPLITS, check_report, quick, write_splits

SIZE = (8, 12)


def resized(photo, ids):
    """(bytes of the photo, bytes of the ids) at SIZE: the photo by Pillow, each new id from the old pixel that contains its centre."""
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(SIZE, ids.shape, strict=True))
    photo = photo.resize(SIZE[::-1], Image.Resampling.BICUBIC)
    return np.asarray(photo).tobytes(), ids[rows][:, columns].astype(np.uint8).tobytes()


def counted(batch):
    return collections.Counter((photo.tobytes(), ids.tobytes()) for photo, ids in zip(batch["image"], batch["label_map"], strict=True))


def check_examples(split, listing):
    """Compares examples at full size with what was written; returns a Counter of the resized examples, which batches must hold."""
    assert [example.name for example in split.examples] == sorted(listing.pairs)
    expected = collections.Counter()
    for index, example in enumerate(split.examples):
        photo, ids = listing.pairs[example.name]
        read = split.read(index)
        assert photo is None or np.array_equal(read["image"], photo), example
        assert ids is None or np.array_equal(read["label_map"], ids), example
        expected[resized(read["image"], read["label_map"])] += 1
    return expected


@quick(30)
@given(pairs=SPLITS, colours=st.booleans())
def test_what_is_trained_on_is_what_a_plain_listing_gives_or_one_report_names_every_fault(pairs, colours):
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).* is damaged, though Pillow reads it")
        listings = write_splits(pathlib.Path(folder), pairs, colours)
        palette = f"{folder}/palette.txt" if colours else ""
        spec = DataSpec(root=folder, num_classes=NUM_CLASSES, palette=palette, image_size=SIZE, flip=False, workers=1)
        try:
            splits = open_splits(spec)
            check_splits(splits, spec, remember=False)
        except DataError as error:
            event("refused")
            check_report(str(error), listings)
            return
        event("accepted")
        assert all(listing.trainable is not False for listing in listings)
        train, val = map(check_examples, splits, listings)
        batches = train_batches(splits[0], spec, len(splits[0]), seed=3)
        assert counted(next(batches)) == train  # one epoch
        batches.close()
        assert counted(next(eval_batches(splits[1], spec, len(splits[1])))) == val
