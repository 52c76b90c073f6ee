"""Laws of compiling for a machine that one does not have: what is compiled, what is read from reports, and how failures are reported."""
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from configs import ade20k, cityscapes, default, eqgan_ffhq, scenes
from oasis_jax import target
from oasis_jax.family import find_family
from oasis_jax.layers.dtype import compute_dtype
from oasis_jax.plan import plan
from oasis_jax.planning import compiled
from oasis_jax.planning.child import batch_shapes
from oasis_jax.planning.compiled import CompilerError, compile_for, count_as_compiler, read
from oasis_jax.planning.machines import GIB, find_machine
from tests.eqgan.tiny import tiny_config as tiny_eqgan
from tests.tiny_run import tiny_config as tiny_oasis

MACHINE = find_machine("v5e:2x2")
KNOWN = {"split": [4, 1], "mesh": "mesh", "description": "", "state": 1e6}
HAS_LIBTPU = importlib.util.find_spec("libtpu") is not None
EXHAUSTED = "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required (40.25G) exceeds (15.75G)."


def reports(folder, total="17 (17B)", assigned=True):
    """Fills a folder with files as the compiling process leaves them, and returns it."""
    (folder / "step.json").write_text(json.dumps(KNOWN))
    shutil.copy(pathlib.Path(__file__).parent / "tiny_program.txt", folder / "m.after_optimizations.txt")
    (folder / "m.after_optimizations-memory-usage-report.txt").write_text(f"Memory Space: default (color=0)\nTotal bytes: {total}\n")
    if assigned:
        (folder / "m.after_optimizations_after_buffer_assignment.txt").write_text("program")
    return folder


def test_reports_are_read(tmp_path):
    found = read(reports(tmp_path, "14640640 (13.96MiB)"), MACHINE)
    assert found.fits and (found.memory, found.state, found.split) == (14_640_640, 1e6, (4, 1))
    assert sum(cost.flops for cost in found.costs) > 1e8
    assert min(found.own_count) > 1e6


def test_the_compilers_own_count_of_a_text_is_that_of_the_compiled_program():
    done = jax.jit(lambda x, y: jnp.tanh(x @ y)).lower(jnp.ones((8, 16)), jnp.ones((16, 4))).compile()
    known = done.cost_analysis()
    assert count_as_compiler(done.as_text()) == (known["flops"], known["bytes accessed"])
    assert count_as_compiler("no program") is None


def test_too_little_memory_is_a_result(tmp_path):
    found = read(reports(tmp_path, f"{40 * GIB} (40GiB)", assigned=False), MACHINE, f"Traceback\n{EXHAUSTED}\n")
    assert not found.fits and found.memory == 40 * GIB
    assert found.complaint.startswith("Ran out of memory on HBM")


def test_other_files_in_the_folder_that_is_kept_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "_run", lambda job, log, which: reports(pathlib.Path(job.folder)))
    kept = tmp_path / "compiled"
    kept.mkdir()
    (kept / "module_0000.old.after_optimizations.txt").write_text("of an earlier step, which was longer than this one" * 1000)
    mine = [tmp_path / "module_1.txt", tmp_path / "log.txt", kept / "notes.txt"]
    for file in mine:
        file.write_text("mine")
    assert compile_for(MACHINE, tiny_oasis(), str(tmp_path)).fits
    assert [file.read_text() for file in mine] == ["mine"] * 3


def test_a_compiler_without_a_limit_is_held_to_the_chip(tmp_path):
    assert "exceed the 16.00 GiB of the chip" in read(reports(tmp_path, f"{17 * GIB} (17GiB)"), MACHINE).complaint


def test_any_other_failure_is_an_error_of_one_line(tmp_path):
    (tmp_path / "step.json").write_text(json.dumps(KNOWN))
    with pytest.raises(CompilerError) as caught:
        read(tmp_path, MACHINE, "Traceback (most recent call last):\n  File x\njax.errors.JaxRuntimeError: INTERNAL: broken\n\n")
    assert str(caught.value) == "jax.errors.JaxRuntimeError: INTERNAL: broken"


def test_a_process_that_vanishes_is_an_error(tmp_path):
    with pytest.raises(CompilerError, match="killed for lack of memory"):
        read(tmp_path, MACHINE)


