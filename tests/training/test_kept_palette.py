"""A run keeps its palette: the palette file may be moved or deleted, but must not exchange classes."""
import numpy as np
import pytest
from PIL import Image

from oasis_jax.checkpoint import Checkpoints
from oasis_jax.data.labels import DataError, read_label_map
from oasis_jax.sample_labels import label_rule
from oasis_jax.sampling import load
from oasis_jax.training.kept_palette import keep_palette, refuse_exchanged_classes
from oasis_jax.training.setup import set_up
from tests.tiny_run import random_state, tiny_config

COLOURS = np.array([[20, 20, 20], [200, 60, 40], [40, 160, 60]], np.uint8)
LINES = ["20 20 20 void", "200 60 40 road", "40 160 60 sky"]


@pytest.fixture
def palette(tmp_path):
    path = tmp_path / "palette.txt"
    path.write_text("\n".join(LINES))
    return path


def make_config(tmp_path, palette):
    """Two pairs whose label maps hold colours."""
    ids = np.arange(16 * 32).reshape(16, 32) % 3
    for split in ("train", "val"):
        for folder in ("photos", "labels"):
            (tmp_path / "data" / split / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(COLOURS[ids]).save(tmp_path / "data" / split / folder / "a.png")
    config = tiny_config()
    config.data.update(root=str(tmp_path / "data"), num_classes=0, class_names=(), palette=str(palette))
    config.train.batch_size = 1
    return config


def begin(tmp_path, palette):
    """Starts a run and saves one checkpoint; returns its workdir."""
    workdir = tmp_path / "run"
    run = set_up(make_config(tmp_path, palette), workdir)
    with Checkpoints(workdir, 1, "score", True) as checkpoints:
        checkpoints.save(1, None, random_state(run.config).ema, run.config.to_dict(), wait=True)
    return workdir


def test_the_same_colours_under_another_path_or_none_are_those_of_the_run(tmp_path, palette):
    workdir = begin(tmp_path, palette)
    other = palette.rename(tmp_path / "other.txt")
    for path in (other, palette, ""):
        run = set_up(make_config(tmp_path, path), workdir)
        assert run.config.data.palette_colours == ("20 20 20", "200 60 40", "40 160 60")
        assert run.config.data.class_names == ("void", "road", "sky")
        assert (run.train_split.rule.palette == COLOURS).all() and run.config.data.num_classes == 3
    other.unlink()
    model = load(workdir)
    ids = read_label_map(tmp_path / "data/val/labels/a.png", label_rule(model))
    assert (ids == np.arange(16 * 32).reshape(16, 32) % 3).all() and model.class_names == ("void", "road", "sky")


@pytest.mark.parametrize("lines, message", [
    ([LINES[0], LINES[2], LINES[1]], "id 1 was 200 60 40 and is 40 160 60"),
    ([LINES[0], "200 60 40 sky", "40 160 60 road"], "class 1 was road and is sky; class 2 was sky and is road"),
    ([*LINES, "1 1 1 car"], "there were 3 colours and are 4"),
])  # fmt: skip
def test_exchanged_classes_are_refused_before_the_data_are_read(tmp_path, palette, lines, message, monkeypatch):
    workdir = begin(tmp_path, palette)
    palette.write_text("\n".join(lines))
    monkeypatch.setattr("oasis_jax.training.setup.check_splits", None)
    with pytest.raises(DataError, match=message):
        set_up(make_config(tmp_path, palette), workdir)


def test_a_class_may_be_renamed(tmp_path, palette):
    workdir = begin(tmp_path, palette)
    palette.write_text("\n".join([*LINES[:2], "40 160 60 clouds"]))
    assert set_up(make_config(tmp_path, palette), workdir).config.data.class_names == ("void", "road", "clouds")


def test_a_run_of_before_tells_its_palette_by_its_class_names():
    data = tiny_config().data
    data.palette, data.class_names = "elsewhere.txt", ("void", "road", "sky")
    saved = {"palette": "palette.txt", "class_names": ["void", "road", "sky"]}
    keep_palette(data, saved)
    assert data.palette_colours == ()
    refuse_exchanged_classes(data, saved)
    with pytest.raises(DataError, match="class 2 was cloud and is sky"):
        refuse_exchanged_classes(data, saved | {"class_names": ["void", "road", "cloud"]})


def test_a_run_of_ids_gets_no_palette():
    data = tiny_config().data
    data.palette = "palette.txt"
    with pytest.raises(DataError, match="the run began without one"):
        keep_palette(data, {"palette": "", "palette_colours": []})
    data.palette = ""
    keep_palette(data, {"palette": ""})
    assert data.palette_colours == ()
