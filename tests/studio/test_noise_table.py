"""In JavaScript, the noise and classes of an image equal those of the same Recipe in Python."""
import numpy as np

from oasis_jax.noise import noise_vector, slerp
from oasis_jax.recipes import Recipe
from tests.studio.javascript import MARKS, run

pytestmark = MARKS
CLASSES = [{"id": i, "name": name} for i, name in enumerate(["sky", "road", "car"])]
SCRIPT = """
    const { tableMaker } = await import("./noise_table.js");
    const make = tableMaker(given.classes, given.length);
    return given.images.map((image) => {
        const { ids, table, rows } = make(image);
        return { ids: [...ids], table: [...table], rows };
    });
"""


def pixels(folder, *images, length=8):
    """Returns for each image the noise vector and one-hot class of its pixels, (H * W, length + N)."""
    found = run(folder, SCRIPT, {"classes": CLASSES, "length": length, "images": images})
    return [np.array(each["table"]).reshape(each["rows"], -1)[each["ids"]] for each in found]


def test_noise_of_classes_and_between_two_noises(tmp_path):
    labels = np.random.default_rng(0).integers(3, size=40)
    image = {"labels": labels.tolist(), "seed": 3}
    changed = image | {"class_seeds": {"car": 9}, "end": {"seed": 5, "class_seeds": {"sky": 11}}, "t": 0.4}
    for found, recipe in zip(pixels(tmp_path, image, changed), [Recipe(3), Recipe(3, {2: 9}, (5, {0: 11}), 0.4)], strict=True):
        np.testing.assert_allclose(found[:, :8], recipe.noise(3, 8)[labels], atol=1e-6)
        np.testing.assert_array_equal(found[:, 8:], np.eye(3)[labels])


def test_regions_have_noise_of_their_own(tmp_path):
    labels, regions = np.random.default_rng(1).integers(3, size=(2, 40))
    image = {"labels": labels.tolist(), "seed": 3, "class_seeds": {"sky": 8}}
    own = {"regionMap": regions.tolist(), "regions": [{"seed": 6, "end": None, "t": 0}, {"seed": 7, "end": 4, "t": 0.5}]}
    before, after = pixels(tmp_path, image, image | own)
    np.testing.assert_array_equal(after[regions == 0], before[regions == 0])
    np.testing.assert_allclose(after[regions == 1][:, :8], np.tile(noise_vector(6, 8), ((regions == 1).sum(), 1)), atol=1e-6)
    half = slerp(noise_vector(7, 8), noise_vector(4, 8), 0.5)
    np.testing.assert_allclose(after[regions == 2][:, :8], np.tile(half, ((regions == 2).sum(), 1)), atol=1e-6)
    np.testing.assert_array_equal(after[:, 8:], np.eye(3)[labels])


def test_a_model_without_noise_has_classes_alone(tmp_path):
    (found,) = pixels(tmp_path, {"labels": [2, 0], "seed": 1}, length=0)
    np.testing.assert_array_equal(found, np.eye(3)[[2, 0]])
