"""The training loop on the host: start or resume, train, log, draw sample grids, evaluate, save."""
import collections
import contextlib
import itertools
import json
import shlex
import time

import jax
import numpy as np
import tqdm

from oasis_jax.checkpoint import FOLDER, Checkpoints, load_ema
from oasis_jax.data.labels import DataError
from oasis_jax.data.pipeline import train_batches
from oasis_jax.evaluation.report import valid_json, write_report
from oasis_jax.family import lacking_at, name_of, own_networks, step_at
from oasis_jax.files import one_line, write_whole
from oasis_jax.parallel.mesh import own_positions, put_batch
from oasis_jax.parallel.preemption import notice
from oasis_jax.parallel.processes import any_process, in_order, is_first, left_with_others, num_processes
from oasis_jax.pictures import save_png
from oasis_jax.training.curves import Losses
from oasis_jax.training.divergence import check_finite, check_state
from oasis_jax.training.resuming import check_config_fits
from oasis_jax.training.samples import SampleGrid
from oasis_jax.training.setup import check_before_writing, set_up
from oasis_jax.training.step import compile_step, everywhere, initial_state, state_template
from oasis_jax.training.workdir import claimed
from oasis_jax.training.writers import create_writer

CHECK_EVERY = 50  # steps between checks of the losses, and of train.max_minutes by several processes, if log.every_steps is 0


def train_and_evaluate(config, workdir):
    """Trains as the config says, resuming from the newest checkpoint in the workdir if there is one.

    Args:
        config: ConfigDict with the fields of oasis_jax/fields.py.
        workdir: folder of the run; `~` and gs:// work.

    Returns:
        {score: number} of the final evaluation; None if the run was stopped (`parallel.preemption`), after saving.

    Raises:
        CheckpointError: a checkpoint is damaged, or the config does not fit it.
        divergence.TrainingDivergedError: a loss is NaN or infinite.
        DataError, WeightsError, ValueError: as for `setup.set_up`.
    """
    check_before_writing(config, workdir)
    with claimed(workdir):  # ends this process if another run takes over a workdir in a bucket
        return train(set_up(config, workdir))


def train(run, kept=None, in_command=False):
    """Restores or creates the state, trains to the end, evaluates, and prints where the results are. Returns as `train_and_evaluate`.

    Args:
        run: setup.Run.
        kept: kept_step.KeptStep; without it, the step is always traced.
        in_command: a signal ends the whole process while nothing would be lost, such as during compilation; otherwise, a step is trained
            and saved first.
    """
    with contextlib.ExitStack() as stack:
        received = stack.enter_context(notice())  # until the last checkpoint is written
        checkpoints = stack.enter_context(
            Checkpoints(run.workdir, run.config.checkpoint.keep, run.config.eval.score, run.higher_is_better)
        )
        received.idle, received.may_exit = resume_advice(checkpoints), in_command
        state = restore_or_create(run, checkpoints, kept)
        first_step = int(state.step)
        shown = Progress(run, first_step, kept)
        stack.callback(shown.close)
        if first_step < run.num_steps:
            if is_first() and (lacking := lacking_at(run.train_step, run.num_steps)):
                print(f"note: {lacking}")
            with left_with_others(lambda: f"start all processes again with the same command: {resume_advice(checkpoints)}"):
                try:
                    state, scores, stopped = train_steps(run, state, first_step, checkpoints, received, shown)
                except DataError as error:
                    raise DataError(f"{one_line(error)}; {resume_advice(checkpoints)}: correct this, then start it again") from error
        else:
            if is_first():
                print(f"{run.workdir} is trained to step {first_step} already; to train further, set a larger train.num_steps")
            scores, stopped = shown.evaluate(first_step, state, load_ema(run.workdir)[0]), False
            checkpoints.add_scores(first_step, scores, replace=False)  # the last start may have ended before its evaluation
    if is_first() and stopped:
        print(f"stopped by {received.reason} at step {int(state.step)}, which is saved; the same command resumes from there")
    elif is_first():
        shown.print_summary(int(state.step), scores)
    return None if stopped else scores


