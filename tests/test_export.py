"""Exported models generate the same images as the original model, wherever they run."""
import base64
import functools
import gzip
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
import types

import jax
import numpy as np
import pytest

from oasis_jax import export, heatmaps, saved
from oasis_jax.noise import RegionNoise, class_noise, noise_vector
from oasis_jax.oasis import family
from oasis_jax.oasis.exported import table_of
from oasis_jax.oasis.from_config import make_generator
from oasis_jax.recipes import Recipe
from tests import toy_family
from tests.tiny_run import CLASS_NAMES, save_run, tiny_config

onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")

PLAIN, NOISELESS = {}, {"z_dim": 0, "num_blocks": 2}
AWARE = {"spatial_awareness": True, "sel_blocks": "l1,none,cat"}
GRAINY = {"pixel_noise": 2, "affine_blocks": 2}
ROUND = {"spatial_awareness": True, "sel_blocks": "l2,l3", "isotropic": True, "sel_strength": 2.0, "num_blocks": 2}
SIZES = (16, 32), (36, 20), (4, 4)  # the training size, and others
# Largest and mean difference from the model, in grey levels, by how weights are stored. The tiny model's random weights all matter.
DIFFERENCES = {"float32": (1, 0.01), "float16": (1, 0.1), "int8": (10, 1)}


def make_model(**fields):
    """A model with random weights that preserve the scale of activations, so that images are not saturated and show any difference."""
    config, rng = tiny_config(**fields), np.random.default_rng(0)
    generator = make_generator(config)
    noise, maps = (np.zeros(shape) if used else None for shape, used in (((1, 8), generator.z_dim), ((1, 7, 3), generator.spatially_aware)))
    shapes = jax.eval_shape(functools.partial(generator.init, jax.random.key(0)), np.zeros((1, 16, 32), int), noise, maps)

    def fill(path, leaf):
        name = path[-1].key
        spreads = {"weight": 1, "bias": 0.3, "strength": 0.5, "u": 1, "v": 1, "mean": 0.1, "var": 0}
        spread = math.prod(leaf.shape[:-1]) ** -0.5 if name == "kernel" else spreads[name]
        values = rng.normal(name == "var", spread, leaf.shape).astype(np.float32)
        return values / np.linalg.norm(values) if name in "uv" else values * (0.5 if "conv_out" in str(path) else 1)

    variables = jax.tree_util.tree_map_with_path(fill, shapes)
    for block, convolutions in variables["spectral_norm"].items():  # v as after a power iteration
        for name, vectors in convolutions.items():
            kernel = variables["params"][block][name]["kernel"]
            image = kernel.reshape(-1, kernel.shape[-1]) @ vectors["u"]
            vectors["v"] = image / np.linalg.norm(image)
    return family.model(config, variables, step=5)


