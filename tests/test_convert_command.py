"""Laws of the conversion of published checkpoints, on small networks with the published names."""
import subprocess
import sys
import types

import jax
import numpy as np
import pytest

import oasis_jax
from oasis_jax.checkpoint import CheckpointError, Checkpoints
from oasis_jax.convert import run, write_run
from oasis_jax.oasis import family
from oasis_jax.oasis.published import read_pth, to_state_dict
from tests.tiny_run import IMAGE_SIZE, random_state, tiny_config


@pytest.fixture(scope="module")
def state():
    return random_state(tiny_config())


@pytest.fixture(scope="module")
def published(state):
    """State dicts as the published system saves them, including the wrapper's prefix and the batch counters."""
    generator, discriminator = to_state_dict(state.generator), to_state_dict(state.discriminator)
    counters = {name.replace("running_mean", "num_batches_tracked"): np.int64(7) for name in generator if name.endswith("running_mean")}
    ema = {name: array * 2 if name.endswith("bias") else array for name, array in generator.items()}
    wrapped = {f"module.{name}": array for name, array in (generator | counters).items()}
    return {"ema": ema | counters, "generator": wrapped, "discriminator": discriminator}


def assert_equal(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def test_converted_networks_equal_those_that_were_published(state, published):
    ema, result = family.from_state_dicts(tiny_config(), published)
    assert_equal(result.generator, state.generator)
    assert_equal(result.discriminator, state.discriminator)
    assert_equal(result.ema, ema)
    assert_equal(to_state_dict(ema), {name: array for name, array in published["ema"].items() if "num_batches" not in name})


def test_converted_generator_can_be_sampled(published, tmp_path):
    config = tiny_config()
    ema, state = family.from_state_dicts(config, {"ema": published["ema"]})
    assert state is None
    write_run(tmp_path, config, ema)
    model = oasis_jax.load(tmp_path)
    assert model.step == 0
    assert_equal(model.variables, ema)
    assert model.sample(np.zeros(IMAGE_SIZE, int)).std() > 0


def test_training_is_resumed_from_converted_networks_at_step_zero(published, tmp_path):
    config = tiny_config()
    ema, state = family.from_state_dicts(config, published)
    write_run(tmp_path, config, ema, state)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    template = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state)
    with Checkpoints(tmp_path, keep=1, score_name="score", higher_is_better=False, read_only=True) as checkpoints:
        restored = checkpoints.restore(template)
    assert_equal(restored, state)
    assert restored.step == 0
    fresh = family.train_step(config).optimizer_g.init(restored.generator["params"])
    assert_equal(restored.opt_state_g, fresh)


def test_a_run_that_is_there_is_not_overwritten(published, tmp_path):
    config = tiny_config()
    ema, _ = family.from_state_dicts(config, {"ema": published["ema"]})
    write_run(tmp_path, config, ema)
    with pytest.raises(CheckpointError, match="holds checkpoints already"):
        write_run(tmp_path, config, ema)


def test_networks_that_do_not_fit_the_config_are_reported(published):
    config = tiny_config()
    config.data.num_classes = 5
    with pytest.raises(ValueError, match=r"--ema: .*\n.*mlp_shared[\s\S]*Is --config that of the data set"):
        family.from_state_dicts(config, {"ema": published["ema"]})
    with pytest.raises(ValueError, match="--generator and --discriminator, or neither"):
        family.from_state_dicts(tiny_config(), {name: published[name] for name in ("ema", "generator")})


@pytest.mark.parametrize(
    "name, config, flag, message",
    [
        (None, None, "ema", "give --config=FILE, or --family=NAME"),
        ("oasis", None, "ema", "give --config=FILE, the config of the data set"),
        ("eqgan", tiny_config(), "ema", "--family=eqgan, but --config is of the family oasis"),
        ("oasis", tiny_config(), "pkl", "--pkl is not a file of this family, which has ema, generator, discriminator"),
        ("eqgan", None, "ema", "--ema is not a file of this family, which has pkl"),
        ("eqgan", None, None, "give --pkl=FILE"),
    ],
)
def test_the_family_is_that_of_the_config_or_one_whose_files_describe_themselves(tmp_path, name, config, flag, message):
    files = dict.fromkeys(("ema", "generator", "discriminator", "pkl")) | ({flag: "file"} if flag else {})
    with pytest.raises(ValueError, match=message):
        run(types.SimpleNamespace(family=name, output=str(tmp_path / "run"), **files), config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "fields, files, message",
    [
        ({}, {"ema": "absent.pth"}, "^--ema=absent.pth: there is no such file"),
        ({}, {"ema": "a.pth", "generator": "absent.pth"}, "^--generator=absent.pth: there is no such file"),
        ({"data.num_classes": -1}, {"ema": "absent.pth"}, "^data.num_classes=-1 is not"),
        ({}, {"ema": "a.pth", "generator": "a.pth"}, "give --generator and --discriminator, or neither"),
        ({}, {"ema": "a.pth", "output": "run"}, "run holds checkpoints already: choose another --output"),
    ],
)
def test_what_can_be_known_is_told_before_pytorch_is_asked_for(published, tmp_path, monkeypatch, fields, files, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "a.pth").touch()
    config = tiny_config()
    if "output" in files:
        write_run(tmp_path / "run", config, family.from_state_dicts(config, {"ema": published["ema"]})[0])
    config.update_from_flattened_dict(fields)
    options = dict.fromkeys(("ema", "generator", "discriminator", "pkl", "family")) | {"output": "out"} | files
    with pytest.raises((ValueError, CheckpointError), match=message):
        run(types.SimpleNamespace(**options), config)
    assert not (tmp_path / "out").exists()


def test_without_pytorch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"x_EMA.pth needs PyTorch: pip install 'oasis_jax\[convert\]'"):
        read_pth("x_EMA.pth")


def test_command_converts_pth_files_and_tells_damaged_ones(published, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({name: torch.tensor(array) for name, array in published["ema"].items()}, tmp_path / "x_EMA.pth")
    (tmp_path / "tiny.py").write_text("from tests.tiny_run import tiny_config as get_config")
    command = [sys.executable, "-m", "oasis_jax.convert", f"--config={tmp_path / 'tiny.py'}", f"--output={tmp_path / 'run'}"]
    done = subprocess.run([*command, f"--ema={tmp_path / 'x_EMA.pth'}"], capture_output=True, text=True, check=True)
    assert "to sample" in done.stdout and oasis_jax.load(tmp_path / "run").step == 0
    (tmp_path / "empty.pth").touch()
    with pytest.raises(ValueError, match="empty.pth cannot be read as a state dict"):
        read_pth(tmp_path / "empty.pth")
