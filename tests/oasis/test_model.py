"""Laws of sampling from a checkpoint with the library."""
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

import oasis_jax
from oasis_jax.checkpoint import CheckpointError
from oasis_jax.noise import RegionNoise, Regions, class_noise, noise_vector, slerp
from oasis_jax.oasis.capacities import fit, of_size, on_regions
from oasis_jax.recipes import Recipe
from oasis_jax.sample_options import find_class
from tests.tiny_run import CLASS_NAMES, IMAGE_SIZE, save_run, tiny_config

ROAD, CAR = CLASS_NAMES.index("road"), CLASS_NAMES.index("car")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    save_run(workdir, tiny_config(), steps=(3, 5), metrics={3: {"score": 2.0}, 5: {"score": 1.0}})
    return workdir


@pytest.fixture(scope="module")
def model(run):
    return oasis_jax.load(run)


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(0).integers(len(CLASS_NAMES), size=(5, *IMAGE_SIZE))


def test_model_tells_what_it_was_trained_for(model):
    assert (model.image_size, model.num_classes, model.class_names, model.step) == (IMAGE_SIZE, 4, CLASS_NAMES, 5)
    assert model.config.model.num_blocks == 3
    assert set(model.variables) == {"params", "batch_stats", "spectral_norm"}


def test_a_model_is_printed_in_a_few_lines(model):
    first, *rest = repr(model).splitlines()
    assert "step 5" in first and "16x32" in first and len(rest) < 5
    assert "4 classes: unlabelled, road, car, sky" in repr(model) and " parameters" in rest[-1]


def test_classes_without_names_are_numbered(tmp_path):
    config = tiny_config()
    config.data.class_names = ()
    save_run(tmp_path, config)
    assert oasis_jax.load(tmp_path).class_names == ("0", "1", "2", "3")


def test_classes_of_one_name_are_told_apart(tmp_path):
    """Recipes and the studio name classes: the noise of the second void would be redrawn in the first one instead."""
    config = tiny_config()
    config.data.class_names = ("void", "road", "void", "sky")
    save_run(tmp_path, config)
    model = oasis_jax.load(tmp_path)
    assert model.class_names == ("void", "road", "void (2)", "sky")
    recipe = Recipe(1, {2: 7})
    assert Recipe.from_json(recipe.as_json(model.class_names), model.class_names) == recipe
    assert [find_class(name, model.class_names) for name in ("void", "void (2)", "2")] == [0, 2, 2]


def test_images_are_uint8_and_vary_with_labels_and_seed(model, labels):
    images = model.sample(labels)
    assert images.dtype == np.uint8 and images.shape == (*labels.shape, 3)
    assert np.any(images[0] != images[1]) and np.std(images) > 5
    assert np.any(model.sample(labels[0], seed=0) != model.sample(labels[0], seed=1))


def test_an_image_is_the_same_alone_and_among_others(model, labels):
    together = model.sample(labels, seed=7)
    alone = [model.sample(labels[i], seed=7 + i)[0] for i in range(len(labels))]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together[[4, 1]], model.sample(labels[[4, 1]], seed=[11, 8]))


def test_images_are_the_same_on_regions_and_the_log_says_which_levels_are(model, tmp_path, caplog):
    caplog.set_level("INFO", "oasis_jax.oasis.model")
    save_run(tmp_path, tiny_config(conditioning="regions"))
    regional = oasis_jax.load(tmp_path)
    halves = np.repeat([[ROAD] * 40 + [CAR] * 56], 64, axis=0)
    speckle = np.random.default_rng(0).integers(len(CLASS_NAMES), size=IMAGE_SIZE)
    assert fit(halves, of_size(halves.shape)) and not fit(speckle, of_size(speckle.shape))
    assert [on_regions(m.conditioning, halves.shape) for m in (model, regional)] == [False, True]
    for labels in (halves, speckle):
        np.testing.assert_allclose(regional.sample(labels).astype(int), model.sample(labels), atol=1)
    assert caplog.messages[0].startswith("conditioning on regions at 64x96 (capacity: ") and caplog.messages[1] == "conditioning is dense"


def test_any_size_that_fits_can_be_sampled(model):
    assert model.sample(np.zeros((8, 20), np.uint16)).shape == (1, 8, 20, 3)


def test_best_checkpoint_is_loaded_on_demand(run, model, labels):
    best = oasis_jax.load(run, best=True)
    assert best.step == 3
    assert np.any(best.sample(labels[0]) != model.sample(labels[0]))


def test_noise_of_one_vector_may_be_given_by_class_or_region(model, labels):
    z = noise_vector(3, 8)
    expected = model.sample(labels[0], seed=3)
    np.testing.assert_array_equal(model.sample(labels[0], noise=z[None]), expected)
    np.testing.assert_array_equal(model.sample(labels[0], noise=class_noise(3, {}, 4, 8)[None]), expected)
    by_pixel = np.broadcast_to(z, (1, *IMAGE_SIZE, 8))
    np.testing.assert_allclose(model.sample(labels[0], noise=by_pixel).astype(int), expected, atol=1)
    by_region = RegionNoise(np.random.default_rng(1).integers(2, size=(1, *IMAGE_SIZE)), np.stack([[z, z]]))
    np.testing.assert_allclose(model.sample(labels[0], noise=by_region).astype(int), expected, atol=1)