def restore_or_create(run, checkpoints, kept=None):
    """The state of the newest checkpoint, on whatever devices it was saved, or the initial state if there is no checkpoint."""
    if checkpoints.latest_step() is None:
        return initial_state(run.train_step, run.image_size, run.mesh, run.config.mesh.shard_state)
    saved = checkpoints.restore_config()
    family = run.family
    check_config_fits(saved | {"family": name_of(saved)}, plain(run.config), family.free_model_fields, family.fixed_train_fields)
    template = kept and kept.state_template()
    if template is None:
        template = state_template(run.train_step, run.image_size, run.mesh, run.config.mesh.shard_state)
    state = in_order(checkpoints.restore(template))
    if is_first():
        print(f"resuming from step {int(state.step)} in {run.workdir}")
    return state


def train_steps(run, state, first_step, checkpoints, received, shown):
    """The loop over steps; returns the last state, the final scores, and whether the Notice `received` stopped the run."""
    config, recent_batches = run.config, run.train_step.recent_batches
    # The batch statistics of the averaged generator are refreshed on the latest batches. These are read again after a resume, so that what
    # is saved does not depend on where a run was interrupted.
    recent = collections.deque(maxlen=recent_batches)
    start = max(0, first_step - recent_batches)
    with_heatmaps, positions = "heatmaps" in run.family.columns(config), own_positions(run.mesh, config.train.batch_size)
    batches = train_batches(run.train_split, run.spec, config.train.batch_size, config.seed, start, positions, with_heatmaps)
    for _ in range(start, first_step):
        recent.append(without_image(next(batches)))

    train_step, compiled, upcoming = None, None, ReadAhead(batches, run.mesh)
    pending, scores, began, saved, waited, window = [], {}, time.monotonic(), checkpoints.latest_step(), 0.0, 0.0
    progress = tqdm.tqdm(total=run.num_steps, initial=first_step, unit="step", dynamic_ncols=True, smoothing=0.05, disable=not is_first())
    with progress:
        for done in range(first_step + 1, run.num_steps + 1):
            batch, placed = upcoming.take()
            recent.append(without_image(batch))
            if train_step != (needed := step_at(run.train_step, done - 1)):
                paused, train_step = time.monotonic(), needed
                compiled = shown.compile(train_step, state, placed)
                received.idle = ""
                window = window + time.monotonic() - paused if pending else time.monotonic()
                progress.unpause()  # the estimate of the remaining time excludes compilation
            state, metrics = compiled(state, placed)
            pending.append(metrics)
            asked = time.monotonic()
            upcoming = ReadAhead(batches, run.mesh) if done < run.num_steps else None  # while the devices compute
            waited += time.monotonic() - asked
            if len(pending) > 1:  # stay at most two steps ahead of the device
                jax.block_until_ready(pending[-2])
            progress.update()

            # All processes get the same answers: they must leave the loop together.
            stopped, over = received.reached(done), time_is_over(config, began, done)
            last = done == run.num_steps or stopped or over
            lost = upcoming is not None and upcoming.failure is not None and num_processes() == 1  # with several, the others would not know
            due = {name: last or lost or is_due(done, getattr(config, name).every_steps) for name in ("log", "checkpoint")}
            due["check"] = is_due(done, config.log.every_steps or CHECK_EVERY)
            # A run that was told to stop saves its state, but draws no samples and is not evaluated.
            due["images"] = not stopped and (last or is_due(done, config.log.images_every_steps))
            due["eval"] = not stopped and (last or is_due(done, config.eval.every_steps))
            if any(due.values()):
                means = check_finite(run, pending, done, saved)
                elapsed = time.monotonic() - window
                rate = len(pending) * config.train.batch_size / elapsed
                losses = ", ".join(f"{name} {value:.3f}" for name, value in means.items() if name.startswith("loss"))
                progress.set_postfix_str(f"{rate:.3g} images/s, {losses}")
                if due["log"]:
                    speed = {"images_per_second": rate, "input_wait": waited / elapsed}
                    shown.log(done, means | run.train_step.learning_rates(done - 1) | speed)
                if due["log"] or due["check"]:
                    window, pending, waited = time.monotonic(), [], 0.0
            if due["images"] or due["eval"] or due["checkpoint"]:
                paused = time.monotonic()
                placed_recent = ((number, put_batch(columns, run.mesh)) for number, columns in enumerate(recent, done - len(recent)))
                with jax.set_mesh(run.mesh):
                    whole = state.replace(ema=everywhere(state.ema, run.mesh))
                    averaged = everywhere(run.train_step.averaged(whole, placed_recent), run.mesh)
                if due["checkpoint"] or due["eval"]:  # first, so that an error in drawing or evaluation loses no training
                    save(run, checkpoints, shown, done, state, averaged, saved)
                    saved = done
                try:
                    if due["images"]:
                        shown.draw(done, averaged)
                except Exception:
                    if saved != done and num_processes() == 1:  # with several, only the process that draws knows of the error
                        save(run, checkpoints, shown, done, state, averaged, saved)
                    raise
                scores = shown.evaluate(done, state, averaged) if due["eval"] else {}
                if scores:
                    checkpoints.add_scores(done, scores)
                window += time.monotonic() - paused  # not training time
            if last:
                break
    return state, scores, stopped


