"""An exported EqGAN-SA generates the same images as the model that was exported."""
import jax
import numpy as np
import pytest

import oasis_jax
from oasis_jax.eqgan import family
from oasis_jax.export import export
from oasis_jax.recipes import Recipe
from tests.eqgan.tiny_run import NUM_STYLES, save_run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    save_run(workdir)
    return oasis_jax.load(workdir)


def test_it_takes_what_a_recipe_becomes_and_says_what_a_seed_means(model):
    described = family.portable(model).described()
    inputs = model.inputs([Recipe(4)], {})
    shapes = {name: (each["shape"], each["dtype"]) for name, each in described["inputs"].items()}
    assert shapes == {name: (each.shape[1:], each.dtype.name) for name, each in inputs.items()} | {"z": (("S", 8), "float32")}
    assert described["num_styles"] == NUM_STYLES and described["output"]["image"]["shape"] == (16, 16, 3)
    check = described["check"]
    np.testing.assert_allclose(model.inputs([check["seed"]], {})["z"][0, 0, :4], check["z"], rtol=1e-6)


def test_stablehlo_is_the_same_also_truncated_and_with_mixed_styles(model):
    data, description = export(model, "stablehlo")
    inputs = model.inputs([Recipe(4, style_seeds={2: 7, 3: 9}, truncation=0.7, truncated_rows=4)], {})
    image = np.asarray(jax.export.deserialize(bytearray(data)).call(*(inputs[name][0] for name in description["inputs"])))
    assert np.abs(image.astype(int) - model.images(inputs)[0]).max() <= 1 and image.std() > 5


def test_there_is_no_onnx_of_it(model):
    with pytest.raises(ValueError, match="models of the family eqgan have no ONNX form: use --format=stablehlo"):
        export(model, "onnx")
