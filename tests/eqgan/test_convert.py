"""Laws of converting published snapshots: the result is a run that generates the same images, or an error that says what the file holds."""
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oasis_jax
from configs import eqgan as recipe
from oasis_jax import convert, sampling
from oasis_jax.checkpoint import CheckpointError, load_state
from oasis_jax.config_flag import flat
from oasis_jax.eqgan import family
from oasis_jax.eqgan.discriminator import Discriminator
from oasis_jax.eqgan.from_config import make_train_step
from oasis_jax.eqgan.generator import Generator
from oasis_jax.eqgan.published import discriminator_to_state_dict, generator_to_state_dict
from oasis_jax.heatmaps import NUM_MAPS
from oasis_jax.training.resuming import check_config_fits
from tests.snapshot_files import malicious, network_of, pickled, snapshot

SIDE, CLAMP = 16, 0.5  # a clamp low enough to change images
WIDTHS = {"channel_base": 32, "channel_max": 4}
MAPPING = {"z_dim": 6, "w_dim": 5, "mapping_layers": 2}
FILTER = np.full((4, 4), 1 / 16, np.float32)


def random_like(template, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), template)


def random_networks(sel):
    """Tiny networks: {name: (module, random variables)} for the names "G", "D" and "G_ema"."""
    generator = Generator(SIDE, **WIDTHS, **MAPPING, sel_hidden=64 if sel else 0, clamp=CLAMP)
    discriminator = Discriminator(SIDE, **WIDTHS, group_size=4, clamp=CLAMP)
    heatmaps = jnp.ones((1, NUM_MAPS, 3)) if sel else None
    key = jax.random.key(0)
    of_g = jax.eval_shape(generator.init, key, jnp.zeros((1, MAPPING["z_dim"])), heatmaps)
    of_d = jax.eval_shape(discriminator.init, key, jnp.zeros((1, SIDE, SIDE, 3)))
    return {
        "G": (generator, random_like(of_g, 0)),
        "D": (discriminator, random_like(of_d, 1)),
        "G_ema": (generator, random_like(of_g, 2)),
    }


@pytest.fixture(scope="module")
def networks():
    return {sel: random_networks(sel) for sel in (True, False)}


def arguments(sel=True):
    """Constructor arguments as stored in a snapshot; those of StyleGAN2-ADA (sel=False) lack `use_sel`."""
    widths = WIDTHS | {"num_fp16_res": 0, "conv_clamp": CLAMP}
    shared = {"c_dim": 0, "img_resolution": SIDE, "img_channels": 3}
    generator = shared | {"z_dim": 6, "w_dim": 5, "mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": widths}
    return {
        "G": generator | ({"use_sel": True} if sel else {}),
        "D": shared | widths | {"block_kwargs": {}, "mapping_kwargs": {}, "epilogue_kwargs": {"mbstd_group_size": 4}},
    }


def arrays(variables, to_state_dict):
    """The entries of a state dict, with the `resample_filter` that published networks have in every layer."""
    entries = to_state_dict(variables)
    layers = {name.rpartition(".")[0] for name in entries if name.endswith(".weight") and ".affine" not in name}
    return entries | {f"{layer}.resample_filter": FILTER for layer in layers}


def write(path, networks, given, **changed):
    """Writes a snapshot of `networks` with the constructor arguments `given`; `changed`, {name: record}, replaces their records."""
    records = {
        "G": network_of("Generator", arrays(networks["G"][1], generator_to_state_dict), given["G"]),
        "D": network_of("Discriminator", arrays(networks["D"][1], discriminator_to_state_dict), given["D"]),
        "G_ema": network_of("Generator", arrays(networks["G_ema"][1], generator_to_state_dict), given["G"]),
    }
    path.write_bytes(pickled(snapshot(**records | changed)))
    return path


def options(path, output, name="eqgan"):
    return types.SimpleNamespace(family=name, pkl=str(path), output=str(output), ema=None, generator=None, discriminator=None)