class Progress:
    """Reports the progress of a run: scalars, sample grids, scores, and a summary. With several processes, only the first writes.

    Args:
        run: setup.Run.
        first_step: number of steps done before this start; 0 for a new run.
        kept: as in `train`.
    """

    def __init__(self, run, first_step, kept=None):
        self.run, self.kept, self.losses = run, kept, Losses(run.workdir, first_step)
        self.writer, self.grid = create_writer(run.workdir), SampleGrid.of(run.val_split, run.spec)

    def close(self):
        """Flushes and closes the writer."""
        self.writer.close()

    def compile(self, train_step, state, batch):
        """Compiles a step, and prints how long that took and what its metrics mean. The main step of the run is stored for later starts."""
        run, began = self.run, time.monotonic()
        say = tqdm.tqdm.write if is_first() else lambda _: None
        say(f"compiling the training step for {run.mesh.size} {jax.devices()[0].device_kind} ...")
        kept = self.kept and train_step == run.train_step
        compiled = self.kept.compiled(state, batch) if kept else compile_step(train_step, run.mesh, state, batch)
        legend = "".join(f"; in the lines that follow, {formula}" for formula in dict.fromkeys(run.train_step.legend.values()))
        say(f"compiled in {time.monotonic() - began:.0f} s{legend}")
        return compiled

    def log(self, step, scalars):
        """Logs scalars: to the writer, and losses to the curves."""
        self.losses.add(step, scalars)
        self.writer.write_scalars(step, scalars)

    def save_losses(self):
        """Saves the loss curves and flushes the writer; call it with every checkpoint."""
        if is_first():
            self.losses.save()
        self.writer.flush()

    def draw(self, step, variables):
        """Writes a sample grid of the averaged generator."""
        if is_first():
            picture = self.grid.picture(self.run.model(variables, step))
            self.writer.write_images(step, {"samples": picture[None]})

    def evaluate(self, step, state, variables):
        """Evaluates the averaged generator, writes the report, and returns its finite {score: number}. Every process must call this."""
        run = self.run
        model = run.model(variables, step)
        own = own_networks(run.config, model, state, run.validation.mesh)
        subject = {"workdir": str(run.workdir), "step": step}
        report = run.validation.evaluate(run.validation.samples(model), subject, own, keep=False)
        scores = {name: value for name, value in report.scores.items() if np.isfinite(value)}
        report = report.with_data({"train": run.survey, "val": run.val_survey}[run.validation.protocol.split])
        if is_first():
            write_report(run.workdir / "evaluation" / "training", report)
            self.writer.write_scalars(step, scores)
            found = {"step": step, "protocol": run.validation.protocol.name, **report.scores}
            write_whole(run.workdir / "evaluation.json", valid_json(found, indent=1).encode())
        return scores

    def print_summary(self, step, scores):
        """Draws the loss curves, and prints the scores and where the results are."""
        run = self.run
        curve = self.losses.picture()
        if curve is not None:
            save_png(run.workdir / "losses.png", curve)
        labels = run.val_split.label_files
        if run.val_split.column("label_map") and not labels:
            labels = run.workdir / "labels"
            self.grid.save_label_maps(labels)
        examples = f"{len(run.validation.photos.names)} examples of {run.validation.protocol.split}"
        print(f"\ntrained to step {step}; evaluation on {examples} by protocol {run.validation.protocol.name}:")
        for name, value in scores.items():
            print(f"  {name:32s} {value:.4f}" + (f"   {run.train_step.legend[name]}" if name in run.train_step.legend else ""))
        if lacking := lacking_at(run.train_step, step):
            print(f"note: {lacking}")
        print(f"report:        {run.workdir / 'evaluation' / 'training' / 'report.md'}")
        print(f"sample grids:  {run.workdir / 'samples'}")
        print(f"loss curve:    {run.workdir / 'losses.png'}")
        print(f"checkpoints:   {run.workdir / FOLDER}")
        print(f"TensorBoard:   tensorboard {shlex.quote(f'--logdir={run.workdir}')}")
        outputs = (run.workdir / f"generated{suffix}" for suffix in itertools.chain([""], map("_{}".format, itertools.count(2))))
        output = next(folder for folder in outputs if not folder.exists())  # the command needs a folder that does not exist yet
        arguments = [f"--checkpoint={run.workdir}", *([f"--labels={labels}"] if labels else []), f"--output={output}"]
        print(f"sample from it: python -m oasis_jax.sample {shlex.join(arguments)}")


