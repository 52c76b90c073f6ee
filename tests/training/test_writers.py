"""What is logged to a bucket is there after each flush, once, although its objects cannot be appended to."""
import pathlib
import tempfile

import numpy as np
from etils import epath
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from oasis_jax.training.writers import BucketWriter


def logged(folder):
    files = sorted(folder.glob("events.out.tfevents*"))
    return [(event.step, value.tag) for file in files for event in EventFileLoader(str(file)).Load() for value in event.summary.value]


def test_each_flush_adds_what_is_new(tmp_path, monkeypatch):
    local = tmp_path / "local"
    local.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(local))
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    writer = BucketWriter(epath.Path(bucket))
    writer.write_scalars(1, {"loss": 0.5})
    writer.flush()
    writer.finish_uploads()
    first = {file: file.read_bytes() for file in bucket.iterdir()}
    assert logged(bucket) == [(1, "loss")]
    writer.write_scalars(2, {"loss": 0.25})
    writer.write_images(2, {"samples": np.zeros((1, 4, 4, 3), np.uint8)})
    assert logged(bucket) == [(1, "loss")]
    writer.close()
    assert logged(bucket) == [(1, "loss"), (2, "loss"), (2, "samples")]
    assert {file: file.read_bytes() for file in first} == first
    assert not list(pathlib.Path(local).iterdir())