def test_a_field_that_does_not_fit_is_refused_in_the_compiling_process_and_reported_here(monkeypatch):
    monkeypatch.setattr(compiled, "POLL", 0.05)
    config = tiny_oasis()
    config.data.num_classes = 0
    with pytest.raises(ValueError, match="data.num_classes is not set"):
        compile_for(find_machine("v5e:1x1"), config)


def test_the_compiling_process_ends_with_the_one_that_started_it():
    code = """if True:
        import threading, time
        from oasis_jax.planning.child import _end_with_parent
        threading.Thread(target=_end_with_parent).start()
        print("started", flush=True)
        time.sleep(600)
    """
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdout.readline()
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(timeout=60) == 1


@pytest.mark.parametrize(
    "config, shapes",
    [
        (cityscapes.get_config(), {"image": ((20, 256, 512, 3), "uint8"), "label_map": ((20, 256, 512), "uint8")}),
        (eqgan_ffhq.get_config(), {"image": ((64, 256, 256, 3), "uint8"), "heatmaps": ((64, 2, 7, 3), "float32")}),
        (eqgan_ffhq.get_config("baseline"), {"image": ((64, 256, 256, 3), "uint8")}),
    ],
)
def test_a_batch_has_the_columns_of_the_family(config, shapes):
    found = batch_shapes(config, find_family(config).columns(config))
    assert {name: (leaf.shape, str(leaf.dtype)) for name, leaf in found.items()} == shapes


def test_many_classes_need_wider_label_maps():
    config = default.get_config()
    config.data.num_classes = 300
    assert batch_shapes(config, ("image", "label_map"))["label_map"].dtype == "uint16"


def test_what_depends_on_the_platform_is_that_of_the_target():
    assert compute_dtype("auto") == jnp.float32
    with target.compiling_for("tpu"):
        assert compute_dtype("auto") == jnp.bfloat16
        assert find_family(ade20k.get_config()).statistic(ade20k.get_config()) is None  # conditioning is dense there
    assert compute_dtype("auto") == jnp.float32
    assert find_family(ade20k.get_config()).statistic(ade20k.get_config()) is not None


@pytest.mark.skipif(HAS_LIBTPU, reason="libtpu is installed")
def test_without_the_compiler_the_error_says_what_to_install():
    with pytest.raises(ValueError, match=r"pip install 'oasis_jax\[tpu\]'"):
        MACHINE.devices()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_LIBTPU, reason="needs libtpu: pip install 'oasis_jax[tpu]'")
@pytest.mark.parametrize("make_config", [tiny_oasis, tiny_eqgan], ids=["with label maps", "without"])
def test_the_step_of_each_family_is_compiled_for_a_tpu(make_config):
    config = make_config()
    config.model.dtype = "auto"
    config.train.update(batch_size=8, num_steps=1000)
    text = plan(config, MACHINE)
    for expected in ("v5e:2x2: 4 chips", "4 parts of the batch x 1 parts of each image", "fits", "1,000 steps", "D update: D backward"):
        assert expected in text
    assert "G update: G backward" in text and "optimizer and average" in text and "all-reduce" in text
    assert ("D regularisation: D backward" in text) == ("r1_gamma" in config.loss)


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["v4:2x2x1", "v5p:2x2x1", "v6e:2x2", "2xv5e:2x2", "h100:2"])
def test_the_step_is_compiled_for_every_kind_of_machine(topology):
    machine = find_machine(topology)
    try:
        machine.require_compiler()
    except ValueError as error:
        pytest.skip(str(error))
    config = tiny_oasis()
    config.train.update(batch_size=8, num_steps=1000)
    found = compile_for(machine, config)
    assert found.fits and found.split == (machine.chips, 1)
    done, moved = (sum(getattr(cost, name) for cost in found.costs) for name in ("flops", "traffic"))
    assert done > 1e6 and moved > 1e6 and any(cost.sent for cost in found.costs)


def test_the_demonstrations_plan_needs_no_data():
    assert batch_shapes(scenes.get_config(), ("image", "label_map"))["image"].shape == (2, 64, 128, 3)
