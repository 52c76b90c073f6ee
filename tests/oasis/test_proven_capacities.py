"""Where the data check proves that every label map fits the capacities, the step has no dense form beside that on regions."""
import collections
import dataclasses
import re

import jax
import numpy as np
import pytest

from oasis_jax.data.survey import Survey
from oasis_jax.oasis import family
from oasis_jax.oasis.boundaries import boundary_counts
from oasis_jax.oasis.capacities import Capacity, hold
from tests.oasis.test_train_step import differences
from tests.tiny_run import IMAGE_SIZE, tiny_config

LABELS = np.zeros((2, *IMAGE_SIZE), np.uint8)
LABELS[:, 8:], LABELS[1, :, 20:] = 1, 2
DENSER = np.random.default_rng(0).integers(0, 4, LABELS.shape, np.uint8)


def survey_of(*label_maps, largest=True):
    counts = np.max([boundary_counts(label_map, levels=4) for maps in label_maps for label_map in maps], axis=0)
    return Survey(len(label_maps), None, counts, largest=counts if largest else None)


def step_of(survey, **train):
    dtype = "float64" if jax.config.jax_enable_x64 else "float32"
    config = tiny_config(conditioning="regions", region_share=1.0, num_blocks=1, d_channels=(4,), dtype=dtype)
    config.train.update(train)
    return family.train_step(config, survey)


def proven_and_not():
    return step_of(survey_of(LABELS)), step_of(survey_of(LABELS, largest=False))


def batch_of(label_map):
    return {"image": np.random.default_rng(1).integers(0, 256, (*label_map.shape, 3), np.uint8), "label_map": label_map}


def operations(step):
    """The operations of the step, those inside of conditionals and loops too: a Counter of names."""
    text = str(jax.make_jaxpr(step)(jax.eval_shape(lambda: step.init(IMAGE_SIZE)), batch_of(LABELS)))
    return collections.Counter(re.findall(r" (cond|conv_general_dilated)\[", text))


def test_capacities_hold_what_no_number_exceeds():
    counts = np.array([[9, 20, 5, 7], [4, 8, 3, 4]])
    tight = Capacity(9, 20, 5, 7), Capacity(4, 8, 3, 4)
    assert hold(tight, counts) and hold(tight[:1], counts) and hold((None, tight[1]), counts + [[99], [0]])
    for level in range(2):
        for number in range(4):
            more = counts.copy()
            more[level, number] += 1
            assert not hold(tight, more)


def test_the_largest_label_map_proves_it_and_the_usual_one_does_not():
    usual, dense = survey_of(LABELS), survey_of(DENSER)
    assert step_of(usual).generator.known_to_fit and step_of(dense).generator.known_to_fit
    for survey in (survey_of(LABELS, largest=False), dataclasses.replace(usual, largest=dense.largest), None):
        assert not step_of(survey).generator.known_to_fit


def test_the_dense_form_is_left_out():
    proven, not_proven = map(operations, proven_and_not())
    modulations = 3 + 3 + 3  # of a block with a shortcut, forwards and backwards in the G update and forwards in the D update
    assert not_proven["cond"] - proven["cond"] >= modulations
    assert not_proven["conv_general_dilated"] - proven["conv_general_dilated"] >= modulations


def test_a_label_map_that_was_changed_after_the_check_ends_the_run():
    step, _ = proven_and_not()
    state, update = jax.jit(lambda: step.init(IMAGE_SIZE))(), jax.jit(step)
    usual, changed = (update(state, batch_of(label_map))[1] for label_map in (LABELS, DENSER))
    assert usual["dense_fallback"] == 0 and all(np.isfinite(value) for value in usual.values())
    assert changed["dense_fallback"] == 1 and np.isnan(changed["loss_g"])


@pytest.mark.slow
def test_nothing_else_changes(float64):
    proven, not_proven = proven_and_not()
    state = jax.jit(lambda: proven.init(IMAGE_SIZE))()
    results = [jax.jit(step)(state, batch_of(LABELS)) for step in (proven, not_proven)]
    assert results[0][1].keys() == results[1][1].keys() and max(differences(*results)) < 1e-12


@pytest.mark.parametrize("first", ["coarse_steps", "segmentation_steps"])
def test_nothing_is_known_of_label_maps_of_another_size(first):
    step = step_of(survey_of(LABELS), **{first: 2})
    assert not step.at(1).generator.known_to_fit and step.at(2) == step and step.generator.known_to_fit