def save(run, checkpoints, shown, step, state, averaged, saved):
    """Saves a checkpoint and the losses so far; `saved` is the step of the previous checkpoint."""
    check_state(run, state, step, saved)
    checkpoints.save(step, state, averaged, plain(run.config))
    shown.save_losses()


def time_is_over(config, began, done):
    """Returns whether train.max_minutes have passed. Several processes check it together: when they log, or every CHECK_EVERY steps."""
    if not config.train.max_minutes or (num_processes() > 1 and not is_due(done, config.log.every_steps or CHECK_EVERY)):
        return False
    return any_process(time.monotonic() - began > 60 * config.train.max_minutes)[0]


def resume_advice(checkpoints):
    """Text that says where a restart would resume."""
    newest = checkpoints.latest_step()
    return "nothing is saved yet" if newest is None else f"step {newest} is saved, and the run is resumed from there"


class ReadAhead:
    """Reads the next batch and places it on the devices, ahead of the step that needs it.

    Attributes:
        failure: the exception that reading raised, or None. It is kept, so that the steps before can still be logged and saved.
    """

    def __init__(self, batches, mesh):
        self.failure = None
        try:
            self._batch = next(batches)
            self._placed = put_batch(self._batch, mesh)
        except Exception as error:
            self.failure = error

    def take(self):
        """The batch as numpy arrays, and on the devices; raises `failure` if reading has failed."""
        if self.failure is not None:
            raise self.failure
        return self._batch, self._placed


def without_image(batch):
    """The columns of a batch except the image."""
    return {name: array for name, array in batch.items() if name != "image"}


def is_due(step, every):
    """Returns whether `step` is a multiple of `every`; False if `every` is not positive."""
    return every > 0 and step % every == 0


def plain(config):
    """The config as a checkpoint holds it: nested dicts of JSON values, with tuples as lists."""
    return json.loads(json.dumps(config.to_dict()))