def label_map(size, seed=0):
    """Blocks of classes, with some speckle: large regions, and many different neighbourhoods."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(len(CLASS_NAMES), size=(9, 9)), np.ones((5, 5), int))[: size[0], : size[1]]
    return np.where(rng.random(size) < 0.05, rng.integers(len(CLASS_NAMES), size=size), blocks)


def onnx_session(model, **options):
    data, description = export.export(model, "onnx", **options)
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]), description


def arrays_of(model, labels, noise=None, maps=None, seed=3):
    """The inputs of an exported model, in numpy, that correspond to these arguments of `Model.sample`."""
    recipes = [Recipe(seed)]
    noise = model._noise(recipes, labels[None]) if noise is None else noise
    maps = model._heatmaps(recipes) if maps is None else maps
    return table_of(model._inputs(labels[None].astype(np.int32), noise, maps))


def assert_same(image, expected, weights="float32"):
    """Asserts that an image equals the expected one within the tolerance of a weight format, and that the expected one is not uniform."""
    assert image.dtype == np.uint8 and image.shape == expected.shape
    difference, (most, mean) = np.abs(image.astype(int) - expected), DIFFERENCES[weights]
    assert difference.max() <= most and difference.mean() <= mean and expected.std() > 5


@pytest.fixture(scope="module")
def plain():
    return make_model(**PLAIN)


@pytest.mark.parametrize(
    ("fields", "sizes"),
    [(PLAIN, SIZES[1:]), (NOISELESS, SIZES[:1]), (AWARE, SIZES[1:2]), (ROUND, SIZES[:1]), (GRAINY, SIZES[:2])],
    ids=["plain", "noiseless", "aware", "round", "grainy"],
)
def test_onnx_is_the_same_at_any_size_densely_and_on_regions(fields, sizes):
    model = make_model(**fields)
    sessions = [onnx_session(model, conditioning=conditioning)[0] for conditioning in ("dense", "regions")]
    for size in sizes:
        labels = label_map(size)
        expected = model.sample(labels, seed=3)[0]
        for session in sessions:
            (image,) = session.run(None, arrays_of(model, labels))
            assert_same(image, expected)


@pytest.mark.parametrize("conditioning", ["dense", "regions"])
def test_noise_may_be_one_for_each_class_region_or_pixel(plain, conditioning):
    session, labels = onnx_session(plain, conditioning=conditioning)[0], label_map(SIZES[0])
    vectors = np.stack([noise_vector(seed, 8) for seed in range(3)])
    masks = np.random.default_rng(1).integers(3, size=(1, *SIZES[0]))
    by_pixel = np.random.default_rng(2).standard_normal((1, *SIZES[0], 8), np.float32)
    for noise in (class_noise(0, {2: 5}, 4, 8)[None], RegionNoise(masks, vectors[None]), by_pixel):
        (image,) = session.run(None, arrays_of(plain, labels, noise))
        assert_same(image, plain.sample(labels, noise=noise)[0])


def test_stored_formats_differ_little_and_save_space(plain):
    labels, sizes = label_map(SIZES[0]), {"dense": [], "regions": []}
    expected, arrays = plain.sample(labels, seed=3)[0], arrays_of(plain, labels)
    for weights in DIFFERENCES:
        for conditioning in ("dense", "regions"):
            data, _ = export.export(plain, "onnx", weights, conditioning=conditioning)
            assert_same(onnxruntime.InferenceSession(data).run(None, arrays)[0], expected, weights)
            sizes[conditioning].append(len(data))
    assert all(larger > smaller for each in sizes.values() for larger, smaller in itertools.pairwise(each))
    data = [export.export(plain, "stablehlo", weights)[0] for weights in ("float16", "int8")]
    assert len(data[0]) > len(data[1])
    for weights, each in zip(("float16", "int8"), data, strict=True):
        assert_same(np.asarray(jax.export.deserialize(bytearray(each)).call(*arrays.values())), expected, weights)


def test_another_program_makes_a_seeds_image_of_what_the_description_says(plain):
    """Without this package: the description says everything that the program needs."""
    session, description = onnx_session(plain)
    described = json.loads(json.dumps(description))
    assert described["classes"] == list(CLASS_NAMES) and described["sizes"]["H"] == {"multiple_of": 4}
    assert "jax.random.normal(jax.random.key(seed), (8,))" in described["what_a_seed_means"]
    noise = np.asarray(jax.random.normal(jax.random.key(7), (described["z_dim"],)))
    table = np.concatenate([np.tile(noise, (4, 1)), np.eye(4, dtype=np.float32)], axis=1)
    labels = label_map(SIZES[1])
    (image,) = session.run(["image"], {"ids": labels.astype(np.int32), "table": table})
    assert_same(image, plain.sample(labels, seed=7)[0])
    check = described["check"]
    np.testing.assert_allclose(jax.random.normal(jax.random.key(check["seed"]), (8,))[:4], check["noise"], rtol=1e-6)


WITHOUT_FLAX = """
import sys
for name in ("flax", "oasis_jax", "orbax", "optax"):
    sys.modules[name] = None  # an import of it fails
import jax, numpy
with open("model.stablehlo", "rb") as file:
    model = jax.export.deserialize(bytearray(file.read()))
assert model.platforms == ("cpu", "cuda", "tpu")
with numpy.load("given.npz") as given:
    numpy.save("image.npy", model.call(*(given[name] for name in ("ids", "table", "heatmaps"))))
