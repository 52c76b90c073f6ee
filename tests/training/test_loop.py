"""Laws of a whole run, on tiny scenes: resuming is exact, faults stop it with a helpful message, everything is written to the workdir."""
import contextlib
import itertools
import json
import shlex
import signal
import types

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from configs import scenes
from oasis_jax import evaluate, sample
from oasis_jax.checkpoint import CheckpointError, Checkpoints, load_config, load_ema, load_state
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.labels import DataError, read_label_map
from oasis_jax.data.pipeline import train_batches
from oasis_jax.heatmaps import of_seed
from oasis_jax.parallel.preemption import Notice
from oasis_jax.pictures import colour_label_map, grid
from oasis_jax.sampling import load
from oasis_jax.training.divergence import TrainingDivergedError, check_finite, check_state
from oasis_jax.training.loop import Progress, plain, restore_or_create, train, train_and_evaluate
from oasis_jax.training.setup import set_up
from tests import killed_run
from tests.sample_options import sample_options

OVERRIDES = {
    "data.image_size": (16, 32),
    "data.scenes_train": 8,
    "data.scenes_val": 4,
    "model.num_blocks": 2,
    "model.channels": 2,
    "model.spade_hidden": 4,
    "model.z_dim": 4,
    "model.d_channels": (4, 4),
    "model.d_last": 4,
    "train.batch_size": 8,  # divisible by the numbers of processes and devices of all tests with this config
    "train.num_steps": 60,
    "train.coarse_steps": 0,
    "train.max_minutes": 0.0,
    "train.ema_refresh_batches": 2,
    "log.every_steps": 10,
    "log.images_every_steps": 0,
    "checkpoint.every_steps": 10,
}


def tiny_config(**overrides):
    config = scenes.get_config()
    config.update_from_flattened_dict(OVERRIDES | {name.replace("__", "."): value for name, value in overrides.items()})
    return config


def command(workdir):
    return killed_run.command("scenes", tiny_config(), scenes.get_config(), workdir)


def run_to_end(workdir):
    return killed_run.run_to_end(command(workdir))


def run_until_killed(workdir, signal_number, after_step):
    return killed_run.run_until_killed(command(workdir), workdir, signal_number, after_step)


def saved_state(workdir):
    config = tiny_config()
    with Checkpoints(workdir, 2, config.eval.score, False, read_only=True) as checkpoints:
        assert checkpoints.latest_step() == config.train.num_steps
        return jax.device_get(restore_or_create(set_up(config, workdir), checkpoints))


