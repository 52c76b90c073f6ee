"""Equality with the numbers that were saved in a snapshot of the published EqGAN-SA."""
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import golden_dir, needs
from recipe import eqgan_array

import oasis_jax
from oasis_jax.convert import write_run
from oasis_jax.eqgan import family, published
from oasis_jax.eqgan.discriminator import Discriminator
from oasis_jax.eqgan.generator import Generator
from oasis_jax.eqgan.snapshots import read_snapshot

SNAPSHOT, OFFICIAL = "eqgan/snapshot_tiny.pkl", "eqgan/official_state_dict_256.json"
SEEDS = {"G": 4100, "D": 4101, "G_ema": 4102}  # the usual ones; another set may have others, below 100000


def seed_of(name, network):
    """Finds the seed with which the recipe reproduces the first bias of a network."""
    entry, array = next((entry, array) for entry, array in network.arrays.items() if entry.endswith("bias"))
    return next(seed for seed in (SEEDS[name], *range(100_000)) if np.array_equal(eqgan_array(entry, array.shape, seed), array))


def names_at(resolution, mapping_layers, listed):
    """Names of a network's arrays, from those listed for 256x256. The finest block is renamed: D's differs from its other blocks."""
    names = []
    for entry, _, _ in listed:
        side, layer = (int(found[1]) if (found := re.search(pattern, entry)) else 0 for pattern in (r"\bb(\d+)\.", r"\.fc(\d+)\."))
        if side in (256, 0) or side < resolution:
            names += [re.sub(r"\bb256\.", f"b{resolution}.", entry)] if layer < mapping_layers else []
    return names


@needs(SNAPSHOT, OFFICIAL, because="it is large")
@pytest.mark.parametrize("name", list(SEEDS))
def test_arrays_of_a_published_snapshot(name):
    network, listed = read_snapshot(golden_dir() / SNAPSHOT)[name], json.loads((golden_dir() / OFFICIAL).read_text())
    kind, arguments = name[0], network.arguments
    layers = arguments["mapping_kwargs"].get("num_layers", 1)
    assert list(network.arrays) == names_at(arguments["img_resolution"], layers, listed[kind])
    seed = seed_of(name, network)
    for entry, array in network.arrays.items():
        np.testing.assert_array_equal(array, eqgan_array(entry, array.shape, seed), strict=True, err_msg=entry)
    assert network.class_name == {"G": "Generator", "D": "Discriminator"}[kind]
    assert jax.tree.structure(arguments) == jax.tree.structure(listed[f"{kind}_kwargs"])
    shapes = {entry: array.shape for entry, array in network.arrays.items()}
    if kind == "G":
        assert (arguments["w_dim"], arguments["z_dim"]) == shapes["mapping.fc0.weight"]
        assert arguments["img_channels"] == shapes["synthesis.b4.torgb.weight"][0]
        widths, of_widths = arguments["synthesis_kwargs"], shapes["synthesis.b4.const"][0]
    else:
        assert arguments["img_channels"] == shapes[f"b{arguments['img_resolution']}.fromrgb.weight"][1]
        widths, of_widths = arguments, shapes["b4.out.weight"][1]
    assert of_widths == min(widths["channel_base"] // 4, widths["channel_max"])


@needs(SNAPSHOT, because="it is large")
def test_a_published_snapshot_converted_to_a_run(tmp_path):
    files = {"pkl": golden_dir() / SNAPSHOT}
    config = family.published_config(files)
    ema, state = family.from_published(config, files)
    networks = read_snapshot(files["pkl"])
    for variables, to_state_dict, name in (
        (state.generator, published.generator_to_state_dict, "G"),
        (state.discriminator, published.discriminator_to_state_dict, "D"),
        (ema, published.generator_to_state_dict, "G_ema"),
    ):
        seed = seed_of(name, networks[name])
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
