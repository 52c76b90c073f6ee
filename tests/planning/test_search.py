"""Laws of the search: what is tried, what is listed, and that its flags reproduce the config that was compiled."""
import dataclasses
import subprocess
import sys

import pytest

from configs import cityscapes
from oasis_jax import plan
from oasis_jax.planning.compiled import Compiled, CompilerError
from oasis_jax.planning.costs import Cost
from oasis_jax.planning.described import describe, describe_search, describe_tried
from oasis_jax.planning.machines import GIB, find_machine
from oasis_jax.planning.search import SAVINGS, as_flags, batches_for, changed, ranked, search, splits_for

MACHINE = find_machine("v5e:2x4")


def compiled(config, which="", *, memory=8 * GIB, seconds=0.1):
    fits = memory <= MACHINE.chip.memory
    cost = Cost("jit(f)/update_generator/jvp(Generator)/x", 1e12, seconds * MACHINE.chip.bandwidth, 1, {"all-reduce": 4e6})
    return Compiled(memory, "" if fits else "out of memory", GIB, (2, 4), "mesh", "", (cost,))


def small_config(**fields):
    config = cityscapes.get_config()
    config.train.batch_size = 8
    return changed(config, fields)


def test_all_batches_and_the_meshes_that_use_all_chips_are_tried():
    config = small_config()
    assert batches_for(config, MACHINE) == [8, 16]
    assert [split.space for split in splits_for(config, MACHINE)] == [1, 2, 4, 8]
    tried = list(search(config, MACHINE, compiled))
    assert [(one.batch_size, one.fields["mesh.space"]) for one in tried] == [(b, s) for b in (8, 16) for s in (1, 2, 4, 8)]
    assert batches_for(changed(config, {"train.batch_size": 20}), MACHINE) == [20, 24, 48]


def test_savings_are_tried_one_after_the_other_until_the_step_fits():
    def saving(candidate, which):
        return compiled(candidate, memory=8 * GIB if candidate.model.remat else 20 * GIB)

    tried = [one for one in search(small_config(), MACHINE, saving, batches=[8]) if one.fields["mesh.space"] == 1]
    assert [tuple(one.fields)[2:] for one in tried] == [(), ("mesh.shard_state",), ("mesh.shard_state", "model.remat")]
    assert [one.reason for one in tried] == ["out of memory", "out of memory", ""]


def test_what_a_smaller_batch_does_not_fit_without_is_not_tried_again():
    asked = []

    def too_large(candidate, which):
        asked.append((candidate.train.batch_size, candidate.mesh.shard_state, candidate.model.remat, which.split(":")[0]))
        return compiled(candidate, memory=8 * GIB if candidate.model.remat and candidate.train.batch_size == 8 else 20 * GIB)

    tried = list(search(small_config(), MACHINE, too_large, batches=[8, 16, 32], savings=SAVINGS[:2]))
    of_mesh = [one for one in tried if one.fields["mesh.space"] == 1]
    assert asked[:3] == [(8, False, False, "1 of 12"), (8, True, False, "1 of 12"), (8, True, True, "1 of 12")]
    assert [one[:3] for one in asked if one[0] > 8] == [(16, True, True)] * 4
    assert [one.batch_size for one in of_mesh] == [8, 8, 8, 16, 32] and of_mesh[-1].compiled is None
    assert "impossible: a smaller batch does not fit on this mesh" in describe_tried(of_mesh[-1])