def assert_equal(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def test_arguments_without_effect_are_accepted(networks, tmp_path):
    """Those of networks that NVIDIA's tools converted from TensorFlow, and of a memory layout."""
    given = arguments()
    mapping = {"num_layers": 0, "embed_features": None, "layer_features": None, "activation": "lrelu", "lr_multiplier": 0.1}
    given["D"] |= {"cmap_dim": None, "mapping_kwargs": mapping, "block_kwargs": {"fp16_channels_last": True}}
    given["G"]["synthesis_kwargs"] = given["G"]["synthesis_kwargs"] | {"fp16_channels_last": True}
    convert.run(options(write(tmp_path / "x.pkl", networks[True], given), tmp_path / "run"), None)
    assert oasis_jax.load(tmp_path / "run").step == 0


@pytest.mark.parametrize("sel", [True, False])
def test_the_run_generates_the_images_of_the_published_generator(networks, tmp_path, sel):
    convert.run(options(write(tmp_path / "x.pkl", networks[sel], arguments(sel)), tmp_path / "run"), None)
    model = oasis_jax.load(tmp_path / "run")
    assert model.step == 0 and model.spatially_aware == sel and model.image_size == (SIDE, SIDE)
    assert {leaf.dtype for leaf in jax.tree.leaves(model.variables)} == {jnp.dtype("float32")}
    inputs = model.inputs([0, 1, 2], {})
    found = sampling.generate(model.generate, model.variables, inputs)
    generator, variables = networks[sel]["G_ema"]
    noise = jax.vmap(model.generate._noise_of)(inputs["seed"])
    expected = jax.jit(generator.apply)(variables, inputs["z"][:, 0], inputs["heatmaps"], noise)
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert model.sample(1, seed=0).shape == (1, SIDE, SIDE, 3)


def test_training_resumes_from_the_networks_at_step_zero(networks, tmp_path):
    path = write(tmp_path / "x.pkl", networks[True], arguments())
    config = family.published_config({"pkl": path})
    ema, state = family.from_published(config, {"pkl": path})
    for found, name in ((state.generator, "G"), (state.discriminator, "D"), (ema, "G_ema"), (state.ema, "G_ema")):
        assert_equal({collection: leaves for collection, leaves in found.items() if collection != "path_length"}, networks[True][name][1])
    fresh = jax.eval_shape(lambda: make_train_step(config).init((SIDE, SIDE)))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), fresh)
    assert state.step == 0 and ema["path_length"]["mean"] == 0
    assert_equal(state.opt_state_g, make_train_step(config).optimizer_g.init(state.generator["params"]))
    convert.write_run(tmp_path / "run", config, ema, state)
    assert_equal(load_state(tmp_path / "run")["discriminator"], state.discriminator)


def test_the_config_has_the_fields_of_the_recipe_with_their_types(networks, tmp_path):
    config = family.published_config({"pkl": write(tmp_path / "x.pkl", networks[False], arguments(False))})
    of_file, of_recipe = ({field: type(value) for field, value in flat(each).items()} for each in (config, recipe.get_config()))
    assert of_file == of_recipe
    assert config.model.clamp == CLAMP and config.model.num_reduced == 0 and config.model.mbstd_group_size == 4
    given = arguments()
    given["G"]["synthesis_kwargs"]["conv_clamp"] = given["D"]["conv_clamp"] = None
    given["G"]["synthesis_kwargs"].update(architecture="skip", resample_filter=[1, 3, 3, 1])  # the default values, written out
    assert family.published_config({"pkl": write(tmp_path / "x.pkl", networks[True], given)}).model.clamp == 0


def test_a_config_is_used_if_it_fits_the_snapshot(networks, tmp_path):
    path = write(tmp_path / "x.pkl", networks[False], arguments(False))
    config = recipe.get_config("baseline")
    with pytest.raises(ValueError, match=r"data.image_size is \(256, 256\) in --config, but \(16, 16\) in --pkl"):
        convert.run(options(path, tmp_path / "run"), config)
    with config.unlocked():
        config.update(family.published_config({"pkl": path}))
        config.train.lr_g = 0.5
    convert.run(options(path, tmp_path / "run", name=None), config)
    assert oasis_jax.load(tmp_path / "run").config.train.lr_g == 0.5


