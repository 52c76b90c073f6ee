"""Files and folders may have any name: any encoding and normalisation, and characters that shells expand. Only `~` is expanded."""
import io
import os
import types
import unicodedata

import numpy as np
import pytest
from PIL import Image

from oasis_jax import export, files, sample
from oasis_jax.checkpoint import CheckpointError, Checkpoints, config_of_run, load_ema
from oasis_jax.data.archive import Archive
from oasis_jax.data.check import check_split
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.labels import DataError, LabelRule, read_label_map
from oasis_jax.data.pipeline import eval_batches
from oasis_jax.metrics.nets.weights import WeightsError, find_vgg16, read_weights
from oasis_jax.oasis.perceptual import load_features
from oasis_jax.sample_labels import find_label_files
from oasis_jax.training.workdir import prepare_workdir

ODD = ["a b", "c[1]", "*", "d.e.f", "-x", "~y", "日本", "q?'\"#%20", "é\u0301", "latin\udce9", "line\nend", "\x1b[2J", "\u200b"]


@pytest.fixture
def root(tmp_path):
    """Pairs of one grey value each, below a folder with an odd name."""
    root = tmp_path / "data [1]*?~ \udce9"
    for i, name in enumerate(ODD):
        for folder, mode, ending, kind in (("photos", "RGB", ".jpg", "JPEG"), ("labels", "L", ".png", "PNG")):
            path = root / "train" / folder / (name + ending)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                Image.new(mode, (16, 8), i if mode == "L" else (10 * i,) * 3).save(file, kind)
    return root


def test_names_of_all_kinds_are_listed_checked_and_read(root, tmp_path):
    spec = DataSpec(root=str(root), num_classes=len(ODD), image_size=(8, 16), val_photos="train/photos", val_labels="train/labels")
    split = open_split(spec, "val")
    assert [example.name for example in split.examples] == sorted(map(files.compared, ODD))
    for _ in range(2):  # the second result is read from the run's folder
        assert check_split(split, spec, tmp_path / "run [1]").pixels.tolist() == [128] * len(ODD)
    (batch,) = eval_batches(split, spec, len(ODD))
    assert np.abs(batch["image"] - 10.0 * batch["label_map"][..., None]).max() <= 1  # JPEG is lossy
    assert sorted(batch["label_map"][:, 0, 0]) == list(range(len(ODD)))


def test_every_fault_is_one_line_whatever_its_file_is_called(root):
    for path in (root / "train/labels").iterdir():
        path.write_bytes(b"")
    spec = DataSpec(root=str(root), num_classes=len(ODD), image_size=(8, 16))
    with pytest.raises(DataError) as error:
        check_split(open_split(spec, "train"), spec)
    head, *lines = str(error.value).split("\n")
    assert len(lines) == len(ODD) and all("cannot be read" in line for line in lines)
    assert r"line\nend.png" in str(error.value) and r"\x1b[2J.png" in str(error.value) and r"\u200b.png" in str(error.value)
    assert "\udce9" in head  # undecodable bytes are kept


def test_photo_and_label_map_pair_whatever_the_normalisation_of_their_names(tmp_path):
    for folder, mode, form in (("photos", "RGB", "NFC"), ("labels", "L", "NFD")):
        path = tmp_path / "train" / folder / unicodedata.normalize(form, "größe/été.png")
        path.parent.mkdir(parents=True)
        Image.new(mode, (16, 8)).save(path)
    split = open_split(DataSpec(root=str(tmp_path), num_classes=2, image_size=(8, 16)), "train")
    assert len(split) == 1 and not split.faults


def test_a_path_is_taken_as_it_is_and_only_what_is_asked_for_below_it_is_a_pattern(tmp_path):
    for name in ("a[1]", "a1", "*", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(name)
    for name in ("a[1]", "*"):
        found = list(files.expanded(tmp_path / name).glob("*.txt"))
        assert [path.read_text() for path in found] == [name] and all(isinstance(path, files.LiteralPath) for path in found)


def test_label_files_are_found_in_folders_that_look_like_patterns(root):
    folder = root / "train" / "labels"
    assert len(find_label_files(f"{folder}")[0]) == len(find_label_files(f"{root}/train/*/*.png")[0]) == len(ODD)
    for name in ODD:
        assert list(find_label_files(f"{folder}/{name}.png")[0]) == [name]
    assert list(find_label_files(f"{folder}/c[1]*")[0]) == ["c[1]"]


@pytest.mark.parametrize("name", ["a [1]", "*", "b?", "{c}#%20", "é\u0301"])
def test_checkpoints_are_whole_in_a_workdir_of_any_name(tmp_path, name):
    workdir = tmp_path / name
    arrays = {"params": {"w": np.arange(6.0)}}
    with Checkpoints(workdir, 1, "score", True) as checkpoints:
        checkpoints.save(1, None, arrays, {"data": {}}, wait=True)
    assert (load_ema(workdir)[0]["params"]["w"] == arrays["params"]["w"]).all() and config_of_run(workdir) == {"data": {}}


@pytest.mark.parametrize("name", ["a\\b", "latin\udce9"])
def test_a_workdir_in_which_no_checkpoint_can_be_stored_is_refused_at_once(tmp_path, name):
    with pytest.raises(ValueError, match="no checkpoints can be stored in .*choose another"):
        prepare_workdir(tmp_path / name)
    with pytest.raises(CheckpointError, match="choose another"):
        Checkpoints(tmp_path / name, 1, "score", True)
    assert not os.listdir(tmp_path)


def test_the_home_folder_is_expanded_in_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "w, [1].npz", a=np.ones(2))
    assert read_weights("~/w, [1].npz").keys() == {"a"}
    (tmp_path / "vgg16.ckpt").write_bytes(b"")
    assert find_vgg16("~/vgg16.ckpt") == tmp_path / "vgg16.ckpt"
    with pytest.raises(ValueError, match="lacks features"):  # it was read
        load_features("~/w, [1].npz")
    Image.new("L", (4, 4), 2).save(tmp_path / "ids.png")
    assert (read_label_map("~/ids.png", LabelRule(3)) == 2).all()
    assert list(find_label_files("~/ids.png")[0].values()) == [str(tmp_path / "ids.png")]
    assert prepare_workdir("~/run") == tmp_path / "run"
    assert config_of_run("~/none") is None
    with pytest.raises(WeightsError, match="no such file"):
        read_weights("~nobody at all/w.npz")


