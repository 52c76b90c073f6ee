"""Equality with the numbers that were saved in a snapshot of the published EqGAN-SA."""
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import golden_dir, needs
from recipe import eqgan_array, eqgan_module

import oasis_jax
from oasis_jax.convert import write_run
from oasis_jax.eqgan import family, published
from oasis_jax.eqgan.discriminator import Discriminator
from oasis_jax.eqgan.generator import Generator
from oasis_jax.eqgan.snapshots import read_snapshot

SNAPSHOT, OFFICIAL = "eqgan/snapshot_tiny.pkl", "eqgan/official_state_dict_256.json"
GENERATOR = {"z_dim": 32, "c_dim": 0, "w_dim": 32, "img_resolution": 32, "img_channels": 3, "use_sel": True}
WIDTHS = {"channel_base": 256, "channel_max": 24, "num_fp16_res": 4, "conv_clamp": 256}


@needs(SNAPSHOT, because="it is large")
@pytest.mark.parametrize("name, alike, seed", [("G", "G_small", 4100), ("D", "D_small", 4101), ("G_ema", "G_small", 4102)])
def test_arrays_of_a_published_snapshot(name, alike, seed):
    network = read_snapshot(golden_dir() / SNAPSHOT)[name]
    # The small networks of the other cases are of the same image size, but their mapping has 8 layers, not 2.
    names = [entry for entry, _ in eqgan_module(alike)["tensors"] if not entry.startswith(tuple(f"mapping.fc{i}" for i in range(2, 8)))]
    assert list(network.arrays) == names
    for entry, array in network.arrays.items():
        np.testing.assert_array_equal(array, eqgan_array(entry, array.shape, seed), strict=True, err_msg=entry)
    if name == "D":
        blocks = {"block_kwargs": {}, "mapping_kwargs": {}, "epilogue_kwargs": {"mbstd_group_size": 4}}
        assert network.class_name == "Discriminator"
        assert network.arguments == {"c_dim": 0, "img_resolution": 32, "img_channels": 3} | WIDTHS | blocks
    else:
        assert network.class_name == "Generator"
        assert network.arguments == GENERATOR | {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": WIDTHS}


@needs(SNAPSHOT, because="it is large")
def test_a_published_snapshot_converted_to_a_run(tmp_path):
    files = {"pkl": golden_dir() / SNAPSHOT}
    config = family.published_config(files)
    ema, state = family.from_published(config, files)
    for variables, to_state_dict, seed in (
        (state.generator, published.generator_to_state_dict, 4100),
        (state.discriminator, published.discriminator_to_state_dict, 4101),
        (ema, published.generator_to_state_dict, 4102),
    ):
        for entry, array in to_state_dict({name: leaves for name, leaves in variables.items() if name != "path_length"}).items():
            np.testing.assert_array_equal(array, eqgan_array(entry, array.shape, seed), strict=True, err_msg=entry)
    write_run(tmp_path, config, ema, state)
    assert oasis_jax.load(tmp_path).sample(1, seed=0).std() > 0


@needs(OFFICIAL, because="it lists names alone")
@pytest.mark.parametrize("name", ["G", "D"])
def test_names_and_shapes_of_the_published_networks_for_256x256(name):
    listed = json.loads((golden_dir() / OFFICIAL).read_text())
    inputs = (jnp.zeros((1, 512)), jnp.zeros((1, 7, 3))) if name == "G" else (jnp.zeros((1, 256, 256, 3)),)
    network, kind = (Generator(256), "generator") if name == "G" else (Discriminator(256), "discriminator")
    template = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    shapes = {entry: tuple(shape) for entry, shape, _ in listed[name]}
    read, write = (getattr(published, f"{kind}_{way}_state_dict") for way in ("from", "to"))
    variables = read({entry: np.zeros(shape, np.float32) for entry, shape in shapes.items()}, template)
    written = {entry: array.shape for entry, array in write(variables).items()}
    assert written == {entry: shape for entry, shape in shapes.items() if not entry.endswith("resample_filter")}
    assert sum(leaf.size for leaf in jax.tree.leaves(template["params"])) == listed["counts"][f"{name}_param"]
    trained = {entry for entry, _, kind_of in listed[name] if kind_of == "param"}
    assert set(write({"params": variables["params"]})) == trained