def assert_identical(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("not interrupted")  # with a space, as many folders have in their names
    return workdir, run_to_end(workdir)


def test_run_leaves_everything_in_its_workdir_and_says_where(uninterrupted):
    workdir, output = uninterrupted
    assert (workdir / "losses.png").exists() and list((workdir / "samples").glob("*.png")) and list(workdir.glob("events.out.tfevents*"))
    scores = json.loads((workdir / "evaluation.json").read_text())
    assert scores["step"] == 60 and 0 <= scores["colour_distance"] <= 1 and 0 <= scores["miou_by_d"] <= 1
    said = dict(line.split(": ", 1) for line in output.splitlines()[-6:])
    assert said["sample grids"].strip() == str(workdir / "samples") and said["checkpoints"].strip() == str(workdir / "checkpoints")
    assert shlex.split(said["TensorBoard"]) == ["tensorboard", f"--logdir={workdir}"]
    *command, checkpoint, labels, output = shlex.split(said["sample from it"])
    assert command == ["python", "-m", "oasis_jax.sample"] and checkpoint == f"--checkpoint={workdir}"
    options = [part.split("=", 1)[1] for part in (checkpoint, output, labels)]
    sample.run(sample_options(*options[:2], labels=options[2]))
    assert len(list((workdir / "generated").glob("*_0.png"))) == 4
    assert len(list((workdir / "labels").glob("*.png"))) == 4


def test_resume_after_sigkill_equals_uninterrupted_run(uninterrupted, tmp_path):
    _, code = run_until_killed(tmp_path, signal.SIGKILL, after_step=20)
    assert code == -signal.SIGKILL
    assert "resuming from step" in run_to_end(tmp_path)
    assert_identical(saved_state(tmp_path), saved_state(uninterrupted[0]))


@pytest.mark.slow
@pytest.mark.parametrize("number, name", [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_a_run_that_is_told_to_stop_saves_first_and_resume_equals_uninterrupted_run(uninterrupted, tmp_path, number, name):
    output, code = run_until_killed(tmp_path, number, after_step=10)
    assert code == 0 and f"stopped by {name} at step" in output and "Traceback" not in output
    stopped_at = int(output.split(f"stopped by {name} at step ")[1].split(",")[0])
    assert (tmp_path / "checkpoints" / str(stopped_at)).exists()
    assert f"resuming from step {stopped_at}" in run_to_end(tmp_path)
    assert_identical(saved_state(tmp_path), saved_state(uninterrupted[0]))


def test_the_printed_command_reads_label_files_as_the_run_did(tmp_path, capsys):
    """Also label files that lie among other files, have a suffix and hold colours, and after the palette file has been deleted."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        (tmp_path / split / "mixed").mkdir(parents=True)
        for name in "ab":
            colours = np.array([(9, 9, 9), (200, 60, 40), (0, 90, 0)], np.uint8)[rng.integers(0, 3, (16, 32))]
            Image.fromarray(colours).save(tmp_path / split / "mixed" / f"{name}_mask.png")
            Image.fromarray(colours).save(tmp_path / split / "mixed" / f"{name}.png")
    (tmp_path / "palette.txt").write_text("9 9 9 void\n200 60 40 house\n0 90 0 tree\n")
    folders = {f"data__{split}_{kind}": f"{split}/mixed" for split in ("train", "val") for kind in ("photos", "labels")}
    config = tiny_config(
        data__layout="folders", data__root=str(tmp_path), data__palette=str(tmp_path / "palette.txt"), data__num_classes=2,
        data__class_names=("void", "thing"), data__label_map="2:1", data__label_suffix="_mask", train__batch_size=2, **folders,
    )  # fmt: skip
    with pytest.raises(DataError, match="a_mask.png has no label map"):  # photos have no suffix, so every image in the folder counts as one
        set_up(config, tmp_path / "refused")
    for split in ("train", "val"):
        (tmp_path / split / "photos").mkdir()
        for name in "ab":
            (tmp_path / split / "mixed" / f"{name}.png").rename(tmp_path / split / "photos" / f"{name}.png")
            Image.new("L", (4, 4), 77).save(tmp_path / split / "mixed" / f"{name}_other.png")
        config.data[f"{split}_photos"] = f"{split}/photos"
    workdir = tmp_path / "my run"
    run = set_up(config, workdir)
    with Checkpoints(workdir, 1, run.config.eval.score, False) as checkpoints:
        state = restore_or_create(run, checkpoints)
        checkpoints.save(0, state, state.ema, plain(run.config), wait=True)
    shown = Progress(run, 0)
    shown.print_summary(0, {})
    shown.close()
    (tmp_path / "palette.txt").unlink()
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("sample from it: "))
    *command, checkpoint, labels, output = shlex.split(line.removeprefix("sample from it: "))
    options = [part.split("=", 1)[1] for part in (checkpoint, output, labels)]
    sample.run(sample_options(*options[:2], labels=options[2]))
    assert {file.name for file in (workdir / "generated").glob("*_0.png")} == {"a_mask_0.png", "b_mask_0.png"}


def test_changed_config_that_does_not_fit_names_the_fields(uninterrupted):
    config = tiny_config(model__channels=4, model__z_dim=8, train__segmentation_steps=5)
    with pytest.raises(CheckpointError, match=r"train\.segmentation_steps .*, model\.channels \(checkpoint 2, config 4\).*model\.z_dim"):
        train_and_evaluate(config, uninterrupted[0])


def test_finished_run_started_again_only_evaluates(uninterrupted, capsys):
    workdir, _ = uninterrupted
    before = json.loads((workdir / "evaluation.json").read_text())
    scores = train_and_evaluate(tiny_config(), workdir)
    assert "trained to step 60 already" in capsys.readouterr().out
    expected = {name: value for name, value in before.items() if name not in ("step", "protocol")}
    assert scores == pytest.approx(expected, rel=1e-6)


def test_diverged_loss_stops_the_run_with_step_and_term_and_checkpoint(tmp_path):
    config = tiny_config(train__lr_g=1e30, log__every_steps=2, train__num_steps=10)
    with pytest.raises(TrainingDivergedError, match=r"step \d+: loss_\w+ is (nan|inf); no checkpoint was saved before"):
        train_and_evaluate(config, tmp_path)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_run_without_logs_keeps_no_metrics_for_long(tmp_path, monkeypatch):
    counts = []

    def count(run, pending, *arguments):
        counts.append(len(pending))
        return check_finite(run, pending, *arguments)

    monkeypatch.setattr("oasis_jax.training.loop.check_finite", count)
    monkeypatch.setattr("oasis_jax.training.loop.CHECK_EVERY", 4)
    train_and_evaluate(tiny_config(log__every_steps=0, checkpoint__every_steps=6, train__num_steps=10), tmp_path)
    assert counts == [4, 2, 4, 2]  # at the steps 4, 6, 8 and 10


@pytest.mark.slow
def test_a_run_that_ends_in_its_first_steps_is_told_so_at_its_start_and_at_its_end(tmp_path, capsys):
    config = tiny_config(train__coarse_steps=5, train__num_steps=2, train__batch_size=2, eval__max_examples=2)
    train_and_evaluate(config, tmp_path)
    assert capsys.readouterr().out.count("note: with 2 steps in all, nothing is trained at the full height and width") == 2


def test_a_metric_with_advice_ends_the_run_by_it(tmp_path):
    train_step = types.SimpleNamespace(advice={"fit": "fix them"}, learning_rates=lambda _: {"lr_g": 1.0})
    run, good = types.SimpleNamespace(train_step=train_step, workdir=tmp_path), {"loss_g": 1.0, "fit": 0.0, "di_seg": np.nan}
    assert check_finite(run, [good, good], 8, None)["fit"] == 0
    with pytest.raises(TrainingDivergedError, match="step 8: fit is nan; no checkpoint was saved before; fix them, and start again"):
        check_finite(run, [good, good | {"fit": np.nan}], 8, None)


@pytest.mark.parametrize("in_command", [True, False])
def test_a_signal_during_compilation_ends_commands_but_no_process_of_others(tmp_path, monkeypatch, in_command):
    """Of a notebook, for example: there, a step is trained and saved first."""
    received = Notice()

    def restore(*_):
        raise KeyError(f"{received.idle}, {received.may_exit}")

    monkeypatch.setattr("oasis_jax.training.loop.notice", lambda: contextlib.nullcontext(received))
    monkeypatch.setattr("oasis_jax.training.loop.restore_or_create", restore)
    run = types.SimpleNamespace(workdir=tmp_path, config=tiny_config(), higher_is_better=False)
    with pytest.raises(KeyError, match=f"nothing is saved yet, {in_command}"):
        train(run, in_command=in_command)


@pytest.mark.parametrize("error", [OSError("disk full"), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")])
def test_an_evaluation_that_fails_loses_no_training(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(Progress, "evaluate", fail)
    config = tiny_config(train__num_steps=3)
    with pytest.raises(type(error), match=str(error)):
        train_and_evaluate(config, tmp_path)
    assert int(load_state(tmp_path)["step"]) == 3
    monkeypatch.undo()  # the next start evaluates, and its scores choose the best checkpoint
    assert config.eval.score in train_and_evaluate(config, tmp_path) and load_ema(tmp_path, best=True)[2] == 3


def test_a_file_that_cannot_be_read_loses_no_step_before_it(tmp_path, monkeypatch):
    def batches(*arguments):
        yield from itertools.islice(train_batches(*arguments), 3)
        raise DataError("photo.png: cannot be read")

    monkeypatch.setattr("oasis_jax.training.loop.train_batches", batches)
    with pytest.raises(DataError, match="photo.png: cannot be read; step 3 is saved, and the run is resumed from there: correct this"):
        train_and_evaluate(tiny_config(train__num_steps=9, checkpoint__every_steps=100, log__every_steps=100), tmp_path)
    assert int(load_state(tmp_path)["step"]) == 3


def test_faults_of_files_come_before_what_they_leave_is_found_too_little(tmp_path):
    for split in ("train", "val"):
        for kind, name in (("photos", "a.png"), ("labels", "a_mask.png")):
            (tmp_path / split / kind).mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / split / kind / name)
    config = tiny_config(data__layout="folders", data__root=str(tmp_path), data__num_classes=2, train__num_steps=0)
    with pytest.raises(DataError, match="(?s)in the train split .*data.label_suffix=_mask.*in the val split .*data.label_suffix=_mask"):
        set_up(config, tmp_path / "run")
    with pytest.raises(DataError, match="--workdir=.*is in .*val/photos"):
        set_up(config, tmp_path / "val/photos/run")


def test_state_that_is_not_finite_is_not_saved_as_good(tmp_path):
    run = set_up(tiny_config(), tmp_path)
    with Checkpoints(tmp_path, 2, run.config.eval.score, False) as checkpoints:
        state = restore_or_create(run, checkpoints)
    check_state(run, state, 7, None)
    params = jax.tree.map(lambda leaf: leaf * np.nan, state.discriminator["params"])
    with pytest.raises(TrainingDivergedError, match=r"step 7: .discriminator.*is not finite after the update; no checkpoint"):
        check_state(run, state.replace(discriminator=state.discriminator | {"params": params}), 7, None)


def test_rates_may_fall_to_zero_with_the_last_step(tmp_path):
    assert set_up(tiny_config(train__linear_decay=(10, 60)), tmp_path).train_step.learning_rates(58)["lr_g"] > 0


@pytest.mark.parametrize("fields", [{"num_steps": 60}, {"num_steps": 0, "num_epochs": 60}])
def test_rates_may_fall_over_a_share_of_the_run(tmp_path, fields):
    config = tiny_config(train__linear_decay=(0.5, 1.0), **{f"train__{name}": value for name, value in fields.items()})
    run = set_up(config, tmp_path)
    rates = [run.train_step.learning_rates(step)["lr_g"] for step in (29, 44, 58, 59)]
    np.testing.assert_allclose(rates, config.train.lr_g * np.array([1, 0.5, 1 / 30, 0]), rtol=1e-5)
    assert run.num_steps == 60 and run.config.train.linear_decay == (30, 60)
    assert config.train.linear_decay == (0.5, 1.0)


def test_rates_and_warmup_may_change_when_a_run_is_resumed(uninterrupted, capsys):
    train_and_evaluate(tiny_config(train__warmup_steps=0, train__lr_g=1e-5, train__linear_decay=(10, 90)), uninterrupted[0])
    assert "trained to step 60 already" in capsys.readouterr().out


def test_the_protocol_of_the_config_is_measured_and_can_choose_the_best(tmp_path, monkeypatch):
    monkeypatch.setenv("OASIS_JAX_CACHE", str(tmp_path / "cache"))
    fields = {"train__num_steps": 2, "eval__every_steps": 1, "checkpoint__every_steps": 1, "eval__max_examples": 3}
    scores = train_and_evaluate(tiny_config(eval__protocol="plain", eval__score="texture_distance", **fields), tmp_path)
    assert 0 < scores["texture_distance"] < 1 and scores["colour_distance"] < 1 and np.isfinite(scores["di_seg"])
    report = (tmp_path / "evaluation" / "training" / "report.md").read_text()
    assert "protocol plain, first 3 examples" in report and "| generated images | 3 |" in report
    scored = json.loads((tmp_path / "checkpoints" / "scores.json").read_text())
    measured = {int(step): found["texture_distance"] for step, found in scored.items()}
    assert len(measured) > 1 and load_ema(tmp_path, best=True)[2] == min(measured, key=measured.get)


@pytest.mark.slow
def test_a_run_on_regions_says_so_and_its_label_maps_fit(tmp_path, capsys):
    fields = {"model__conditioning": "regions", "model__region_share": 1.0, "train__num_steps": 2, "log__every_steps": 1}
    fields |= {"model__num_blocks": 1, "model__d_channels": (4,)}
    config = tiny_config(**fields)
    assert np.isfinite(train_and_evaluate(config, tmp_path)["di_seg"])
    assert "conditioning on regions at 16x32 (capacity: " in capsys.readouterr().out
    assert set_up(config, tmp_path).train_step.generator.known_to_fit


@pytest.mark.slow
def test_a_spatially_aware_run_with_other_first_steps_resumed_equals_the_uninterrupted_one_and_samples(tmp_path, capsys):
    fields = {"train__segmentation_steps": 1, "train__coarse_steps": 3, "model__pixel_noise": 2}
    fields |= {"model__spatial_awareness": True, "model__num_blocks": 3, "model__d_channels": (4, 4, 4), "model__sel_blocks": "l1,cat,none"}
    fields |= {"train__batch_size": 2, "checkpoint__every_steps": 2, "log__every_steps": 2, "eval__max_examples": 2}
    for folder, stops in (("once", (4,)), ("twice", (2, 4))):
        for num_steps in stops:
            scores = train_and_evaluate(tiny_config(train__num_steps=num_steps, **fields), tmp_path / folder)
    (once, _, _), (twice, _, _) = (load_ema(tmp_path / folder) for folder in ("once", "twice"))
    assert_identical(once, twice)
    assert np.any(once["params"]["sel_1"]["output"]["weight"]) and np.isfinite(scores["di_seg"])
    output = capsys.readouterr().out
    assert "loss_g_align" in output and "di_seg" in output and "DI_seg = mean_c" in output
    assert load(tmp_path / "once").sample(np.zeros((16, 32), int), heatmaps=of_seed(1)).shape == (1, 16, 32, 3)


def test_workdir_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write to the workdir .*choose another --workdir"):
        set_up(tiny_config(), tmp_path / "file" / "run")


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"eval__score": "fid"}, "eval.score=fid is not one of colour_distance, .*measured with no eval.protocol"),
        ({"eval__protocol": "plane"}, "no protocol 'plane'; did you mean plain"),
        ({"data__image_size": (18, 32)}, "image size 18x32 does not fit.*divisible by 4; nearest heights 16 or 20, widths 32"),
        ({"model__num_blocks": 7}, "model.num_blocks=7"),
        ({"train__discriminator_schedule": "twice"}, "train.discriminator_schedule=twice"),
        ({"model__dtype": "float16"}, "model.dtype=float16"),
        ({"train__batch_size": 0}, "train.batch_size=0 is not an integer in 1"),
        ({"loss__balance_groups": 3}, "loss.balance_groups=3 does not divide train.batch_size=8"),
        ({"train__shared_fakes": True, "train__accumulate": 2}, "train.shared_fakes=True needs train.accumulate=1, not 2"),
        ({"train__num_steps": 0, "train__num_epochs": 0}, "is less than one step: set train.num_steps"),
        ({"train__linear_decay": (10, 59)}, r"\(train.lr_g, train.lr_d\) are 0 before the last of 60 steps: set a smaller"),
    ],
)
def test_fields_that_do_not_fit_are_errors(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        set_up(tiny_config(**fields), tmp_path)


@pytest.mark.parametrize("inside", ["train/photos/run", "val/labels", "train/photos/../photos/a/b"])
def test_a_workdir_in_a_folder_of_the_data_is_refused_at_the_first_start(tmp_path, inside):
    for folder in ("train/photos", "train/labels", "val/photos", "val/labels"):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(np.zeros((16, 32), np.uint8)).save(tmp_path / folder / "a.png")
    config = tiny_config(data__layout="folders", data__root=str(tmp_path))
    with pytest.raises(DataError, match="--workdir=.* is in .*: pictures written there would be read as data; choose another --workdir"):
        train_and_evaluate(config, tmp_path / inside)
    assert len([file for file in tmp_path.rglob("*") if file.is_file()]) == 4 and not (tmp_path / "train/photos/run").exists()


def test_a_wrong_config_leaves_no_workdir(tmp_path):
    with pytest.raises(ValueError, match="eval.batch_size=0"):
        train_and_evaluate(tiny_config(eval__batch_size=0), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_any_image_of_a_sample_grid_is_reproduced_from_its_seed(uninterrupted):
    """The library reproduces the whole grid that the run drew, from nothing but the checkpoint, the data and the seeds."""
    workdir, _ = uninterrupted
    model, split, rows = load(workdir), open_split(DataSpec.of_config(tiny_config().data), "val"), []
    examples = split.spread(4)
    for i in range(4):
        stored = examples.read(i)  # scenes are drawn at the size of the model
        samples = [model.sample(stored["label_map"], seed=seed)[0] for seed in range(3)]
        rows.append([colour_label_map(stored["label_map"], model.num_classes), np.asarray(stored["image"]), *samples])
    notes = [[example.name, "", "seed 0", "seed 1", "seed 2"] for example in examples.examples]
    with Image.open(workdir / "samples" / "step_0000060.png") as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), grid(rows, ["label map", "photo", *["sample"] * 3], notes))
    for example in examples.examples:
        written = read_label_map(workdir / "labels" / f"{example.name}.png", split.rule)
        np.testing.assert_array_equal(written, split.read(split.examples.index(example))["label_map"])


def test_the_loop_and_the_command_report_the_same_numbers_under_the_same_names(uninterrupted, tmp_path):
    """The validation split is smaller than eval.max_examples, so both score the same images."""
    workdir, _ = uninterrupted
    in_loop = json.loads((workdir / "evaluation.json").read_text())
    options = types.SimpleNamespace(checkpoint=str(workdir), images=None, output=str(tmp_path), protocol="plain", best=False)
    report = evaluate.run(options, ConfigDict(load_config(workdir)))
    assert (in_loop.pop("step"), in_loop.pop("protocol")) == (60, "plain")
    assert {name: report.scores[name] for name in in_loop} == pytest.approx(in_loop, rel=1e-6)
    in_table = [row["colour"] for row in report.tables["per_class"]][1:]
    assert report.scores["colour_distance"] == pytest.approx(np.nanmean(in_table))