"""


def test_stablehlo_runs_without_flax_at_any_size(tmp_path):
    model = make_model(**AWARE)
    data, description = export.export(model, "stablehlo")
    assert list(description["inputs"]) == ["ids", "table", "heatmaps"]
    described = {name: np.float32(value) for name, value in description["heatmaps_of_seed"].items() if name != "formula"}
    exec(description["heatmaps_of_seed"]["formula"], {"jax": jax, "clip": np.clip, "seed": 4}, described)
    np.testing.assert_allclose(described["heatmaps"], heatmaps.of_seed(4), rtol=1e-6)
    assert description["inputs"]["ids"]["shape"] == ("H", "W")
    (tmp_path / "model.stablehlo").write_bytes(data)
    labels, maps = label_map(SIZES[1]), heatmaps.of_seed(9)[None]
    np.savez(tmp_path / "given.npz", **arrays_of(model, labels, maps=maps))
    subprocess.run([sys.executable, "-c", WITHOUT_FLAX], check=True, cwd=tmp_path)
    assert_same(np.load(tmp_path / "image.npy"), model.sample(labels, seed=3, heatmaps=maps)[0])


def options(run, output, **changed):
    return types.SimpleNamespace(
        **dict(checkpoint=str(run), output=str(output), format="onnx", weights=None, best=False, conditioning=None, labels=None) | changed
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    save_run(workdir, tiny_config())
    return workdir


def test_the_command_writes_a_file_and_its_description_which_onnx_also_holds(run, tmp_path, capsys):
    export.run(options(run, tmp_path / "a b.onnx", weights="float16", conditioning="regions"))
    description = json.loads((tmp_path / "a b.onnx.json").read_text())
    assert {name: description[name] for name in ("step", "format", "weights", "conditioning")} == {
        "step": 5,
        "format": "onnx",
        "weights": "float16",
        "conditioning": "regions",
    }
    session = onnxruntime.InferenceSession(tmp_path / "a b.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["oasis_jax"]) == description
    found = {each.name: (each.shape, each.type) for each in session.get_inputs()}
    assert found == {"ids": (["H", "W"], "tensor(int32)"), "table": (["K", 12], "tensor(float)")}
    assert "'" in capsys.readouterr().out  # quoted, so that it can be pasted


def test_the_page_of_the_model_in_the_box_is_at_most_8_mb(tmp_path):
    export.run(options("scenes", tmp_path / "studio.html", format="page"))
    assert (tmp_path / "studio.html").stat().st_size <= 8_000_000


def test_a_page_does_not_call_a_run_by_the_name_of_a_model_of_the_package(run, tmp_path):
    facts = {}
    for name in ("scenes", "streets"):
        shutil.copytree(run, tmp_path / name)
        export.run(options(tmp_path / name, tmp_path / f"{name}.html", format="page"))
        part = re.search(r'data-part="facts">([^<]*)<', (tmp_path / f"{name}.html").read_text())[1]
        facts[name] = json.loads(gzip.decompress(base64.b64decode(part)))["info"]
    assert [facts[name]["model"] for name in facts] == ["scenes (another model)", "streets"] and "scenes" in saved.names()
    assert not any(each["found"] for each in facts.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": "taken.onnx"}, r"taken.onnx exists: choose another, or remove it"),
        ({"output": "beside.onnx"}, r"beside.onnx.json exists: choose another"),
        ({"output": "nowhere/model.onnx"}, r"there is no folder .*nowhere: create it"),
        ({"format": "stablehlo", "conditioning": "regions"}, "--conditioning is for --format=onnx alone: omit it"),
    ],
)
def test_what_does_not_fit_is_told(run, tmp_path, change, message):
    for name in ("taken.onnx", "beside.onnx.json"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=message):
        export.run(options(run, **{"output": "new.onnx"} | change | {"output": tmp_path / change.get("output", "new.onnx")}))


@pytest.mark.parametrize(("form", "package"), [("onnx", "onnx"), ("stablehlo", "flatbuffers")])
def test_a_package_that_is_missing_is_named_with_the_extra(run, tmp_path, monkeypatch, form, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(export.flags, "FLAGS", options(run, tmp_path / "model", format=form))
    with pytest.raises(SystemExit, match=rf"export: .*{package}.*: pip install 'oasis_jax\[export\]'"):
        export.main([])
    assert not list(tmp_path.iterdir())


def test_a_family_without_anything_for_it_is_exported_as_stablehlo():
    toy_family.install()
    config, z = toy_family.get_config(), np.zeros((1, toy_family.Z_DIM))
    model = toy_family.model(config, toy_family.Generator(config.model.width).init(jax.random.key(0), z), step=1)
    data, description = export.export(model, "stablehlo")
    (name, described), z = *description["inputs"].items(), model.inputs([4], {})["z"][0]
    assert name == "z" and described["shape"] == (4,) and description["sizes"] == {}
    image = jax.export.deserialize(bytearray(data)).call(z)
    assert np.abs(np.asarray(image).astype(int) - model.sample(1, seed=4)[0]).max() <= 1
    with pytest.raises(ValueError, match="models of the family toy have no ONNX form: use --format=stablehlo"):
        export.export(model, "onnx")
