"""Laws of packed models: small folders that can be given wherever a run can."""
import types

import numpy as np
import pytest
from ml_collections import ConfigDict

import oasis_jax
from oasis_jax import evaluate, export, saved
from oasis_jax.checkpoint import CheckpointError
from oasis_jax.sample_labels import example_label_maps
from tests.tiny_run import CLASS_NAMES, IMAGE_SIZE, save_run, tiny_config

LABELS = np.random.default_rng(0).integers(len(CLASS_NAMES), size=IMAGE_SIZE)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    save_run(workdir, tiny_config(channels=4, spade_hidden=16))
    return workdir


def pack(run, output, **changed):
    fields = {"checkpoint": str(run), "output": str(output), "format": "safetensors", "weights": None, "best": False, "labels": ""}
    fields |= {"conditioning": None}
    export.run(types.SimpleNamespace(**fields | changed))
    return output


def test_a_packed_model_is_loaded_like_its_run(run, tmp_path, capsys):
    packed, model = oasis_jax.load(pack(run, tmp_path / "a model", weights="float32")), oasis_jax.load(run)
    np.testing.assert_array_equal(packed.sample(LABELS, seed=3), model.sample(LABELS, seed=3))
    assert (packed.step, packed.class_names, packed.image_size) == (model.step, model.class_names, model.image_size)
    assert f"--checkpoint='{tmp_path}/a model'" in capsys.readouterr().out  # quoted, so that it can be pasted


def test_large_arrays_are_stored_as_float16_and_computed_in_float32(run, tmp_path):
    variables, _, _ = saved.load_ema(pack(run, tmp_path / "packed"))
    original, _, _ = saved.load_ema(run)
    kernel = [each["params"]["block_0"]["conv_0"]["kernel"] for each in (variables, original)]
    assert kernel[0].dtype == np.float32 and kernel[0].size > saved.SMALL
    np.testing.assert_array_equal(kernel[0], kernel[1].astype(np.float16))
    bias = [each["params"]["conv_out"]["bias"] for each in (variables, original)]
    np.testing.assert_array_equal(*bias)
    whole = saved.packed(original, {}, 5, "float32")
    assert (tmp_path / "packed" / saved.WEIGHTS).stat().st_size < 0.7 * len(whole[saved.WEIGHTS])


def test_a_weight_too_large_for_float16_is_named():
    with pytest.raises(ValueError, match="params/kernel holds 70000, which is too large for float16: .*--weights=float32"):
        saved.packed({"params": {"kernel": np.full((20, 20), 7e4, np.float32)}}, {}, 1)


def test_names_are_those_of_the_package_unless_there_is_a_folder(run, tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "MODELS", tmp_path / "models")
    (tmp_path / "models").mkdir()
    pack(run, tmp_path / "models" / "small")
    monkeypatch.chdir(tmp_path)
    assert saved.names() == ["small"]
    assert [saved.reference(path) for path in ("small", tmp_path / "models" / "small", "gs://bucket/run")] == ["small", "small", "gs://bucket/run"]
    assert saved.reference("models/") == str(tmp_path / "models")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert saved.reference("models/") == saved.reference("~/models") == "~/models"
    assert oasis_jax.load("small").step == 5
    with pytest.raises(CheckpointError, match="no checkpoint at smal: there is no such folder; .* a model of this package: small"):
        oasis_jax.load("smal")
    save_run(tmp_path / "small", tiny_config(), steps=(8,))
    assert oasis_jax.load("small").step == 8


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        (saved.CONFIG, b"{}", "config.json .KeyError: '(step|config)'"),
        (saved.CONFIG, b"no", "config.json .JSONDecodeError"),
        (saved.CONFIG, None, "config.json .FileNotFoundError"),
        (saved.WEIGHTS, b"no", "weights.safetensors"),
    ],
)
def test_damaged_files_are_named(run, tmp_path, file, data, message):
    folder = pack(run, tmp_path / "packed")
    (folder / file).unlink() if data is None else (folder / file).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"cannot read .*{message}.*: copy the model again"):
        oasis_jax.load(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": "int8"}, "--weights=int8 is not stored in safetensors: choose float16 or float32"),
        ({"conditioning": "dense"}, "--conditioning is for --format=onnx alone: omit it"),
        ({"labels": "maps"}, "--labels=maps is for --format=page alone: omit it"),
    ],
)
def test_options_that_do_not_fit_are_told(run, tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        pack(run, tmp_path / "packed", **changed)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=f"--output={tmp_path} exists and is not an empty folder"):
        pack(run, tmp_path)


@pytest.mark.parametrize("name", saved.names())
def test_models_of_the_package_are_small_and_sample_their_examples(name):
    assert sum(file.stat().st_size for file in (saved.MODELS / name).iterdir()) < 3e6
    model = oasis_jax.load(name)
    assert oasis_jax.load(saved.MODELS / name).step == model.step
    (labels,) = example_label_maps(model, model.image_size, count=1).values()
    sky, road = (model.class_names.index(each) for each in ("sky", "road"))
    image = model.sample(labels, seed=1)[0].astype(int)
    assert image[labels == sky][:, 2].mean() > image[labels == road][:, 2].mean() + 30  # what it was trained to draw


def test_a_packed_model_has_no_state_and_no_folder_for_a_report(run, tmp_path):
    folder = pack(run, tmp_path / "packed")
    assert saved.load_state(folder) is None and saved.load_config(folder)["data"]["num_classes"] == 4
    options = types.SimpleNamespace(images=None, checkpoint=str(folder), output=None, protocol="", best=False)
    with pytest.raises(ValueError, match="is a packed model: give --output=DIR"):
        evaluate.run(options, ConfigDict(saved.load_config(folder)))
