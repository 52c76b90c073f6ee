"""Laws of the search: what is tried, what is listed, and that its flags make the config that was compiled."""
import subprocess
import sys

from configs import cityscapes
from oasis_jax.planning.compiled import Compiled, CompilerError
from oasis_jax.planning.costs import Cost
from oasis_jax.planning.described import describe, describe_search, describe_tried
from oasis_jax.planning.machines import GIB, find_machine
from oasis_jax.planning.search import SAVINGS, as_flags, batches_for, changed, ranked, search, spaces_for

MACHINE = find_machine("v5e:2x4")


def compiled(config, memory=8 * GIB, seconds=0.1):
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
    assert spaces_for(config, MACHINE) == [1, 2, 4, 8]
    tried = list(search(config, MACHINE, compiled))
    assert [(one.fields["train.batch_size"], one.fields["mesh.space"]) for one in tried] == [(b, s) for b in (8, 16) for s in (1, 2, 4, 8)]
    assert batches_for(changed(config, {"train.batch_size": 20}), MACHINE) == [20, 24, 48]


def test_savings_are_tried_one_after_the_other_until_the_step_fits():
    def saving(candidate):
        return compiled(candidate, 8 * GIB if candidate.model.remat else 20 * GIB)

    tried = [one for one in search(small_config(), MACHINE, saving, batches=[8]) if one.fields["mesh.space"] == 1]
    assert [tuple(one.fields)[2:] for one in tried] == [(), ("mesh.shard_state",), ("mesh.shard_state", "model.remat")]
    assert [one.reason for one in tried] == ["out of memory", "out of memory", ""]


def test_fields_that_a_config_lacks_are_not_tried():
    config = small_config()
    tried = search(config, MACHINE, lambda candidate: compiled(candidate, 20 * GIB), batches=[8], savings=(*SAVINGS, ("train.no_such", 2)))
    assert "train.no_such" not in {name for one in tried for name in one.fields}


def test_the_fastest_per_image_comes_first_and_what_does_not_fit_is_not_listed():
    def measured(candidate):
        seconds = {1: 0.4, 2: 0.2, 4: 0.1, 8: 0.3}[candidate.mesh.space]
        return compiled(candidate, 20 * GIB if candidate.mesh.space == 4 else 8 * GIB, seconds)

    tried = list(search(small_config(), MACHINE, measured, batches=[8]))
    assert [one.fields["mesh.space"] for one in ranked(tried)] == [2, 8, 1]
    text = describe_search(MACHINE, small_config(), tried, best=2)
    assert "1: --config.train.batch_size=8 --config.mesh.space=2" in text and "--config.mesh.space=8" in text
    assert "--config.mesh.space=1" not in text and "not a prediction" in text


def test_a_search_without_a_result_says_so():
    tried = list(search(small_config(), MACHINE, lambda candidate: compiled(candidate, 20 * GIB), batches=[8]))
    assert "nothing fits v5e:2x4" in describe_search(MACHINE, small_config(), tried, best=5)


def test_a_candidate_that_fails_does_not_end_the_search():
    def failing(candidate):
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
    assert "A bound is not a prediction" in text
    assert "does not fit: out of memory" in describe(MACHINE, config, compiled(config, 20 * GIB))
