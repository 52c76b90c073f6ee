"""A run from start to end: check the data, resume or begin, train, evaluate, save. The host side of training."""
import collections
import contextlib
import dataclasses
import json
import shlex
import signal
import time

import jax
import numpy as np
import tqdm
from etils import epath

from oasis_jax import build
from oasis_jax.data.check import check_split
from oasis_jax.data.datasets import open_split
from oasis_jax.data.pipeline import eval_batches, train_batches
from oasis_jax.evaluation.report import write_report
from oasis_jax.evaluation.validation import Validation
from oasis_jax.metrics import BY_RUN, HIGHER_IS_BETTER
from oasis_jax.metrics.equilibrium import DI_SEG_FORMULA
from oasis_jax.metrics.protocols import find_protocol
from oasis_jax.models.capacities import describe
from oasis_jax.pictures import loss_curve, save_png
from oasis_jax.sampling import Model
from oasis_jax.training.checkpoint import FOLDER, Checkpoints, check_config_fits, load_ema
from oasis_jax.training.ema import refresh_once
from oasis_jax.training.evaluation import evaluate, sample_grid
from oasis_jax.training.report import create_writer, loss_series
from oasis_jax.training.sharding import make_mesh, over_batch, put_batch, replicated
from oasis_jax.training.state import create_state, rate_at

GRID_EXAMPLES = 4


class TrainingDivergedError(RuntimeError):
    """A loss became NaN or infinite; the message names the step, the term and the last good checkpoint."""


def train_and_evaluate(config, workdir):
    """Trains as the config says, going on from the newest checkpoint in the workdir if there is one.

    Args:
      config: ConfigDict with the fields of configs/default.py.
      workdir: folder of the run; `~` and gs:// work.

    Returns:
      dict of the final evaluation, or None if the run was ended by SIGTERM, after saving.

    Raises:
      DataError: faults in the data, all in one report.
      CheckpointError: a checkpoint that is damaged or that the config does not fit.
      TrainingDivergedError: NaN or infinite losses.
      ValueError: fields that do not fit each other.
    """
    return Run(config, workdir).train()