def test_local_noise_moves_nothing_out_of_its_reach(model):
    """Three blocks have a receptive field wider than 16x32, so the image is wide: its right half is out of reach of its left edge."""
    labels = np.full((1, 16, 256), ROAD)
    labels[:, :, :8] = CAR
    before = model.sample(labels, noise=class_noise(0, {}, 4, 8)[None])
    redrawn = model.sample(labels, noise=class_noise(0, {CAR: 1}, 4, 8)[None])
    assert np.any(before[:, :, :8] != redrawn[:, :, :8])
    np.testing.assert_array_equal(before[:, :, 128:], redrawn[:, :, 128:])
    regions = RegionNoise((labels == CAR).astype(np.uint8), np.stack([[noise_vector(0, 8), noise_vector(1, 8)]]))
    np.testing.assert_allclose(model.sample(labels, noise=regions).astype(int), redrawn, atol=1)


def image_of(model, recipe, labels):
    return model.images(model.inputs([recipe], {"label_map": labels[None]}))[0]


def test_regions_change_nothing_but_the_noise_of_their_pixels(model, labels):
    """Equal to the last bit: a region without pixels changes nothing, and a region of all pixels of a class acts as a seed of the class."""
    labels = labels[0]
    nowhere = Regions(np.zeros(IMAGE_SIZE, np.uint8), (7,))
    for recipe in (Recipe(3), Recipe(3, {CAR: 5})):
        expected = image_of(model, recipe, labels)
        np.testing.assert_array_equal(image_of(model, dataclasses.replace(recipe, regions=nowhere), labels), expected)
    of_class = Recipe(3, {ROAD: 4}, regions=Regions((labels == CAR).astype(np.uint8), (5,)))
    np.testing.assert_array_equal(image_of(model, of_class, labels), image_of(model, Recipe(3, {ROAD: 4, CAR: 5}), labels))


def test_resampling_a_region_changes_its_rows_alone_and_no_shape(model, labels):
    """Ids and table keep their shapes when the number of regions changes, so that a compiled program can be reused."""
    drawn, labels = np.random.default_rng(1).integers(4, size=IMAGE_SIZE, dtype=np.uint8), labels[0]

    def conditioning(seeds):
        return model.inputs([Recipe(3, regions=Regions(drawn % (len(seeds) + 1), seeds))], {"label_map": labels[None]})["conditioning"]

    before, after, fewer = conditioning((1, 2, 3)), conditioning((1, 9, 3)), conditioning((1,))
    assert before.table.shape == after.table.shape == fewer.table.shape == (1, 64, 12)
    np.testing.assert_array_equal(before.ids, after.ids)
    changed = np.unique(before.ids[0][(before.dense(*IMAGE_SIZE) != after.dense(*IMAGE_SIZE)).any(-1)[0]])
    np.testing.assert_array_equal(changed, np.unique(before.ids[0][drawn == 2]))
    np.testing.assert_array_equal(before.dense(*IMAGE_SIZE)[0, drawn == 3, :8], np.tile(noise_vector(3, 8), ((drawn == 3).sum(), 1)))


def test_regions_that_do_not_fit_the_model_are_reported(model, labels, tmp_path):
    regions = Regions(np.zeros((8, 8), np.uint8), ())
    with pytest.raises(ValueError, match="regions is 8x8, but its label map 16x32: both must be of one size"):
        model.inputs([Recipe(0, regions=regions)], {"label_map": labels[:1]})
    save_run(tmp_path, tiny_config(z_dim=0))
    with pytest.raises(ValueError, match="but this model has no noise: leave them out"):
        oasis_jax.load(tmp_path).inputs([Recipe(0, regions=regions)], {"label_map": labels[:1]})


def test_model_without_noise_samples(tmp_path, labels):
    save_run(tmp_path, tiny_config(z_dim=0))
    model = oasis_jax.load(tmp_path)
    np.testing.assert_array_equal(model.sample(labels[:2], seed=0), model.sample(labels[:2], seed=9))
    with pytest.raises(ValueError, match="z_dim=0"):
        model.sample(labels[0], noise=np.zeros((1, 8)))


