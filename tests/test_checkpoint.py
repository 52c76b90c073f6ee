"""Laws of the checkpoints: what is saved is restored, completely or not at all, and every fault is reported."""
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.checkpoint import SUPERSEDED, CheckpointError, Checkpoints, _cause, load_ema
from oasis_jax.training.resuming import check_config_fits

CONFIG = {
    "data": {"num_classes": 3, "image_size": (8, 8), "dontcare_id": 0, "label_offset": 0, "label_map": "", "palette": "", "root": "/a"},
    "model": {"channels": 4, "num_blocks": 2, "dtype": "auto", "remat": False},
    "train": {"lr_g": 1e-4},
}


def make_state(step):
    return {"step": jnp.int32(step), "params": {"w": jnp.arange(600.0).reshape(20, 30) * step}, "opt": (jnp.ones(3) / 3, jnp.int32(step))}


def make_ema(step):
    return {"params": {"w": jnp.full((4, 5), step, jnp.float32)}, "batch_stats": {"m": jnp.ones(2, jnp.bfloat16)}, "spectral_norm": {}}


def template(tree, sharding=None):
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding or a.sharding), tree)


def opened(workdir, keep=2, **options):
    return Checkpoints(workdir, keep=keep, score_name="fid", higher_is_better=False, **options)


def save_steps(workdir, steps, keep=2, fids=None):
    with opened(workdir, keep) as checkpoints:
        for step in steps:
            checkpoints.save(step, make_state(step), make_ema(step), CONFIG)
            if fids and step in fids:
                checkpoints.add_scores(step, {"fid": fids[step]})


def steps_on_disk(workdir):
    return sorted(int(path.name) for path in (Path(workdir) / "checkpoints").iterdir() if path.name.isdigit())