class Run:
    """The pieces of a run: networks, data, mesh. Building it checks config and data; arguments and errors as for `train_and_evaluate`."""

    def __init__(self, config, workdir):
        self.workdir = prepare_workdir(workdir)
        self.score = config.eval.score
        self.protocol = None
        if config.eval.protocol:
            self.protocol = find_protocol(config.eval.protocol)
        measured = (*BY_RUN, *(self.protocol.measured if self.protocol else ()))
        if self.score not in measured:
            with_protocol = f"eval.protocol={config.eval.protocol}" if self.protocol else "no eval.protocol"
            raise ValueError(f"eval.score={self.score} is not one of {', '.join(measured)}, which are measured with {with_protocol}")

        self.mesh, self.own_mesh = make_mesh(), make_mesh(jax.local_devices())  # each process evaluates its part on its own devices
        build.check_batch(config, self.mesh.size)
        self.spec = build.data_spec(config)
        self.train_split, self.val_split = (open_split(self.spec, name) for name in ("train", "val"))
        self.config = config = build.resolved(config, self.train_split)
        self.step = build.train_step(config)
        statistics = check_split(self.train_split, self.spec, self.workdir, build.on_regions(config, config.data.image_size))
        check_split(self.val_split, self.spec, self.workdir)
        capacities = build.capacities(config, statistics.boundaries)
        self.step = dataclasses.replace(self.step, generator=self.step.generator.clone(capacities=capacities))
        print(describe(capacities, config.data.image_size))
        train = config.train
        self.num_steps = train.num_steps or train.num_epochs * len(self.train_split) // train.batch_size
        if self.num_steps < 1:
            examples = f"{len(self.train_split)} training examples with train.batch_size={train.batch_size}"
            raise ValueError(f"train.num_epochs={train.num_epochs} of {examples} is not one step: set train.num_steps")
        self.examples = grid_examples(self.val_split, self.spec)
        self.validation = None
        if self.protocol:  # its weights are read now: they must not be missing after hours
            most = config.eval.max_examples
            if most and most < len(self.val_split):
                self.protocol = dataclasses.replace(self.protocol, name=f"{self.protocol.name}, first {most} label maps", max_images=most)
            self.validation = Validation(self.protocol, config, self.val_split, self.spec, self.own_mesh)

        self.optimizers = (self.step.optimizer_g, self.step.optimizer_d)

    def train(self):
        """Restores or creates the state, trains to the end, evaluates and says what lies where."""
        with contextlib.ExitStack() as stack:
            checkpoints = stack.enter_context(
                Checkpoints(self.workdir, self.config.checkpoint.keep, self.score, HIGHER_IS_BETTER[self.score])
            )
            terminated = stack.enter_context(sigterm_flag())
            self.writer = create_writer(self.workdir)
            stack.callback(self.writer.close)
            state = self.restore_or_create(checkpoints)
            first_step = int(state.step)
            if first_step < self.num_steps:
                state, metrics = self.train_steps(state, first_step, checkpoints, terminated)
            else:
                print(f"{self.workdir} is trained to step {first_step} already; a larger train.num_steps goes on from there")
                metrics = self.evaluate(first_step, state, load_ema(self.workdir)[0])
        if terminated():
            print(f"stopped by SIGTERM at step {int(state.step)}, which is saved; the same command goes on from there")
            return None
        self.say_what_lies_where(int(state.step), metrics)
        return metrics

    def restore_or_create(self, checkpoints):
        """The state of the newest checkpoint, whatever devices saved it, or a fresh one."""
        config = self.config

        def create():
            networks = (self.step.generator, self.step.discriminator)
            return create_state(*networks, self.optimizers, config.data.image_size, config.seed, config.train.init_gain)

        if checkpoints.latest_step() is None:
            return jax.jit(create, out_shardings=replicated(self.mesh))()
        check_config_fits(checkpoints.restore_config(), plain(config))
        template = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(self.mesh)), jax.eval_shape(create)
        )
        state = checkpoints.restore(template)
        print(f"going on from step {int(state.step)} in {self.workdir}")
        return state

    def train_steps(self, state, first_step, checkpoints, terminated):
        """The loop over steps; returns the last state and the final scores."""
        config = self.config
        # The label maps and heatmaps of the latest batches renew the EMA generator's statistics. They are read again after a resume, so
        # that what is saved does not depend on where a run was interrupted.
        recent = collections.deque(maxlen=config.train.ema_refresh_batches)
        start = max(0, first_step - config.train.ema_refresh_batches)
        processes = (jax.process_index(), jax.process_count())
        aware = self.step.generator.spatially_aware
        batches = train_batches(self.train_split, self.spec, config.train.batch_size, config.seed, start, *processes, aware)
        for _ in range(start, first_step):
            recent.append(without_image(next(batches)))

        compiled = None
        pending, metrics, began, saved = [], {}, time.monotonic(), checkpoints.latest_step()
        progress = tqdm.tqdm(total=self.num_steps, initial=first_step, unit="step", dynamic_ncols=True, smoothing=0.05)
        with progress:
            for done in range(first_step + 1, self.num_steps + 1):
                batch = next(batches)
                recent.append(without_image(batch))
                placed = put_batch(batch, self.mesh)
                if compiled is None:
                    compiled = self.compile(state, placed)
                    window = time.monotonic()
                    progress.unpause()  # the time left is that of steps, not of compiling
                state, losses = compiled(state, placed)
                pending.append(losses)
                if len(pending) > 1:  # stay at most two steps ahead of the device
                    jax.block_until_ready(pending[-2])
                progress.update()

                last = done == self.num_steps or terminated() or self.time_is_over(began)
                due = {name: last or is_due(done, getattr(config, name).every_steps) for name in ("log", "checkpoint")}
                # A run that is told to end saves, and draws and evaluates nothing.
                if terminated():
                    due["images"] = due["eval"] = False
                else:
                    due["images"] = last or is_due(done, config.log.images_every_steps)
                    due["eval"] = last or is_due(done, config.eval.every_steps)
                if any(due.values()):
                    means = self.check_finite(pending, done, saved)
                    rate = len(pending) * config.train.batch_size / (time.monotonic() - window)
                    shown = ", ".join(f"{name} {value:.3f}" for name, value in means.items() if name.startswith("loss"))
                    progress.set_postfix_str(f"{rate:.3g} images/s, {shown}")
                    if due["log"]:
                        self.writer.write_scalars(done, means | self.learning_rates(done) | {"images_per_second": rate})
                        window, pending = time.monotonic(), []
                if due["images"] or due["eval"] or due["checkpoint"]:
                    paused = time.monotonic()
                    ema = self.refreshed_ema(state, recent, done)
                    if due["images"]:
                        self.write_samples(done, ema)
                    metrics = self.evaluate(done, state, ema) if due["eval"] else {}
                    if due["checkpoint"] or due["eval"]:
                        self.check_state(state, done, saved)
                        checkpoints.save(done, state, ema, plain(config), metrics)
                        saved = done
                    window += time.monotonic() - paused  # not training time
                if last:
                    break
        return state, metrics

    def compile(self, state, placed):
        """The whole step as one compiled, donated, sharded function of (state, batch)."""
        rep, data = replicated(self.mesh), over_batch(self.mesh)
        train_step = jax.jit(self.step, in_shardings=(rep, data), out_shardings=(rep, rep), donate_argnums=0)
        began = time.monotonic()
        tqdm.tqdm.write(f"compiling the training step for {self.mesh.size} {jax.devices()[0].device_kind} ...")
        compiled = train_step.lower(state, placed).compile()
        tqdm.tqdm.write(f"compiled in {time.monotonic() - began:.0f} s; in the lines that follow, {DI_SEG_FORMULA}")
        return compiled

    def check_finite(self, pending, done, saved):
        """Means of the pending losses; raises at the first that is not finite."""
        fetched = jax.device_get(pending)
        for step, losses in enumerate(fetched, done - len(fetched) + 1):
            for name, value in losses.items():
                if name.startswith("loss_") and not np.isfinite(value):
                    raise self.divergence(f"step {step}: {name} is {value}", saved)
        return {name: float(np.mean([losses[name] for losses in fetched])) for name in fetched[0]}

    def check_state(self, state, done, saved):
        """Raises if the update itself left numbers that are not finite, which the next loss would show: they must not be saved as good."""
        for path, leaf in jax.tree_util.tree_leaves_with_path(jax.device_get(state)):
            if not np.isfinite(leaf).all():
                raise self.divergence(f"step {done}: {jax.tree_util.keystr(path)} is not finite after the update", saved)

    def divergence(self, what, saved):
        good = "no checkpoint was saved before" if saved is None else f"last good checkpoint: {self.workdir / FOLDER / str(saved)}"
        mend = "lower train.lr_g and train.lr_d, or look at the data of this step, and start again"
        return TrainingDivergedError(f"{what}; {good}; {mend}")

    def learning_rates(self, done):
        train = self.config.train
        return {name: float(rate_at(done - 1, getattr(train, name), train.warmup_steps)) for name in ("lr_g", "lr_d")}

    def time_is_over(self, began):
        minutes = self.config.train.max_minutes
        return bool(minutes) and time.monotonic() - began > 60 * minutes

    def refreshed_ema(self, state, recent, done):
        """The EMA generator with statistics renewed on the latest batches; the running average itself is left as it is."""
        ema = state.ema
        for index, batch in enumerate(recent, done - len(recent)):
            ema = refresh_once(self.step.generator, ema, put_batch(batch, self.mesh), self.config.seed, index)
        return ema

    def write_samples(self, done, ema):
        picture = sample_grid(self.step, ema, self.examples, self.mesh)
        save_png(self.workdir / "samples" / f"step_{done:07d}.png", picture)
        self.writer.write_images(done, {"samples": picture[None]})

    def evaluate(self, done, state, ema):
        evaluation = self.config.eval
        batch_size, most = evaluation.batch_size, evaluation.max_examples
        is_first = jax.process_index() == 0
        scores = evaluate(self.step, ema, state, self.val_split, self.spec, batch_size, most, self.own_mesh)
        if self.validation:
            samples = self.validation.samples(Model(self.step.generator, ema, self.config, done))
            measured = self.validation.measure(samples, keep=False)
            report = self.validation.report(samples, measured, {"workdir": str(self.workdir), "step": done})
            if is_first:
                write_report(self.workdir / "evaluation" / "training", report)
            scores |= {name: value for name, value in report.scores.items() if np.isfinite(value)}
        if is_first:
            self.writer.write_scalars(done, scores)
            (self.workdir / "evaluation.json").write_text(json.dumps({"step": done, **scores}, indent=1))
        return scores

    def say_what_lies_where(self, step, metrics):
        labels = self.labels_to_sample_from()
        count = min(len(self.val_split), self.config.eval.max_examples or len(self.val_split))
        save_png(self.workdir / "losses.png", loss_curve(loss_series(self.workdir)))
        print(f"\ntrained to step {step}; evaluation on {count} validation examples:")
        for name, value in metrics.items():
            print(f"  {name:32s} {value:.4f}" + (f"   {DI_SEG_FORMULA}" if name == "di_seg" else ""))
        print(f"sample grids:  {self.workdir / 'samples'}")
        print(f"loss curve:    {self.workdir / 'losses.png'}")
        print(f"checkpoints:   {self.workdir / FOLDER}")
        print(f"TensorBoard:   tensorboard --logdir={self.workdir}")
        arguments = [f"--checkpoint={self.workdir}", f"--labels={labels}", f"--output={self.workdir / 'generated'}"]
        print(f"sample from it: python -m oasis_jax.sample {shlex.join(arguments)}")

    def labels_to_sample_from(self):
        """Label maps as --labels takes them: the validation split's own, or a folder in the workdir where there are no files."""
        if self.val_split.source is None:
            return self.val_split.label_files
        for index in range(min(GRID_EXAMPLES, len(self.val_split))):
            save_png(self.workdir / "labels" / f"{self.val_split.pairs[index].name}.png", self.val_split.read(index)[1])
        return self.workdir / "labels"


def prepare_workdir(workdir):
    """The workdir as a path, created; raises ValueError if nothing can be written there."""
    path = epath.Path(workdir).expanduser()
    probe = path / ".writable"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise ValueError(f"cannot write to the workdir {path} ({error}): choose another --workdir") from error
    return path


def without_image(batch):
    return {name: array for name, array in batch.items() if name != "image"}


def grid_examples(split, spec):
    """{"image", "label_map"} of a few validation examples, far apart because neighbours are often frames of one film."""
    few = split.spread(min(GRID_EXAMPLES, len(split)))
    batch = next(eval_batches(few, spec, len(few)))
    return {name: batch[name] for name in ("image", "label_map")}


def is_due(step, every):
    return every > 0 and step % every == 0


def plain(config):
    """The config as nested dicts of plain values, tuples as lists: what a checkpoint holds."""
    return json.loads(json.dumps(config.to_dict()))


@contextlib.contextmanager
def sigterm_flag():
    """Yields a function that tells whether SIGTERM came; the loop then saves and ends in good order."""
    received = []
    before = signal.signal(signal.SIGTERM, lambda *_: received.append(True))
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, before)