@pytest.mark.parametrize("encoding, printed", [("ascii", b"\\xe9 \\u8857" + b"\xe9\n"), ("utf-8", "é 街".encode() + b"\xe9\n")])
def test_every_name_can_be_printed_in_any_encoding(monkeypatch, encoding, printed):
    stream = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(stream, encoding))
    files.print_all_names()
    print("é 街\udce9", flush=True)
    assert stream.getvalue() == printed


def test_a_current_folder_that_was_deleted_is_told_with_the_path_that_needs_it(tmp_path, monkeypatch):
    (tmp_path / "lost").mkdir()
    monkeypatch.chdir(tmp_path / "lost")
    (tmp_path / "lost").rmdir()
    assert files.expanded(tmp_path / "run") == tmp_path / "run"
    with pytest.raises(ValueError, match="^run is relative to the current folder, which was deleted"):
        files.expanded("run")


@pytest.mark.parametrize("path", ["http://host/data", "https://host/data", "ftp://host/data"])
def test_what_is_neither_on_a_disk_nor_in_a_bucket_is_an_error(path):
    with pytest.raises(ValueError, match=f"{path} is neither on a disk nor in a bucket"):
        files.expanded(path)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it
    with pytest.raises(ValueError, match="vgg_weights=.*/pipe cannot be read .it is no regular file"):
        load_features(str(tmp_path / "pipe"))
    with pytest.raises(DataError, match="/pipe cannot be read as a local zip .it is no regular file"):
        Archive(str(tmp_path / "pipe"))
    assert files.regular(tmp_path / "none") == tmp_path / "none"


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    (tmp_path / ".a.json.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device: .*a.json"):
        files.write_whole(tmp_path / "a.json", b"{}")


def test_a_file_of_the_longest_name_is_written(tmp_path):
    files.write_whole(tmp_path / ("x" * files.LONGEST_NAME), b"1")
    files.write_whole(tmp_path / ("é" * (files.LONGEST_NAME // 2)), b"2")
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"1", b"2"]


def test_a_label_map_whose_name_is_too_long_for_its_samples_is_named(tmp_path, monkeypatch):
    (tmp_path / "labels").mkdir()
    path = tmp_path / "labels" / f"{'x' * 250}.png"
    Image.new("L", (32, 16)).save(path)
    monkeypatch.setattr(sample, "label_map_subjects", lambda *_, faults, **__: faults)
    options = types.SimpleNamespace(labels=str(path.parent), output=str(tmp_path / "o"), size="", config=None)
    model = types.SimpleNamespace(columns=("label_map",), image_size=(16, 32), check_size=lambda *_: None)
    _, faults, _ = sample._subjects(model, options, 100)
    assert len(faults) == 1 and faults[0].startswith(f"{path} has too long a name for those of its samples (248 bytes")


def test_an_output_that_takes_no_files_is_named_with_its_flag(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write to .*/file/a/b \(.*/file: Not a directory\): choose another folder with --output"):
        files.new_folder(tmp_path / "file" / "a" / "b")
    with pytest.raises(ValueError, match=r"cannot write to /proc/new \(/proc: .*\): choose another folder with --report"):
        files.new_folder("/proc/new", "report")
    for link, error in (("nowhere", "No such file or directory"), ("loop", "Too many levels")):
        (tmp_path / "loop").symlink_to(tmp_path / link)
        with pytest.raises(ValueError, match=f"cannot write to .*/loop.* \\(.*/loop: {error}.*\\): choose another folder with --output"):
            files.new_folder(tmp_path / "loop" / "a")
        (tmp_path / "loop").unlink()
    with pytest.raises(ValueError, match=r"cannot write to /proc \(/proc: .*\): choose another folder with --output"):
        export.run(types.SimpleNamespace(format="onnx", labels=None, output="/proc/m.onnx"))
    files.new_folder(tmp_path / "new" / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
