"""Laws of sampling from EqGAN-SA: latents, truncation, style mixing, noise and heatmaps, by the library and by the command."""
import dataclasses
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import oasis_jax
from oasis_jax import editing, export, recipe_file, sample, saved, series
from oasis_jax.heatmaps import of_seed
from oasis_jax.noise import Regions, noise_vector
from oasis_jax.recipes import Recipe
from tests.eqgan.tiny_run import NUM_STYLES, save_run
from tests.sample_options import sample_options


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run folders of a spatially aware model and of plain StyleGAN2."""
    folders = {"aware": tmp_path_factory.mktemp("aware"), "plain": tmp_path_factory.mktemp("plain")}
    save_run(folders["aware"])
    save_run(folders["plain"], "baseline")
    return folders


@pytest.fixture(scope="module")
def model(runs):
    return oasis_jax.load(runs["aware"])


def images(model, *recipes):
    return model.images(model.inputs(recipes, {}))


def test_latents_noise_and_heatmaps_each_change_an_image(model):
    one = images(model, Recipe(1))
    for other in (Recipe(1, style_seeds=dict.fromkeys(range(NUM_STYLES), 2)), Recipe(1).with_heatmaps(of_seed(2))):
        assert np.any(one != images(model, other))
    assert np.any(one != images(dataclasses.replace(model, noise="none"), Recipe(1)))
    np.testing.assert_array_equal(one, model.sample(1, seed=1, z=noise_vector(1, 8)[None], heatmaps=of_seed(1)))


def test_an_image_is_drawn_again_from_its_recipe_file(runs, model, tmp_path):
    """The file also stores the kind of noise, which is a choice of the model; it has no label map."""
    recipe = Recipe(1, style_seeds={0: 4}, truncation=0.6).with_heatmaps(of_seed(5))
    recipe_file.write(tmp_path / "cat.json", runs["aware"], None, recipe, image_size=model.image_size, noise="const")
    sample.run(sample_options(None, tmp_path / "out", recipe=str(tmp_path / "cat.json")))
    expected = images(dataclasses.replace(model, noise="const"), recipe)[0]
    np.testing.assert_array_equal(Image.open(tmp_path / "out" / "cat_0.png"), expected)
    recipe_file.write(tmp_path / "large.json", runs["aware"], None, recipe, image_size=(32, 32))
    with pytest.raises(ValueError, match="the recipe is an image of 32x32, but the model generates 16x16"):
        sample.run(sample_options(None, tmp_path / "more", recipe=str(tmp_path / "large.json")))


def test_a_packed_model_samples_the_images_of_its_run(runs, model, tmp_path):
    for name, data in saved.packed(*saved.load_ema(runs["aware"]), "float32").items():
        (tmp_path / name).write_bytes(data)
    np.testing.assert_array_equal(images(oasis_jax.load(tmp_path), Recipe(1)), images(model, Recipe(1)))


def test_regions_are_of_models_that_take_label_maps(model):
    with pytest.raises(ValueError, match="has regions with noise of their own, but this model takes no label maps: leave them out"):
        images(model, Recipe(1, regions=Regions(np.zeros((16, 16), np.uint8), ())))


def test_a_model_is_printed_in_a_few_lines(model):
    assert re.search(r"step \d+: images of 16x16\n.*noise and heatmaps; [\d,]+ parameters$", repr(model))


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", None, np.zeros((16, 16), int)])
def test_a_count_that_is_none_is_reported(model, count):
    with pytest.raises(ValueError, match="should be the number of images, 1 or more: this model takes no label maps"):
        model.sample(count)


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ([], "no seeds or recipes were given"),
        ([{"style_seeds": {"3": 1}}], "there is no style row '3' among 6"),
        ([{"truncation": None}], "truncation None is not a number from -1e.06 to 1e.06"),
        ([{"truncation": [0.5, 0.7]}], r"truncation \[0.5, 0.7\] is not a number from"),
        ([{"truncated_rows": 1.5}], "truncated_rows 1.5 is not an integer"),
    ],
)
def test_recipes_that_are_none_are_reported(model, recipes, message):
    with pytest.raises(ValueError, match=message):
        model.inputs([Recipe(0, **fields) for fields in recipes], {})


def test_a_choice_of_noise_that_is_none_is_reported(model):
    with pytest.raises(ValueError, match="noise is 'constant', but should be one of random, const, none"):
        dataclasses.replace(model, noise="constant")


def test_a_page_is_of_models_that_take_label_maps(runs, tmp_path):
    run, output = str(runs["plain"]), str(tmp_path / "a.html")
    flags = SimpleNamespace(checkpoint=run, format="page", output=output, labels="", weights=None, best=False, conditioning=None)
    with pytest.raises(ValueError, match="takes no label maps: use --format=stablehlo"):
        export.run(flags)


def test_no_truncation_is_left_of_latents_at_psi_zero(model):
    latents = np.stack([noise_vector(seed, 8) for seed in (3, 4)])
    whole, truncated = (model.sample(2, seed=[0, 0], z=latents, truncation=psi) for psi in (1.0, 0.0))
    assert np.any(whole[0] != whole[1])
    np.testing.assert_array_equal(truncated[0], truncated[1])


def test_truncation_can_be_limited_to_the_first_rows(model):
    whole, none = Recipe(1, truncation=0.3), Recipe(1)
    np.testing.assert_array_equal(images(model, dataclasses.replace(whole, truncated_rows=NUM_STYLES)), images(model, whole))
    np.testing.assert_array_equal(images(model, dataclasses.replace(whole, truncated_rows=0)), images(model, none))
    some = images(model, dataclasses.replace(whole, truncated_rows=2))
    assert np.any(some != images(model, whole)) and np.any(some != images(model, none))


def test_mixing_all_rows_gives_the_other_latent_and_mixing_none_changes_nothing(model):
    every = images(model, Recipe(1, style_seeds=dict.fromkeys(range(NUM_STYLES), 2)))
    np.testing.assert_array_equal(every, model.sample(1, seed=1, z=noise_vector(2, 8)[None]))
    some = Recipe(1, style_seeds={3: 2})
    assert np.any(images(model, some) != images(model, Recipe(1)))
    # In a batch with an image that has more latents, an image is the same to the last bit.
    np.testing.assert_array_equal(images(model, Recipe(1), some), np.concatenate([images(model, Recipe(1)), images(model, some)]))


def test_constant_noise_is_the_same_for_all_seeds(model):
    z, heatmaps = noise_vector(0, 8)[None].repeat(2, 0), of_seed(0)
    for noise, equal in (("random", False), ("const", True), ("none", True)):
        pair = dataclasses.replace(model, noise=noise).sample(2, seed=[1, 2], z=z, heatmaps=heatmaps)
        assert np.array_equal(*pair) == equal


def test_frames_of_a_strip_are_the_images_made_one_by_one(model):
    line = editing.straight((0, -0.5), (0.25, 0.5), 3)
    frames, heatmaps = editing.strip(model, None, line, seed=Recipe(1, truncation=0.5))
    np.testing.assert_allclose(heatmaps[:, 0, :2], line, atol=1e-6)
    for frame, centre in zip(frames, line, strict=True):
        np.testing.assert_array_equal(frame, images(model, Recipe(1, truncation=0.5, centres=(tuple(centre),)))[0])
    assert editing.mean_absolute_change(frames).max() > 0


def test_a_strip_of_a_model_without_heatmaps_is_refused(runs):
    with pytest.raises(ValueError, match="no heatmaps to move"):
        editing.strip(oasis_jax.load(runs["plain"]), None, [(0, 0)])


def test_a_path_can_be_that_of_one_level_or_map(model):
    start = of_seed(1)
    for name, maps in (("l1", [0]), ("l2", [1, 2]), ("5", [5])):
        frames = [recipe.heatmaps() for recipe in series.path(Recipe(1), name, (-0.5, 0), (0.5, 0.25), 3)]
        for frame, position in zip(frames, [(-0.5, 0), (0, 0.125), (0.5, 0.25)], strict=True):
            np.testing.assert_allclose(frame[maps, :2].mean(0), position, atol=1e-6)
            np.testing.assert_allclose(frame[maps, :2] - frame[maps[0], :2], start[maps, :2] - start[maps[0], :2], atol=1e-6)
            np.testing.assert_array_equal(np.delete(frame, maps, 0), np.delete(start, maps, 0))
            np.testing.assert_array_equal(frame[:, 2], start[:, 2])


def test_a_path_of_the_subject_starts_from_any_layout():
    centres = tuple(map(tuple, np.random.default_rng(0).uniform(-0.5, 0.5, (7, 2)).tolist()))
    for recipe in (Recipe(1), Recipe(1, shifts={0: (0.3, 0.0), 4: (0.1, -0.2)}), Recipe(1, centres=centres)):
        rows = recipe.heatmaps()
        for frame, position in zip(series.path(recipe, "all", (0, -0.5), (0, 0.5), 3), [(0, -0.5), (0, 0), (0, 0.5)], strict=True):
            np.testing.assert_allclose(frame.heatmaps()[:, :2], rows[:, :2] - rows[0, :2] + position, atol=1e-6)


def command(run, output, **options):
    """Runs the command; returns (contents of samples.json, [image])."""
    sample.run(sample_options(run, output, **options))
    summary = json.loads((output / "samples.json").read_text())
    return summary, [np.asarray(Image.open(output / record["file"])) for record in summary["images"]]


EVERY_OPTION = [
    {"count": 2, "seed": 7},
    {"truncation": 0.5, "truncated_rows": 3},
    {"truncation": 0.0, "noise": "const"},
    {"interpolate": 3, "truncation": 0.7},
    {"style_mixing": ["10", "20-21"], "mixed_rows": ["0", "2-3"], "count": 2},
    {"heatmap_centres": ["0.25:-0.5"], "heatmap_shift": ["l1=0.2:0.1", "4=0:0.3"], "heatmap_scale": ["l3=0.5", "6=3"]},
    {"path": ["0:-0.5", "0.1:0.7"], "frames": 3, "heatmap_shift": ["l2=0.1:0.1"]},
    {"path": ["0:-0.5", "0.1:0.7"], "path_of": "l2", "frames": 3, "heatmap_shift": ["all=0.1:0.1"]},
]


@pytest.mark.parametrize("options", EVERY_OPTION, ids=lambda options: "-".join(options))
def test_any_image_is_reproduced_from_the_json(runs, tmp_path, options):
    summary, written = command(runs["aware"], tmp_path / "out", **options)
    model = dataclasses.replace(oasis_jax.load(summary["checkpoint"]), noise=summary["noise"])
    for record, image in zip(summary["images"], written, strict=True):
        recipe = Recipe.from_json(record)
        np.testing.assert_array_equal(images(model, recipe)[0], image)
        np.testing.assert_array_equal(images(model, recipe.with_heatmaps(record["heatmaps"]))[0], image)


def test_the_flags_are_those_of_the_command(runs, tmp_path):
    flags = ["--samples_per_label=2", "--truncation=0.5", "--heatmap_shift=l1=-0.2:0.5", "--noise=const"]
    arguments = [f"--checkpoint={runs['aware']}", f"--output={tmp_path / 'flags'}", *flags]
    subprocess.run([sys.executable, "-m", "oasis_jax.sample", *arguments], check=True)
    by_flags = json.loads((tmp_path / "flags" / "samples.json").read_text())
    summary, _ = command(runs["aware"], tmp_path / "out", count=2, truncation=0.5, heatmap_shift=["l1=-0.2:0.5"], noise="const")
    assert by_flags | {"command": ""} == summary | {"command": ""} and len(summary["images"]) == 2


def test_a_record_holds_only_what_differs_from_the_default(runs, tmp_path):
    summary, _ = command(runs["plain"], tmp_path / "plain", seed=3)
    assert summary["images"] == [{"file": "image_0.png", "seed": 3}] and summary["noise"] == "random"
    summary, _ = command(runs["plain"], tmp_path / "truncated", truncation=0.5)
    assert summary["images"] == [{"file": "image_0.png", "seed": 0, "truncation": 0.5}]


def test_the_sheet_of_mixed_styles_has_the_sources_on_top_and_at_the_side(runs, model, tmp_path):
    _, written = command(runs["aware"], tmp_path / "out", seed=1, count=2, style_mixing=["8", "9"], mixed_rows=["0-3"])
    sources = [Recipe(8), Recipe(9), Recipe(1), Recipe(2)]
    mixed = [Recipe(seed, style_seeds=dict.fromkeys(range(4), other)) for seed in (1, 2) for other in (8, 9)]
    order = [*sources[:2], sources[2], *mixed[:2], sources[3], *mixed[2:]]
    for recipe, image in zip(order, written, strict=True):
        np.testing.assert_array_equal(images(model, recipe)[0], image)
    sheet = np.asarray(Image.open(tmp_path / "out" / "contact_sheet.png"))
    rows, columns = (np.arange(3) * (16 + 14 + 4) + 4, np.arange(3) * (16 + 4) + 4)
    cells = [sheet[row : row + 16, column : column + 16] for row in rows for column in columns]
    assert np.ptp(cells[0]) == 0
    for cell, image in zip(cells[1:], written, strict=True):
        np.testing.assert_array_equal(cell, image)


def test_the_last_frame_of_a_path_is_the_sample_with_these_centres(runs, tmp_path):
    _, frames = command(runs["aware"], tmp_path / "path", seed=2, path=["0:-0.5", "0.25:0.7"], frames=3)
    _, (last,) = command(runs["aware"], tmp_path / "last", seed=2, heatmap_centres=["0.25:0.7"])
    np.testing.assert_array_equal(frames[-1], last)
    assert np.any(frames[0] != last)


def test_the_sheet_of_a_path_shows_frames_change_and_heatmaps(runs, tmp_path):
    summary, frames = command(runs["aware"], tmp_path / "out", path=["0:-0.5", "0:0.7"], frames=2)
    sheet = np.asarray(Image.open(tmp_path / "out" / "contact_sheet.png"))
    assert sheet.shape[:2] == (4 + 2 * (16 + 14 + 4), 4 + 3 * (16 + 4))
    change = editing.change_picture(editing.mean_absolute_change(frames))
    np.testing.assert_array_equal(sheet[4:20, 44:60], change)
    picture = editing.picture(np.asarray(summary["images"][1]["heatmaps"], np.float32), (16, 16))
    np.testing.assert_array_equal(sheet[38:54, 24:40], picture)


@pytest.mark.parametrize(
    ("which", "options", "message"),
    [
        ("plain", {"heatmap_shift": ["l1=0:1"]}, "trained without model.spatial_awareness: omit --heatmap_shift"),
        ("plain", {"path": ["0:0", "0:1"]}, "trained without model.spatial_awareness: omit --path"),
        ("plain", {"size": "32x32"}, "images of one size: omit --size"),
        ("plain", {"noise": "pink"}, "--noise=pink is not one of random, const, none"),
        ("plain", {"truncated_rows": 3}, "--truncated_rows says which style rows --truncation concerns"),
        ("plain", {"mixed_rows": ["3"]}, "--mixed_rows says which style rows --style_mixing concerns"),
        ("plain", {"truncation": 0.5, "truncated_rows": 7}, "no style row 6; this model has 6, 0 to 5"),
        ("plain", {"truncation": float("nan")}, "truncation nan is not a number from"),
        ("plain", {"style_mixing": ["1"]}, "say with --mixed_rows=4-7 which of the style rows 0 to 5"),
        ("plain", {"style_mixing": ["1"], "mixed_rows": ["4-6"]}, "--mixed_rows: there is no style row 6"),
        ("plain", {"style_mixing": ["1"], "mixed_rows": ["0", "5-3"]}, "--mixed_rows=0,5-3: the range 5-3 runs backwards"),
        ("plain", {"truncation": 1e39}, "truncation 1e.39 is not a number from"),
        ("aware", {"path_of": "l2", "frames": 3}, "--path_of and --frames need --path: give it too, or omit them"),
        ("plain", {"style_mixing": ["x"], "mixed_rows": ["4"]}, "--style_mixing=x: write numbers and ranges"),
        ("plain", {"style_mixing": ["1"], "mixed_rows": ["4"], "interpolate": 3}, "both say what varies: choose one"),
        ("aware", {"path": ["0:0", "0:1"], "count": 2}, "leave --count out"),
        ("aware", {"path": ["0:0"]}, "has 1 points: give first and last"),
        ("aware", {"path": ["0:0", "0:nan"], "path_of": "l2"}, "give a finite number"),
        ("aware", {"path": ["0:0", "0:1"], "path_of": "ears"}, "no heatmaps 'ears': choose all, l1, l2, l3 or a map from 0 to 6"),
        ("aware", {"path": ["0:0", "0:1"], "heatmap_centres": ["0:0"]}, "both place the coarse centre"),
        ("aware", {"heatmap_shift": ["l4=0:1"]}, "no heatmaps 'l4'"),
        ("aware", {"heatmap_shift": ["l1"]}, "write y:x pairs"),
        ("aware", {"heatmap_scale": ["l1=wide"]}, "write pairs of heatmaps and factor"),
        ("aware", {"heatmap_scale": ["l1=-1"]}, "should be positive"),
        ("aware", {"heatmap_scale": ["l1=1e-30"]}, "widths below 1e-06"),
    ],
)
def test_options_that_do_not_fit_are_reported_before_anything_is_written(runs, tmp_path, which, options, message):
    with pytest.raises(ValueError, match=message):
        sample.run(sample_options(runs[which], tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()
