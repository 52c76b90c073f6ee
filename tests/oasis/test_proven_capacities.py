"""If the data check proves that every label map fits the capacities, the step has only the form on regions, and no dense one."""
import dataclasses

import jax
import numpy as np
import pytest

from oasis_jax.data.survey import Survey
from oasis_jax.oasis import family, regions
from oasis_jax.oasis.boundaries import boundary_counts
from oasis_jax.oasis.capacities import Capacity, hold
from tests.oasis.test_train_step import differences
from tests.tiny_run import IMAGE_SIZE, random_state, tiny_config

LABELS = np.zeros((2, *IMAGE_SIZE), np.uint8)
LABELS[:, 8:], LABELS[1, :, 20:] = 1, 2
DENSER = np.random.default_rng(0).integers(0, 4, LABELS.shape, np.uint8)


def counts(label_maps):
    return np.max([boundary_counts(label_map, levels=4) for label_map in label_maps], axis=0)


USUAL = Survey(2, None, counts(LABELS), largest=counts(LABELS))
WITH_OUTLIERS = dataclasses.replace(USUAL, largest=counts(DENSER))


def config_on_regions(**data):
    dtype = "float64" if jax.config.jax_enable_x64 else "float32"
    config = tiny_config(conditioning="regions", region_share=1.0, num_blocks=1, d_channels=(4,), dtype=dtype)
    config.data.update(data)
    return config


def step_of(survey, **train):
    config = config_on_regions()
    config.train.update(train)
    return family.train_step(config, survey)


def batch_of(label_map):
    return {"image": np.random.default_rng(1).integers(0, 256, (*label_map.shape, 3), np.uint8), "label_map": label_map}


def test_capacities_hold_what_no_number_exceeds():
    of_levels = np.array([[9, 20, 5, 7], [4, 8, 3, 4]])
    tight = Capacity(9, 20, 5, 7), Capacity(4, 8, 3, 4)
    assert hold(tight, of_levels) and hold(tight[:1], of_levels) and hold((None, tight[1]), of_levels + [[99], [0]])
    for level in range(2):
        for number in range(4):
            more = of_levels.copy()
            more[level, number] += 1
            assert not hold(tight, more)
    with pytest.raises(ValueError):
        hold(tight, of_levels[:1])  # nothing is known about the second level


def test_the_largest_label_map_proves_it_and_the_usual_one_does_not():
    assert step_of(USUAL).generator.known_to_fit
    for survey in (WITH_OUTLIERS, None):
        assert not step_of(survey).generator.known_to_fit


def test_nothing_is_known_of_random_crops():
    """A crop may have boundaries that its map lacks: here, coarser levels of the crop at row 1 keep lines that those of the map lose."""
    lines = np.zeros((1, 24, 32), np.uint8)
    lines[:, 1::4] = 1
    assert np.any(counts(lines[:, 1:17])[1] > counts(lines)[1])
    for resize_size, known in ((IMAGE_SIZE, True), ((), True), ((24, 32), False)):
        assert family.train_step(config_on_regions(resize_size=resize_size), USUAL).generator.known_to_fit == known


def test_nothing_is_known_of_the_label_maps_that_a_model_is_given():
    config = config_on_regions()
    assert not family.model(config, random_state(config).ema, 5, USUAL).generator.known_to_fit


def test_levels_that_convolve_no_label_maps_need_no_capacity():
    config = config_on_regions()
    config.model.update(num_blocks=2, d_channels=(4, 4))
    assert len(family.train_step(config, WITH_OUTLIERS).generator.capacities) == 2
    for affine_blocks, capacities in ((1, 1), (2, 0)):
        config.model.affine_blocks = affine_blocks
        step = family.train_step(config, WITH_OUTLIERS)
        assert [capacity is not None for capacity in step.generator.capacities] == [False, True][: 2 * capacities]
        assert (step.describe(IMAGE_SIZE) == "conditioning is dense") == (capacities == 0)
        assert bool(step.fallback(LABELS)) == (capacities > 0)


def test_a_label_map_need_only_fit_the_levels_that_convolve_it():
    """Label maps that do not fit at full size alone are still known to fit if the block there convolves no label maps."""
    config = config_on_regions()
    config.model.update(num_blocks=2, d_channels=(4, 4))
    largest = counts(LABELS)
    largest[0] += 1000
    survey = dataclasses.replace(USUAL, largest=largest)
    assert not family.train_step(config, survey).generator.known_to_fit
    config.model.affine_blocks = 1
    assert family.train_step(config, survey).generator.known_to_fit


@pytest.mark.parametrize("first", ["coarse_steps", "segmentation_steps"])
def test_nothing_is_known_of_label_maps_of_another_size(first):
    step = step_of(USUAL, **{first: 2})
    assert not step.at(1).generator.known_to_fit and step.at(2) == step and step.generator.known_to_fit


def test_the_dense_form_is_left_out(monkeypatch):
    def dense(*_):
        raise AssertionError("the dense form is computed")

    proven, not_proven = step_of(USUAL), step_of(WITH_OUTLIERS)
    state = jax.eval_shape(lambda: not_proven.init(IMAGE_SIZE))
    monkeypatch.setattr(regions, "modulate_dense", dense)
    jax.eval_shape(proven, state, batch_of(LABELS))
    with pytest.raises(AssertionError, match="the dense form is computed"):
        jax.eval_shape(not_proven, state, batch_of(LABELS))


def test_a_label_map_that_was_changed_after_the_check_is_noticed():
    step = step_of(USUAL)
    state, update = jax.jit(lambda: step.init(IMAGE_SIZE))(), jax.jit(step)
    usual, changed = (update(state, batch_of(label_map))[1] for label_map in (LABELS, DENSER))
    assert usual["dense_fallback"] == 0 and all(np.isfinite(value) for value in usual.values())
    assert np.isnan(changed["dense_fallback"]) and "delete data_check.json" in step.advice["dense_fallback"]


@pytest.mark.slow
def test_nothing_else_changes(float64):
    proven, not_proven = step_of(USUAL), step_of(WITH_OUTLIERS)
    state = jax.jit(lambda: proven.init(IMAGE_SIZE))()
    results = [jax.jit(step)(state, batch_of(LABELS)) for step in (proven, not_proven)]
    assert results[0][1].keys() == results[1][1].keys() and max(differences(*results)) < 1e-12
    _, metrics = jax.jit(not_proven)(state, batch_of(DENSER))
    assert metrics["dense_fallback"] == 1 and np.isfinite(metrics["loss_g"])