def test_the_average_of_a_snapshot_is_not_begun_anew(networks, tmp_path):
    path = write(tmp_path / "x.pkl", networks[True], arguments())
    config = family.published_config({"pkl": path})
    saved = config.to_dict()
    config.train.ema_ramp = 0.05
    with pytest.raises(ValueError, match="train.ema_ramp=0.05 would begin a new average.*give --config.train.ema_ramp=0"):
        family.from_published(config, {"pkl": path})
    with pytest.raises(CheckpointError, match=r"differ in train.ema_ramp \(checkpoint 0.0, config 0.05\)"):
        check_config_fits(saved, config.to_dict(), family.free_model_fields, family.fixed_train_fields)


CHANGES = {
    "conditional": ("G", {"c_dim": 10}, "G was made with c_dim=10: only 0 is supported"),
    "of grey images": ("D", {"img_channels": 1}, "D was made with img_channels=1: only 3"),
    "another D": ("D", {"architecture": "orig"}, "D was made with architecture='orig': only 'resnet'"),
    "another G": ("G", {"synthesis_kwargs.architecture": "resnet"}, "synthesis_kwargs.architecture='resnet': only 'skip'"),
    "another filter": ("G", {"synthesis_kwargs.resample_filter": [1, 2, 1]}, r"resample_filter=\[1, 2, 1\]: only"),
    "an unknown argument": ("G", {"mapping_kwargs.magic": 1}, "mapping_kwargs.magic=1: this argument is not supported"),
    "an argument that is missing": ("G", {"z_dim": ...}, "G does not say its z_dim"),
    "too small": ("G", {"img_resolution": 8}, "img_resolution=8: supported are whole numbers from 16 to 1024"),
    "no power of two": ("both", {"img_resolution": 24}, "24.*images must be square, with a side of 16, 32"),
    "not a number": ("G", {"w_dim": "many"}, "w_dim='many': supported are whole numbers"),
    "endless": ("G", {"mapping_kwargs.num_layers": 10**9}, "mapping_kwargs.num_layers=1000000000: supported are .* to 64"),
    "clamped to nothing": ("D", {"conv_clamp": float("nan")}, "conv_clamp=nan: supported are positive numbers"),
    "clamped beyond numbers": ("D", {"conv_clamp": 10**400}, "conv_clamp=1000.*: supported are positive numbers"),
    "networks that do not fit": ("D", {"channel_max": 3}, "D was made with channel_max for model.channel_max=3, but G for 4"),
    "other layers": ("G", {"mapping_kwargs.num_layers": 3}, r"G: the state dict [\s\S]*missing mapping.fc2.bias[\s\S]*says it has"),
    "other widths": ("both", {"channel_base": 64}, r"b16.conv1.bias gives \(2,\), but .* is \(4,\)"),
    "SELs that it does not say": ("G", {"use_sel": ...}, r"unexpected synthesis.b4.conv1.sel.mu.bias"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_architecture_is_refused_by_what_the_file_holds(networks, tmp_path, change):
    name, changed, message = CHANGES[change]
    given = arguments()
    for network in ("G", "D") if name == "both" else (name,):
        for argument, value in changed.items():
            prefix = "synthesis_kwargs." if network == "G" and argument in given["G"]["synthesis_kwargs"] else ""
            *sections, last = f"{prefix}{argument}".split(".")
            section = given[network][sections[0]] if sections else given[network]
            section.pop(last) if value is ... else section.update({last: value})
    path = write(tmp_path / "x.pkl", networks[True], given)
    with pytest.raises(ValueError, match=message):
        convert.run(options(path, tmp_path / "run"), None)
    assert not (tmp_path / "run").exists()


def test_a_published_snapshot_is_trained_further_with_the_published_config(tmp_path):
    widths = {"channel_base": 16_384, "channel_max": 512, "num_fp16_res": 4, "conv_clamp": 256}
    shared = {"c_dim": 0, "img_resolution": 256, "img_channels": 3}
    of_g = shared | {"z_dim": 512, "w_dim": 512, "mapping_kwargs": {"num_layers": 8}, "synthesis_kwargs": widths, "use_sel": True}
    of_d = shared | widths | {"block_kwargs": {"freeze_layers": 0}, "mapping_kwargs": {}, "epilogue_kwargs": {"mbstd_group_size": 8}}
    generator, discriminator = network_of("Generator", {}, of_g), network_of("Discriminator", {}, of_d)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickled(snapshot(G=generator, D=discriminator, G_ema=generator)))
    converted, config = family.published_config({"pkl": path}), recipe.get_config()
    assert converted.model.mbstd_groups == 8 != config.model.mbstd_groups
    check_config_fits(converted.to_dict(), config.to_dict(), family.free_model_fields)
    with pytest.raises(CheckpointError, match="differ in model.mbstd_groups "):
        check_config_fits(converted.to_dict(), config.to_dict())


def test_weights_that_are_not_finite_are_refused_by_name(networks, tmp_path):
    entries = arrays(networks[False]["G"][1], generator_to_state_dict)
    entries["synthesis.b8.conv0.weight"] = np.full_like(entries["synthesis.b8.conv0.weight"], np.nan)
    path = write(tmp_path / "x.pkl", networks[False], arguments(False), G=network_of("Generator", entries, arguments(False)["G"]))
    with pytest.raises(ValueError, match=r"x.pkl: G: \S*b8/conv0/weight has values that are NaN or infinite"):
        convert.run(options(path, tmp_path / "run"), None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("shape", [(), (5,), (4, 7), (2, 3, 4, 5, 6)])
def test_arrays_of_wrong_shapes_are_refused_by_name(networks, tmp_path, shape):
    entries = arrays(networks[True]["D"][1], discriminator_to_state_dict) | {"b4.fc.weight": np.zeros(shape, np.float32)}
    path = write(tmp_path / "x.pkl", networks[True], arguments(), D=network_of("Discriminator", entries, arguments()["D"]))
    with pytest.raises(ValueError, match=r"x.pkl: D: [\s\S]*b4.fc.weight"):
        convert.run(options(path, tmp_path / "run"), None)


def test_another_class_is_refused_by_its_name(networks, tmp_path):
    path = write(tmp_path / "x.pkl", networks[True], arguments(), G_ema=network_of("StyleGAN3", {}, arguments()["G"]))
    with pytest.raises(ValueError, match="G_ema is a network of the class StyleGAN3: only Generator"):
        convert.run(options(path, tmp_path / "run"), None)


def truncated_and_malicious(whole, trace):
    return {"truncated": whole[: len(whole) // 2], "empty": b""} | malicious(trace)


@pytest.mark.parametrize("name", truncated_and_malicious(b"", ""))
def test_the_command_ends_with_what_is_wrong_with_a_file_and_writes_nothing(networks, tmp_path, monkeypatch, name):
    path = write(tmp_path / "x.pkl", networks[False], arguments(False))
    path.write_bytes(truncated_and_malicious(path.read_bytes(), tmp_path / "executed")[name])
    flags = vars(options(path, tmp_path / "run")) | {"config": None}
    monkeypatch.setattr(convert.flags, "FLAGS", types.SimpleNamespace(**flags))
    with pytest.raises(SystemExit, match="^convert: cannot read .*x.pkl as a snapshot: .*give a network-snapshot"):
        convert.main(["convert"])
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_needs_no_config(networks, tmp_path):
    path = write(tmp_path / "x.pkl", networks[False], arguments(False))
    command = [sys.executable, "-m", "oasis_jax.convert", "--family=eqgan", f"--pkl={path}", f"--output={tmp_path / 'run'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"to sample: python -m oasis_jax.sample --checkpoint={tmp_path / 'run'} --output" in done.stdout
    assert oasis_jax.load(tmp_path / "run").config.family == "eqgan"