def test_ctrl_c_prints_the_best_so_far(monkeypatch, capsys):
    def interrupted(machine, candidate, keep, which):
        if which.startswith("3 of"):
            raise KeyboardInterrupt
        return compiled(candidate)

    monkeypatch.setattr("oasis_jax.planning.compiled.compile_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        plan.search(small_config(), MACHINE)
    printed = capsys.readouterr().out
    assert "only the first 2 were tried" in printed and "2: --config.train.batch_size=8 --config.mesh.space=2" in printed


def test_fields_that_a_config_lacks_are_not_tried():
    config = small_config()
    savings = (*SAVINGS, ("train.no_such", 2))
    tried = search(config, MACHINE, lambda candidate, which: compiled(candidate, memory=20 * GIB), batches=[8], savings=savings)
    assert "train.no_such" not in {name for one in tried for name in one.fields}


def test_settings_that_a_config_has_already_are_not_tried_and_numbers_are_factors():
    config = small_config(**{"mesh.shard_state": True, "train.accumulate": 2})
    tried = search(config, MACHINE, lambda candidate, which: compiled(candidate, memory=20 * GIB), batches=[64])
    of_mesh = [dict(list(one.fields.items())[2:]) for one in tried if one.fields["mesh.space"] == 1]
    remat = {"model.remat": True}
    assert of_mesh == [{}, remat, remat | {"train.accumulate": 4}, remat | {"train.accumulate": 8}]


def test_a_batch_larger_than_all_epochs_is_listed_without_hours():
    config = small_config(**{"train.num_epochs": 1, "train.num_steps": 0})
    tried = list(search(config, MACHINE, compiled, batches=[8, 16]))
    rows = [line.split() for line in describe_search(MACHINE, config, tried, best=8, examples=12).splitlines()]
    hours = {row[1]: row[-1] for row in rows if len(row) > 6 and row[0].isdigit()}
    assert hours["16"] == "?" and float(hours["8"]) >= 0


def test_the_fastest_per_image_comes_first_and_what_does_not_fit_is_not_listed():
    def measured(candidate, which):
        seconds = {1: 0.4, 2: 0.2, 4: 0.1, 8: 0.3}[candidate.mesh.space]
        return compiled(candidate, memory=20 * GIB if candidate.mesh.space == 4 else 8 * GIB, seconds=seconds)

    tried = list(search(small_config(), MACHINE, measured, batches=[8]))
    assert [one.fields["mesh.space"] for one in ranked(tried)] == [2, 8, 1]
    text = describe_search(MACHINE, small_config(), tried, best=2)
    assert "1: --config.train.batch_size=8 --config.mesh.space=2" in text and "--config.mesh.space=8" in text
    assert "--config.mesh.space=1" not in text and "not a prediction" in text


def test_the_best_with_the_batch_of_the_config_is_listed_in_any_case():
    def measured(candidate, which):
        return compiled(candidate, seconds=0.2 - candidate.train.batch_size / 1000)  # larger batches are faster per image

    config = small_config()
    text = describe_search(MACHINE, config, list(search(config, MACHINE, measured)), best=2)
    assert text.count("--config.train.batch_size=16") == 2 and text.count("--config.train.batch_size=8 ") == 1


def test_a_search_without_a_result_says_so():
    tried = list(search(small_config(), MACHINE, lambda candidate, which: compiled(candidate, memory=20 * GIB), batches=[8]))
    assert "nothing fits v5e:2x4" in describe_search(MACHINE, small_config(), tried, best=5)


def test_a_candidate_that_fails_does_not_end_the_search():
    def failing(candidate, which):
        if candidate.mesh.space == 1:
            raise CompilerError("internal error")
        return compiled(candidate)

    tried = list(search(small_config(**{"loss.balance_groups": 4}), MACHINE, failing, batches=[6, 8]))
    assert [bool(one.reason) for one in tried] == [True, True, False, False, False]
    assert "impossible: loss.balance_groups=4 does not divide" in describe_tried(tried[0])
    assert "impossible: internal error" in describe_tried(tried[1])


def test_the_flags_make_the_config_that_was_compiled():
    fields = {"train.batch_size": 24, "mesh.space": 4, "mesh.shard_state": True, "model.remat": True}
    code = (
        "from absl import app, flags; from oasis_jax import config_flag; config_flag.define(); "
        "app.run(lambda _: print(flags.FLAGS.config.to_json()), flags_parser=config_flag.parse_flags)"
    )
    command = [sys.executable, "-c", code, "--config=configs/cityscapes.py", *as_flags(fields).split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == changed(cityscapes.get_config(), fields).to_json()


def test_a_report_has_the_figures_and_says_that_a_bound_is_not_a_prediction():
    config = small_config()
    text = describe(MACHINE, config, compiled(config), steps=36_000)
    figures = ("8.00 GiB", "50% of the chip's; fits", "1.000 TFLOP", "100.0 ms", "at least 1.00 hours", "G update: G forward", "all-reduce")
    assert [figure for figure in figures if figure not in text] == []
    assert "A bound is not a prediction" in text and "own count" not in text
    counted = dataclasses.replace(compiled(config), own_count=(2e12, 40e9))
    assert "compiler's own count: 2.000 TFLOP, 40.00 GB" in describe(MACHINE, config, counted)
    assert "does not fit: out of memory" in describe(MACHINE, config, compiled(config, memory=20 * GIB))
