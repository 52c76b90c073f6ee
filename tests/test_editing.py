"""Laws of sampling and editing with heatmaps, by the library and by the command."""
import json

import numpy as np
import pytest
from PIL import Image

import oasis_jax
from oasis_jax import editing, sample
from oasis_jax.heatmaps import explicit, of_seed, with_centres
from oasis_jax.noise import noise_vector
from oasis_jax.recipes import Recipe
from tests.sample_options import sample_options
from tests.tiny_run import CLASS_NAMES, IMAGE_SIZE, save_run, tiny_config

LABELS = np.random.default_rng(0).integers(4, size=IMAGE_SIZE)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run folders of a spatially aware model and of one that is not."""
    # With random weights, features are large, so the spatially aware branches must be large as well.
    aware = tiny_config(spatial_awareness=True, sel_blocks="l1,cat,none", sel_strength=1e5)
    folders = {}
    for name, config in (("aware", aware), ("plain", tiny_config(num_blocks=1))):
        folders[name] = tmp_path_factory.mktemp(name)
        save_run(folders[name], config)
    return folders


@pytest.fixture(scope="module")
def model(runs):
    return oasis_jax.load(runs["aware"])


def test_a_seed_gives_noise_and_heatmaps(model):
    image = model.sample(LABELS, seed=3)
    np.testing.assert_array_equal(image, model.sample(LABELS, noise=noise_vector(3, 8)[None], heatmaps=of_seed(3)))
    assert np.any(image != model.sample(LABELS, seed=3, heatmaps=of_seed(4)))
    together = model.sample(np.stack([LABELS] * 2), seed=2)
    np.testing.assert_array_equal(together[1:], image)


def test_heatmaps_are_given_for_one_image_or_for_each(model):
    several = np.stack([of_seed(0), of_seed(1)])
    images = model.sample(np.stack([LABELS] * 2), seed=[5, 5], heatmaps=several)
    for image, one in zip(images, several, strict=True):
        np.testing.assert_array_equal(image, model.sample(LABELS, seed=5, heatmaps=one)[0])


@pytest.mark.parametrize(
    ("heatmaps", "message"),
    [
        (of_seed(0)[:5], r"heatmaps are \(1, 5, 3\), but should be \(1, 7, 3\)"),
        (np.stack([of_seed(0)] * 2), r"heatmaps are \(2, 7, 3\), but should be \(1, 7, 3\)"),
        (of_seed(0) * np.inf, "is (inf|-inf): give a finite number"),
        (-np.abs(of_seed(0)), "should be positive"),
    ],
)
def test_heatmaps_that_do_not_fit_are_reported(model, heatmaps, message):
    with pytest.raises(ValueError, match=message):
        model.sample(LABELS, heatmaps=heatmaps)


def test_heatmaps_for_a_model_trained_without_them_are_reported(runs):
    with pytest.raises(ValueError, match="trained without model.spatial_awareness: omit them"):
        oasis_jax.load(runs["plain"]).sample(LABELS, heatmaps=of_seed(0))


def test_a_checkpoint_older_than_spatial_awareness_loads(tmp_path):
    config = tiny_config(num_blocks=1)
    with config.unlocked():
        for field in ("spatial_awareness", "sel_blocks", "sel_strength", "isotropic"):
            del config.model[field]
    save_run(tmp_path, config)
    assert not oasis_jax.load(tmp_path).generator.spatially_aware


def test_a_strip_starts_where_its_path_does_and_changes_along_it(model):
    path = editing.straight((-0.5, -0.5), (0.5, 0.75), 3)
    images, frames = editing.strip(model, LABELS, path, seed=1)
    np.testing.assert_allclose(frames[:, 0, :2], path, atol=1e-6)
    np.testing.assert_array_equal(images[0], model.sample(LABELS, seed=1, heatmaps=with_centres(of_seed(1), path[0]))[0])
    change = editing.mean_absolute_change(images)
    assert change.shape == IMAGE_SIZE and change.max() > 0


def test_a_path_that_stands_still_changes_nothing(model):
    path = np.stack([of_seed(0)[:, :2]] * 2)
    images, _ = editing.strip(model, LABELS, path)
    assert not editing.mean_absolute_change(images).any()
    np.testing.assert_array_equal(images[0], model.sample(LABELS)[0])


def test_mean_absolute_change_is_that_of_neighbouring_images():
    images = np.zeros((3, 2, 2, 3), np.uint8)
    images[1, 0, 0], images[2, 0, 0], images[2, 1, 1] = 30, 10, (0, 0, 60)
    np.testing.assert_allclose(editing.mean_absolute_change(images), [[25, 0], [0, 10]])


def test_the_picture_of_heatmaps_is_brightest_at_their_centres():
    centres = np.repeat([[-1, -1], [-1, 1], [1, 1]], [1, 2, 4], axis=0)
    picture = editing.picture(explicit(centres, 0.1)[0], (8, 16))
    assert [np.unravel_index(picture[..., c].argmax(), (8, 16)) for c in range(3)] == [(0, 0), (0, 15), (7, 15)]


def run_command(run, folder, **options):
    Image.fromarray(LABELS.astype(np.uint8)).save(folder / "labels.png")
    sample.run(sample_options(run, folder / "out", labels=str(folder / "labels.png"), **options))
    summary = json.loads((folder / "out" / "samples.json").read_text())
    return [(record, np.asarray(Image.open(folder / "out" / record["file"]))) for record in summary["images"]]


@pytest.mark.parametrize("options", [{}, {"heatmap_centres": ["0.25:-0.5"]}, {"heatmap_centres": ["0.5:0"] * 7, "interpolate": 3}])
def test_the_command_writes_the_heatmaps_that_it_used(runs, model, tmp_path, options):
    for record, image in run_command(runs["aware"], tmp_path, **options):
        heatmaps = np.asarray(record["heatmaps"], np.float32)
        noise = Recipe.from_json(record, CLASS_NAMES).noise(4, 8)
        np.testing.assert_array_equal(image, model.sample(LABELS, noise=noise[None], heatmaps=heatmaps)[0])
        if options:
            np.testing.assert_allclose(heatmaps[0, :2], [float(number) for number in options["heatmap_centres"][0].split(":")])


def test_a_path_with_label_maps_moves_one_level_and_shows_frames_change_and_heatmaps(runs, model, tmp_path):
    found = run_command(runs["aware"], tmp_path, path=["-0.5:-0.5", "0.5:0.5"], path_of="l1", frames=3)
    for record, image in found:
        np.testing.assert_array_equal(np.asarray(record["heatmaps"], np.float32)[1:], of_seed(0)[1:])
        inputs = model.inputs([Recipe.from_json(record, CLASS_NAMES)], {"label_map": LABELS[None]})
        np.testing.assert_array_equal(model.images(inputs)[0], image)
    assert editing.mean_absolute_change([image for _, image in found]).max() > 0
    height, width = IMAGE_SIZE
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:  # label map, three frames and the change; below, the heatmaps
        assert sheet.size == (4 + 5 * (width + 4), 4 + 2 * (height + 14 + 4))


def test_options_of_styles_are_refused_for_a_model_without_styles(runs, tmp_path):
    with pytest.raises(ValueError, match="has no styles: omit --truncation and --truncated_rows"):
        run_command(runs["aware"], tmp_path, truncation=0.5, truncated_rows=2)
    with pytest.raises(ValueError, match="has no choice of noise: omit --noise"):
        run_command(runs["aware"], tmp_path, noise="const")


@pytest.mark.parametrize(
    ("which", "centres", "message"),
    [
        ("aware", ["0.2"], "write y:x pairs"),
        ("aware", ["0:here"], "write y:x pairs"),
        ("aware", ["0:0", "1:1"], "2 centres were given: give 7, or 1"),
        ("aware", ["nan:0"], "are not all finite"),
        ("plain", ["0:0"], "trained without model.spatial_awareness"),
    ],
)
def test_centres_that_do_not_fit_are_reported_before_anything_is_written(runs, tmp_path, which, centres, message):
    with pytest.raises(ValueError, match=message):
        run_command(runs[which], tmp_path, heatmap_centres=centres)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shape", [(1, 4, 4, 3), (0, 4, 4, 3), (4, 4, 3)])
def test_a_change_is_between_two_images_or_more(shape):
    with pytest.raises(ValueError, match="should be a strip .* of two images or more"):
        editing.mean_absolute_change(np.zeros(shape))
