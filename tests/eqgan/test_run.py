"""A tiny run of EqGAN-SA: trained, killed and resumed, evaluated, and sampled in every way that the model offers."""
import signal
import types

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import oasis_jax
from configs import eqgan_scenes
from oasis_jax import evaluate, heatmaps
from oasis_jax.checkpoint import load_config, load_state
from oasis_jax.eqgan import family
from oasis_jax.noise import noise_vector
from oasis_jax.recipes import Recipe
from oasis_jax.training.loop import train_and_evaluate
from tests import killed_run
from tests.eqgan.tiny import GENERATOR, SIDE, random_variables, tiny_config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    return workdir, train_and_evaluate(tiny_config(), workdir)


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(tmp_path):
    """The intervals of regularisation, 2 and 3 steps, do not divide that of checkpoints, 5."""

    def command(workdir, num_steps):
        config = tiny_config(train__num_steps=num_steps, checkpoint__every_steps=5, loss__r1_every=2, loss__path_length=2.0)
        config.loss.path_every, config.train.style_mixing, config.log.images_every_steps = 3, 0.5, 0
        return killed_run.command("eqgan_scenes", config, eqgan_scenes.get_config(), workdir)

    once, killed = tmp_path / "once", tmp_path / "killed"
    _, code = killed_run.run_until_killed(command(killed, 100_000), killed, signal.SIGKILL, after_step=15)
    saved = int(load_state(killed)["step"])
    assert code == -signal.SIGKILL and saved >= 15
    assert f"resuming from step {saved}" in killed_run.run_to_end(command(killed, saved + 8))
    killed_run.run_to_end(command(once, saved + 8))
    states = [load_state(workdir) for workdir in (once, killed)]
    assert int(states[0]["step"]) == saved + 8
    np.testing.assert_equal(*states)


@pytest.mark.slow
def test_it_is_evaluated_by_the_command_with_the_numbers_of_the_loop(run, tmp_path):
    workdir, scores = run
    options = types.SimpleNamespace(checkpoint=str(workdir), images=None, output=str(tmp_path), protocol="", best=False)
    report = evaluate.run(options, ConfigDict(load_config(workdir)))
    assert {"di", "mean_logit_real", "mean_logit_fake", "texture_distance"} <= scores.keys()
    assert {name: report.scores[name] for name in scores} == pytest.approx(scores, rel=1e-6)


@pytest.mark.slow
def test_its_checkpoint_is_sampled(run):
    loaded = oasis_jax.load(run[0])
    assert (loaded.image_size, loaded.num_styles, loaded.spatially_aware, loaded.step) == ((SIDE, SIDE), GENERATOR.num_ws, True, 6)
    images = loaded.sample(2)
    assert images.dtype == np.uint8 and images.shape == (2, SIDE, SIDE, 3) and np.any(images[0] != images[1])
    state = load_state(run[0])
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, state["ema"])


def model_of(variant="", **fields):
    config = tiny_config(variant, **fields)
    generator = family.train_step(config).generator
    inputs = (np.zeros((1, 8), np.float32), *([np.ones((1, 7, 3), np.float32)] if generator.spatially_aware else []))
    return family.model(config, random_variables(generator, *inputs), 5)


@pytest.fixture(scope="module")
def model():
    return model_of()


@pytest.fixture(scope="module")
def images(model):
    """Images of the seeds 7, 8 and 9."""
    return model.sample(3, seed=7)


def test_an_image_is_the_same_alone_and_among_others(model, images):
    assert images.dtype == np.uint8 and images.shape == (3, SIDE, SIDE, 3) and np.std(images) > 5
    np.testing.assert_array_equal(model.sample(1, seed=9)[0], images[2])
    np.testing.assert_array_equal(model.sample(2, seed=[9, 7]), images[[2, 0]])


def test_a_seed_is_a_latent_heatmaps_and_noise(model, images):
    z, maps = noise_vector(8, 8), heatmaps.of_seed(8)
    np.testing.assert_array_equal(model.sample(1, seed=8, z=z[None], heatmaps=maps)[0], images[1])
    for other in (
        model.sample(1, seed=9, z=z[None], heatmaps=maps),
        model.sample(1, seed=8, z=-z[None]),
        model.sample(1, seed=8, heatmaps=maps[::-1]),
    ):
        assert np.any(other[0] != images[1])


def test_noise_is_of_the_seed_constant_or_none(model, images):
    constant, none = model_of(model__noise="const"), model_of(model__noise="none")
    given = {"z": noise_vector(0, 8)[None], "heatmaps": heatmaps.of_seed(0)}
    for each in (constant, none):
        np.testing.assert_array_equal(each.sample(1, seed=1, **given), each.sample(1, seed=2, **given))
    assert np.any(model.sample(1, seed=1, **given) != model.sample(1, seed=2, **given))
    assert np.any(constant.sample(1, **given) != none.sample(1, **given))


def test_truncation_leads_to_the_mean_style(model):
    """At truncation 0, images with the same noise and heatmaps do not depend on their latents."""
    maps = heatmaps.of_seed(0)
    same = [model.sample(1, seed=3, z=noise_vector(seed, 8)[None], truncation=0.0, heatmaps=maps) for seed in (0, 1)]
    np.testing.assert_array_equal(*same)
    half = [model.sample(1, seed=3, z=noise_vector(seed, 8)[None], truncation=0.5, heatmaps=maps) for seed in (0, 1)]
    assert np.any(half[0] != half[1])


def test_rows_of_styles_come_from_other_seeds_or_are_truncated_alone(model):
    every = dict.fromkeys(range(model.num_styles), 4)
    inputs = model.inputs([Recipe(3, style_seeds=every), Recipe(3, style_seeds={0: 4}), Recipe(3, truncation=0.3, truncated_rows=2)], {})
    np.testing.assert_array_equal(inputs["z"][0, 1], noise_vector(4, 8))
    assert inputs["latent_of_row"].tolist() == [[1] * 6, [1] + [0] * 5, [0] * 6]
    np.testing.assert_allclose(inputs["truncation"], [[1] * 6, [1] * 6, [0.3] * 2 + [1] * 4])
    found = model.images(inputs)
    expected = model.sample(1, seed=3, z=noise_vector(4, 8)[None])[0]
    np.testing.assert_array_equal(found[0], expected)
    assert len({image.tobytes() for image in (*found, model.sample(1, seed=3)[0])}) == 4


def test_what_does_not_fit_is_an_error_that_says_what_does(model):
    for message, arguments in {
        r"z is \(1, 7\), but should be \(1, 8\)": {"z": np.zeros((1, 7))},
        r"heatmaps": {"heatmaps": np.ones((2, 7, 3))},
        r"seed": {"seed": -1},
    }.items():
        with pytest.raises(ValueError, match=message):
            model.sample(1, **arguments)
    with pytest.raises(ValueError, match="has class_seeds, but this model has no classes: leave them out"):
        model.inputs([Recipe(0), Recipe(0, class_seeds={1: 2})], {})
    with pytest.raises(ValueError, match="no style row 6 among 6"):
        model.inputs([Recipe(0, style_seeds={6: 1})], {})
    baseline = model_of("baseline")
    assert baseline.inputs([0], {})["heatmaps"] is None and baseline.sample(1).shape == (1, SIDE, SIDE, 3)
    with pytest.raises(ValueError, match="without model.spatial_awareness: omit them"):
        baseline.sample(1, heatmaps=heatmaps.of_seed(0))
