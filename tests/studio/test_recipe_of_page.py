"""The recipe.json that the page writes, as the sampling command reads it."""
import dataclasses

import pytest

from oasis_jax import recipe_file, sampling
from oasis_jax.studio.model_facts import model_facts
from tests.eqgan import tiny_run
from tests.studio.javascript import MARKS, run

pytestmark = MARKS
_WRITE = """
    const { recipeFile } = await import("./recipe.js");
    const { plainValues } = await import("./noise.js");
    const image = { ...plainValues(7), height: given.height, width: given.width, labels: null, regionMap: null };
    return (await recipeFile(image, given)).text();
"""


@pytest.mark.parametrize("noise", ["random", "const", "none"])
def test_a_recipe_names_the_noise_of_the_model_that_was_shown(tmp_path, noise):
    tiny_run.save_run(tmp_path / "run")
    model = dataclasses.replace(sampling.load(str(tmp_path / "run")), noise=noise)
    (tmp_path / "page").mkdir()
    file = recipe_file.read(run(tmp_path / "page", _WRITE, model_facts(model, str(tmp_path / "run"), model.image_size)).encode())
    assert (file.noise, file.step, file.recipe.seed) == (noise, 5, 7)
