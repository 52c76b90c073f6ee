"""TensorBoard files: in a bucket, each flush adds what is new, once; a failed write does not end a run."""
import pathlib
import resource
import signal
import tempfile

import numpy as np
import pytest
from etils import epath
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from oasis_jax.training.writers import BucketWriter, create_writer


def logged(folder):
    files = sorted(folder.glob("events.out.tfevents*"), key=lambda file: file.stat().st_mtime_ns)  # by name, 10 comes before 9
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


@pytest.fixture
def small_files():
    """Limits the files that this process writes to 4000 bytes, as if the disk were full."""
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_what_cannot_be_written_is_a_warning(tmp_path, small_files, capsys):
    writer = create_writer(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    with pytest.warns(UserWarning) as caught:
        for step in range(3):
            writer.write_scalars(step, {"loss": 0.5})
            writer.write_images(step, {"samples": noise})
            writer.flush()
        writer.close()
    logs, *pictures = sorted(str(one.message) for one in caught)
    assert logs.startswith(f"TensorBoard files in {tmp_path} cannot be written ({tmp_path}") and "File too large): " in logs
    for step, message in enumerate(pictures):
        assert message.startswith(f"the picture of samples at step {step} cannot be written: ") and "File too large" in message
    assert len(pictures) == 3
    assert capsys.readouterr().out.count("loss 0.5") == 3


def test_a_folder_that_takes_no_file_is_one_warning(tmp_path):
    folder = tmp_path / "file"
    folder.write_text("")
    with pytest.warns(UserWarning, match="cannot be written .*Not a directory") as caught:
        writer = create_writer(folder)
        writer.write_scalars(1, {"loss": 0.5})
        writer.close()
    assert len(caught) == 1