def test_sampling_imports_nothing_that_only_training_needs(run):
    code = (
        "import sys, numpy, oasis_jax\n"
        f"oasis_jax.load({str(run)!r}).sample(numpy.zeros({IMAGE_SIZE}, int))\n"
        "import oasis_jax.sample, oasis_jax.export, oasis_jax.command_line\n"
        "sys.exit(', '.join({*oasis_jax.command_line.TRAINING} & {*sys.modules}) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not done.stderr and done.returncode == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(IMAGE_SIZE, 4), r"labels hold id 4, but there are 4 classes \(0\.\.3\)"),
        (np.full(IMAGE_SIZE, -1), r"labels hold id -1"),
        (np.zeros(IMAGE_SIZE, np.float32), "labels are float32, but should be integers"),
        (np.zeros((16, 30), int), "16x30 does not fit.* divisible by 4; nearest heights 16, widths 28 or 32"),
        (np.zeros((*IMAGE_SIZE, 1), int), r"without channels: leave out the last axis, labels\[..., 0\]"),
        (np.zeros((1, *IMAGE_SIZE, 1), int), r"without channels: leave out the last axis, labels\[..., 0\]"),
        (np.zeros((*IMAGE_SIZE, 1, 1), int), r"should be \(H, W\) or \(B, H, W\)"),
        (np.zeros((0, *IMAGE_SIZE), int), r"should be \(H, W\) or \(B, H, W\)"),
    ],
)
def test_labels_that_do_not_fit_are_reported(model, labels, message):
    with pytest.raises(ValueError, match=message):
        model.sample(labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": [1, 2]}, "2 seeds were given for 1 images"),
        ({"seed": -1}, "seed -1 is not an integer in 0..4294967295"),
        ({"seed": 1.0}, "seed 1.0 is neither an integer, to count from, nor a sequence of integers"),
        ({"seed": None}, "seed None is neither"),
        ({"seed": [0.5]}, "seed 0.5 is not an integer"),
        ({"noise": np.zeros((1, 7))}, "z_dim=8, but noise vectors of length 7"),
        ({"noise": np.zeros((2, 8))}, r"noise is \(2, 8\)"),
        ({"noise": RegionNoise(np.ones((1, *IMAGE_SIZE), int), np.zeros((1, 1, 8)))}, "region_map hold id 1, but there are 1 regions"),
        ({"noise": RegionNoise(np.ones((1, *IMAGE_SIZE), int), np.zeros((1, 2, 7)))}, r"vectors is \(1, 2, 7\)"),
        ({"noise": RegionNoise(np.ones((1, 4, 4), int), np.zeros((1, 2, 8)))}, r"region_map is \(1, 4, 4\)"),
    ],
)
def test_noise_that_does_not_fit_is_reported(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.sample(np.zeros(IMAGE_SIZE, int), **arguments)


@pytest.mark.parametrize("change", [{"style_seeds": {0: 1}}, {"truncation": 0.5}])
def test_recipes_of_models_with_styles_are_refused(model, labels, change):
    with pytest.raises(ValueError, match="has style_seeds or a truncation, but this model has no styles: leave them out"):
        model.inputs([Recipe(0), Recipe(0, **change)], {"label_map": labels[:2]})


def test_a_folder_without_checkpoint_is_reported(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        oasis_jax.load(tmp_path)


def test_slerp_moves_the_direction_on_the_sphere_and_the_norm_linearly():
    a, b = np.float32([3, 0, 0]), np.float32([0, 1, 0])
    np.testing.assert_allclose(slerp(a, b, 0.5), 2 * np.sqrt(0.5) * np.float32([1, 1, 0]), rtol=1e-6)
    rows = [np.stack([noise_vector(seed, 64) for seed in seeds]) for seeds in ((0, 1), (2, 3))]
    np.testing.assert_array_equal(slerp(*rows, 0), rows[0])
    np.testing.assert_array_equal(slerp(*rows, 1), rows[1])
    unit = [vector / np.linalg.norm(vector) for vector in (slerp(*rows, t)[0] for t in (0, 0.25, 0.5, 1))]
    angles = np.arccos([vector @ unit[0] for vector in unit[1:]])
    np.testing.assert_allclose(angles / angles[2], [0.25, 0.5, 1], rtol=1e-4)


@pytest.mark.parametrize("end", [[2, 0], [-2, 0], [0, 0], [1, 0]])
def test_slerp_of_parallel_vectors_is_a_straight_line(end):
    np.testing.assert_allclose(slerp(np.float32([1, 0]), np.float32(end), 0.25), 0.75 * np.float32([1, 0]) + 0.25 * np.float32(end))


def test_class_noise_redraws_only_the_classes_named():
    noise = class_noise(5, {2: 6}, num_classes=4, z_dim=8)
    np.testing.assert_array_equal(noise, np.stack([noise_vector(s, 8) for s in (5, 5, 6, 5)]))
    with pytest.raises(ValueError, match="no class 4"):
        class_noise(5, {4: 6}, num_classes=4, z_dim=8)
    with pytest.raises(ValueError, match=r"no class 'road' .*: give its number, model.class_names.index\('road'\)"):
        class_noise(5, {"road": 6}, num_classes=4, z_dim=8)


def test_a_recipe_with_numbers_of_numpy_is_written_as_json():
    seeds, ids = (np.int64(3), (np.uint32(4), np.int32(5), np.float32(0.5))), np.ones(IMAGE_SIZE, np.uint8)
    record = Recipe(np.int64(1), regions=Regions(ids, seeds)).as_json(CLASS_NAMES)
    assert json.loads(json.dumps(record))["regions"]["seeds"] == [{"seed": 3}, {"seed": 4, "end": 5, "t": 0.5}]