def assert_equal(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def test_restored_state_equals_saved_state_bit_for_bit(tmp_path):
    save_steps(tmp_path, [1, 2])
    with opened(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 2
        assert_equal(checkpoints.restore(template(make_state(2))), make_state(2))
        assert checkpoints.restore_config() == json.loads(json.dumps(CONFIG))


def test_ema_comes_back_without_a_template_from_each_kind_of_path(tmp_path):
    save_steps(tmp_path, [3, 7])
    for path in (tmp_path, tmp_path / "checkpoints", tmp_path / "checkpoints" / "7"):
        ema, config, step = load_ema(path)
        assert step == 7 and config == json.loads(json.dumps(CONFIG))
        assert_equal(ema, make_ema(7))
        assert ema["batch_stats"]["m"].dtype == jnp.bfloat16
    assert load_ema(tmp_path / "checkpoints" / "3")[2] == 3


def test_a_run_named_by_a_number_is_not_taken_for_a_step(tmp_path):
    save_steps(tmp_path / "7", [1])
    assert load_ema(tmp_path / "7")[2] == 1


def test_a_generator_without_train_state_can_be_saved(tmp_path):
    with opened(tmp_path) as checkpoints:
        checkpoints.save(0, None, make_ema(0), CONFIG)
    assert load_ema(tmp_path)[2] == 0


def test_latest_steps_and_the_best_one_are_kept(tmp_path):
    save_steps(tmp_path, range(1, 7), fids={1: 9.0, 2: 3.0, 4: 5.0, 5: float("nan")})
    assert steps_on_disk(tmp_path) == [2, 5, 6]
    assert load_ema(tmp_path)[2] == 6
    assert load_ema(tmp_path, best=True)[2] == 2


def test_superseded_steps_are_deleted_as_soon_as_a_run_waits_or_starts(tmp_path):
    with opened(tmp_path, keep=1) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, make_state(step), make_ema(step), CONFIG)
        checkpoints.wait()
        assert [path.name for path in checkpoints.directory.iterdir()] == ["3"]
    left = tmp_path / "checkpoints" / SUPERSEDED / "1"
    left.mkdir(parents=True)
    with opened(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.latest_step() == load_ema(tmp_path)[2] == 3
    assert left.exists()
    with opened(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 3 and not left.parent.exists()


def test_best_step_survives_a_new_start(tmp_path):
    save_steps(tmp_path, [1, 2], keep=1, fids={1: 1.0, 2: 2.0})
    save_steps(tmp_path, [3, 4], keep=1, fids={3: 3.0})
    assert steps_on_disk(tmp_path) == [1, 4]


def test_best_step_follows_the_direction_of_the_score(tmp_path):
    with Checkpoints(tmp_path, keep=1, score_name="miou", higher_is_better=True) as checkpoints:
        for step, miou in ((1, 0.2), (2, 0.6), (3, 0.4)):
            checkpoints.save(step, None, make_ema(step), CONFIG)
            checkpoints.add_scores(step, {"miou": miou})
    assert steps_on_disk(tmp_path) == [2, 3] and load_ema(tmp_path, best=True)[2] == 2


def test_scores_may_be_added_to_a_saved_step_and_survive_a_new_start(tmp_path):
    save_steps(tmp_path, [0], keep=1)
    (tmp_path / "checkpoints" / "0" / "metrics" / "metrics").write_text('{"fid": 5.0}')  # as older versions wrote them
    for steps in ((1, 2), (3,)):
        with opened(tmp_path, keep=1) as checkpoints:
            for step in steps:
                checkpoints.save(step, make_state(step), make_ema(step), CONFIG)
                checkpoints.add_scores(step, {"fid": step, "other": 0})
    assert steps_on_disk(tmp_path) == [1, 3] and load_ema(tmp_path, best=True)[2] == 1
    with opened(tmp_path, keep=1) as checkpoints:
        checkpoints.add_scores(3, {"fid": -1.0, "more": 2.0}, replace=False)
    assert json.loads((tmp_path / "checkpoints" / "scores.json").read_text())["3"] == {"fid": 3.0, "other": 0.0, "more": 2.0}
    (tmp_path / "checkpoints" / "3" / "metrics" / "metrics").write_text('{"step": 3.0, "fid": 4.0}')  # scores of an older version stay
    with opened(tmp_path, keep=1) as checkpoints:
        checkpoints.add_scores(3, {"fid": -1.0})
    assert load_ema(tmp_path, best=True)[2] == 1
    (tmp_path / "checkpoints" / "scores.json").write_text("{")
    with pytest.raises(CheckpointError, match="scores.json .*remove it"):
        load_ema(tmp_path, best=True)


def test_best_of_a_run_without_scores_is_an_error(tmp_path):
    save_steps(tmp_path, [1])
    with pytest.raises(CheckpointError, match="fid"):
        load_ema(tmp_path, best=True)


def test_saving_a_step_twice_is_harmless(tmp_path):
    with opened(tmp_path) as checkpoints:
        assert checkpoints.save(1, make_state(1), make_ema(1), CONFIG)
        assert not checkpoints.save(1, make_state(5), make_ema(5), CONFIG)
    save_steps(tmp_path, [1])
    assert_equal(load_ema(tmp_path)[0], make_ema(1))


def test_buffers_may_be_donated_right_after_save(tmp_path):
    state = {"w": jnp.ones((500, 500))}
    erase = jax.jit(lambda tree: jax.tree.map(lambda a: a * 0, tree), donate_argnums=0)
    with opened(tmp_path) as checkpoints:
        checkpoints.save(1, state, make_ema(1), CONFIG)
        jax.block_until_ready(erase(state))
        assert float(checkpoints.restore({"w": jax.ShapeDtypeStruct((500, 500), jnp.float32)})["w"].min()) == 1


def run_python(code, *args, **environment):
    root = Path(__file__).parents[1]
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], cwd=root, env=os.environ | environment)


SAVE_ON_EIGHT_DEVICES = """
import sys, jax, jax.numpy as jnp
from oasis_jax.checkpoint import Checkpoints
mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
w = jax.device_put(jnp.arange(64.0), jax.NamedSharding(mesh, jax.P("data")))
with Checkpoints(sys.argv[1], 1, "fid", False) as checkpoints:
    checkpoints.save(1, {"w": w}, {"params": {"w": w}}, {})
"""


def test_a_checkpoint_of_eight_devices_is_read_on_one(tmp_path):
    process = run_python(SAVE_ON_EIGHT_DEVICES, tmp_path, XLA_FLAGS="--xla_force_host_platform_device_count=8", JAX_PLATFORMS="cpu")
    assert process.wait() == 0
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with opened(tmp_path) as checkpoints:
        restored = checkpoints.restore({"w": jax.ShapeDtypeStruct((64,), jnp.float32, sharding=here)})["w"]
    assert restored.sharding == here
    np.testing.assert_array_equal(restored, np.arange(64.0))
    np.testing.assert_array_equal(load_ema(tmp_path)[0]["params"]["w"], np.arange(64.0))


# Deletes files so slowly that most kills happen during a deletion.
SAVE_FOR_EVER = """
import os, sys, time, jax.numpy as jnp
from oasis_jax.checkpoint import Checkpoints
from oasis_jax.training.resuming import check_config_fits
unlink = os.unlink
os.unlink = lambda *args, **options: (time.sleep(0.02), unlink(*args, **options))
checkpoints = Checkpoints(sys.argv[1], 2, "fid", False)
for step in range(1, 100000):
    tree = {"w%d" % i: jnp.full((300, 300), step, jnp.float32) for i in range(4)}
    checkpoints.save(step, tree, {"params": tree}, {})
"""


def test_a_run_killed_at_any_moment_leaves_whole_steps_only(tmp_path):
    shape = jax.ShapeDtypeStruct((300, 300), jnp.float32)
    for pause in (0.02, 0.2):
        process = run_python(SAVE_FOR_EVER, tmp_path / str(pause), JAX_PLATFORMS="cpu")
        while not (tmp_path / str(pause) / "checkpoints" / "3").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with opened(tmp_path / str(pause)) as checkpoints:
            for step in steps_on_disk(tmp_path / str(pause)):
                state = checkpoints.restore({f"w{i}": shape for i in range(4)}, step)
                assert all(bool((w == step).all()) for w in state.values())
                assert load_ema(tmp_path / str(pause) / "checkpoints" / str(step))[2] == step
            last = checkpoints.latest_step()
            checkpoints.save(last + 1, make_state(1), make_ema(1), CONFIG)
        assert not [path.name for path in (tmp_path / str(pause) / "checkpoints").iterdir() if not path.name.isdigit()]


def empty_all(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


def halve_all(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# Orbax leaves a coroutine unfinished when a file is truncated.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", [empty_all, halve_all, shutil.rmtree])
def test_a_damaged_checkpoint_is_an_error_that_names_the_newest_whole_step(tmp_path, damage):
    save_steps(tmp_path, [1, 2, 3, 4], keep=4)
    damage(tmp_path / "checkpoints" / "3" / "ema")
    damage(tmp_path / "checkpoints" / "4" / "state")
    damage(tmp_path / "checkpoints" / "4" / "ema")
    with opened(tmp_path) as checkpoints, pytest.raises(CheckpointError, match=r"checkpoints/4/state.*step 2"):
        checkpoints.restore(template(make_state(4)))
    with pytest.raises(CheckpointError, match=r"checkpoints/4/ema.*step 2"):
        load_ema(tmp_path)


@pytest.mark.parametrize("damage", [empty_all, halve_all])
def test_a_wholly_damaged_step_is_an_error_at_the_start(tmp_path, damage):
    save_steps(tmp_path, [1, 2], fids={1: 1.0, 2: 2.0})
    damage(tmp_path / "checkpoints" / "2")
    for attempt in (lambda: opened(tmp_path), lambda: load_ema(tmp_path), lambda: load_ema(tmp_path, best=True)):
        with pytest.raises(CheckpointError, match=r"checkpoints/2/metrics.*step 1"):
            attempt()


def test_an_empty_file_of_a_checkpoint_is_named(tmp_path):
    save_steps(tmp_path, [1])
    (tmp_path / "checkpoints" / "1" / "ema" / "_METADATA").write_bytes(b"")
    with pytest.raises(CheckpointError, match="checkpoints/1/ema: _METADATA: 0 bytes; no older step is complete"):
        load_ema(tmp_path)


def test_a_file_where_a_checkpoint_should_be_is_an_error(tmp_path):
    save_steps(tmp_path, [1])
    (tmp_path / "checkpoints" / "2").write_bytes(b"")
    for attempt in (lambda: opened(tmp_path), lambda: load_ema(tmp_path), lambda: load_ema(tmp_path / "checkpoints" / "2")):
        with pytest.raises(CheckpointError, match="checkpoints/2 is a file of 0 bytes"):
            attempt()


def test_a_place_without_checkpoint_is_an_error(tmp_path):
    for path in (tmp_path, tmp_path / "absent", tmp_path / "12"):
        with pytest.raises(CheckpointError, match=f"no checkpoint at {path}"):
            load_ema(path)
    save_steps(tmp_path, [1])
    with pytest.raises(CheckpointError, match="checkpoints/5"):
        load_ema(tmp_path / "checkpoints" / "5")
    with opened(tmp_path / "new") as checkpoints, pytest.raises(CheckpointError, match="no checkpoint in"):
        checkpoints.restore({})


def test_a_state_of_another_structure_is_an_error_that_names_the_field(tmp_path):
    save_steps(tmp_path, [1])
    with opened(tmp_path) as checkpoints, pytest.raises(CheckpointError, match="extra"):
        checkpoints.restore(template(make_state(1) | {"extra": jnp.ones(1)}))


def test_a_workdir_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="choose another workdir"):
        opened(tmp_path / "file")


def test_read_only_changes_nothing(tmp_path):
    with opened(tmp_path / "run", read_only=True) as checkpoints:
        assert checkpoints.latest_step() is None
        with pytest.raises(CheckpointError, match="read-only"):
            checkpoints.save(1, make_state(1), make_ema(1), CONFIG)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o size=3m tmpfs {folder} 2>/dev/null"):
        pytest.skip("may not mount a tmpfs")
    yield folder
    os.system(f"umount {folder}")


def test_a_full_disk_is_an_error_and_earlier_checkpoints_stay_whole(small_disk):
    noise = {"params": {"w": np.random.default_rng(0).random((1000, 1000), np.float32)}}
    checkpoints = opened(small_disk)
    checkpoints.save(1, make_state(1), make_ema(1), CONFIG, wait=True)
    checkpoints.save(2, None, noise, CONFIG)
    with pytest.raises(CheckpointError, match=rf"{small_disk}/checkpoints, whose disk has .* MiB free.* complete checkpoint is step 1"):
        checkpoints.wait()
    assert checkpoints.latest_step() == 1
    assert_equal(checkpoints.restore(template(make_state(1))), make_state(1))
    checkpoints.close()
    save_steps(small_disk, [2])
    assert_equal(load_ema(small_disk)[0], make_ema(2))


def test_a_save_that_cannot_begin_is_an_error_and_leaves_no_thread_behind(tmp_path):
    threads = set(threading.enumerate())
    checkpoints = opened(tmp_path)
    shutil.rmtree(checkpoints.directory)
    Path(checkpoints.directory).write_text("")
    with pytest.raises(CheckpointError, match="there is no complete checkpoint yet"):
        checkpoints.save(1, make_state(1), make_ema(1), CONFIG)
    checkpoints.close()
    started = [thread for thread in threading.enumerate() if thread not in threads and not thread.daemon]
    assert not [thread for thread in started if not thread.name.startswith("asyncio_")]  # these are idle, and end with the process


@pytest.mark.parametrize("first", [(), (1,)])
def test_a_folder_that_is_moved_while_a_run_uses_it_is_told(tmp_path, first):
    with pytest.raises(CheckpointError, match="run/checkpoints, which was moved or deleted while the run used it"):
        with opened(tmp_path / "run") as checkpoints:
            for step in first:
                checkpoints.save(step, make_state(step), make_ema(step), CONFIG, wait=True)
            (tmp_path / "run").rename(tmp_path / "moved")
            (tmp_path / "run").write_text("")  # as if the workdir were a link that was replaced
            checkpoints.save(2, make_state(2), make_ema(2), CONFIG, wait=True)


def test_a_config_that_changes_the_model_does_not_fit():
    changed = json.loads(json.dumps(CONFIG))
    changed["model"]["channels"] = 2
    changed["data"]["label_map"] = "255:0"
    message = r"data.label_map \(checkpoint '', config '255:0'\), model.channels \(checkpoint 4, config 2\)"
    with pytest.raises(CheckpointError, match=message):
        check_config_fits(CONFIG, changed)


def test_a_config_that_changes_rates_folders_or_precision_fits():
    changed = json.loads(json.dumps(CONFIG))
    changed["train"]["lr_g"] = 1.0
    changed["data"]["root"] = "/b"
    changed["model"] |= {"dtype": "bfloat16", "remat": True}
    check_config_fits(CONFIG, changed, ("dtype", "remat"))
    with pytest.raises(CheckpointError, match=r"model.remat \(checkpoint False, config True\)"):
        check_config_fits(CONFIG, changed, ("dtype",))


def test_train_fields_that_the_state_depends_on_may_not_change():
    changed = json.loads(json.dumps(CONFIG))
    changed["train"] |= {"lr_g": 1.0, "first": 3}
    check_config_fits(CONFIG, changed, fixed_train_fields=("first",))  # a field newer than the checkpoint
    with pytest.raises(CheckpointError, match=r"train.lr_g \(checkpoint .*, config 1.0\): restore"):
        check_config_fits(CONFIG, changed, fixed_train_fields=("lr_g", "first"))


def test_fields_newer_than_the_checkpoint_fit():
    changed = json.loads(json.dumps(CONFIG))
    changed["model"]["spatial_awareness"] = False
    changed["family"] = "one"
    check_config_fits(CONFIG, changed)
    with pytest.raises(CheckpointError, match=r"family \(checkpoint 'two', config 'one'\)"):
        check_config_fits(CONFIG | {"family": "two"}, changed)


def test_what_orbax_imports_for_a_bucket_is_installed():
    assert importlib.util.find_spec("google.cloud.storage")  # Orbax needs it if a workdir is gs://, but does not declare it


def test_the_cause_of_a_failed_save_ends_with_the_reason():
    error = OSError(f"Failed writing {'/long/path' * 100}:\nNo space left on device [os_error_code='28'] [source locations='a.cc:1']")
    cause = _cause(error)
    assert cause.startswith("OSError: Failed writing /long") and cause.endswith(": No space left on device") and len(cause) < 320
