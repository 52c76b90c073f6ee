"""An exported EqGAN-SA generates the images of the model that it was made of."""
import jax
import numpy as np
import pytest

from oasis_jax.eqgan import family
from oasis_jax.export import export
from oasis_jax.recipes import Recipe
from tests.eqgan.tiny_run import _variables, tiny_config


@pytest.fixture(scope="module")
def model():
    return family.model(tiny_config(), _variables(""), 5)


def test_stablehlo_is_the_same_also_truncated_and_with_mixed_styles(model):
    data, description = export(model, "stablehlo")
    inputs = model.inputs([Recipe(4, style_seeds={2: 7, 3: 9}, truncation=0.7, truncated_rows=4)], {})
    image = np.asarray(jax.export.deserialize(bytearray(data)).call(*(inputs[name][0] for name in description["inputs"])))
    assert np.abs(image.astype(int) - model.images(inputs)[0]).max() <= 1 and image.std() > 5
    assert description["inputs"]["z"]["shape"] == ("S", 8) and description["num_styles"] == model.num_styles
    check = description["check"]
    np.testing.assert_allclose(jax.random.normal(jax.random.key(check["seed"]), (1, 8))[0, :4], check["z"], rtol=1e-6)


def test_there_is_no_onnx_of_it(model):
    with pytest.raises(ValueError, match="models of the family eqgan have no ONNX form: use --format=stablehlo"):
        export(model, "onnx")
