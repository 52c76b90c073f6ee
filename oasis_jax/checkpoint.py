"""Checkpoints of a run. This is the only file that uses Orbax.

The folder `WORKDIR/checkpoints/STEP` holds the items `state` (the whole train state, to resume), `ema` (the averaged generator, enough to
sample), `config`, `metrics` and `score` (which metric determines the best step). A step's folder is renamed to its final name after the
last byte is written, and renamed again before it is deleted, so a killed run leaves only complete steps. Buckets (gs://) have no renames:
there, a run that is killed during a deletion may leave a part of a superseded step. `scores.json`, next to the steps, has their scores: a
step is saved first and evaluated afterwards.
"""
import contextlib
import json
import logging
import math
import os
import re
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp

from oasis_jax import files
from oasis_jax.parallel.processes import broadcast, is_first

FOLDER = "checkpoints"
SCORES = "scores.json"  # {step: metrics} of steps that were evaluated after they were saved
STEP = "step"  # key of the step's number among the metrics that are saved with it
SUPERSEDED = "superseded"  # folder of steps that wait to be deleted; its name is not a number, so it does not count as a step


class CheckpointError(RuntimeError):
    """A checkpoint is missing, damaged, cannot be written, or does not fit; the message names the folder and how to fix it."""


class Checkpoints:
    """The checkpoints of one run. Use as a context manager, or call `close`, so that a pending save is finished.

    Args:
        workdir: the run's folder; `~` and gs:// work.
        keep: number of latest steps to keep; the best by `score_name` is kept in addition.
        score_name: metric that determines the best step; a step saved without it, or with NaN, is the worst.
        higher_is_better: direction of the metric.
        read_only: create, clean and save nothing.

    Raises:
        CheckpointError: the folder cannot be created or written to, holds a file in place of a step's folder, or has damaged metrics.
    """

    def __init__(self, workdir, keep, score_name, higher_is_better, read_only=False):
        refuse_unstorable(workdir)
        self.directory = _absolute(workdir) / FOLDER
        self._score_name, self._higher_is_better, self._read_only = score_name, higher_is_better, read_only
        self._scores = _read_scores(self.directory)
        best = ocp.checkpoint_managers.BestN(get_metric_fn=self._score, reverse=not higher_is_better, n=1)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=ocp.checkpoint_managers.AnyPreservationPolicy([ocp.checkpoint_managers.LatestN(keep), best]),
            best_fn=self._score,  # without it, Orbax writes no metrics
            create=not read_only,
            cleanup_tmp_directories=not read_only,  # unfinished saves of a killed run
            todelete_subdir=SUPERSEDED,
            # Create directories synchronously: if this fails, threads waiting for them would keep the process alive for minutes.
            async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
        )
        try:
            # All processes must take the same branch: the first one to get past it creates the folder.
            if broadcast(self.directory.exists()):
                _check_steps(self.directory)
            self._delete_superseded()  # left by a killed run
            self._manager = ocp.CheckpointManager(self.directory, options=options)
        except OSError as error:
            raise CheckpointError(f"cannot store checkpoints in {self.directory} ({error}): choose another workdir") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def save(self, step, state, ema, config, wait=False):
        """Saves one step, in the background unless `wait`; an existing step is not overwritten. Every process must call this.

        The caller may donate the arrays as soon as this returns.

        Args:
            step: int.
            state: pytree of arrays, or None for a generator that is only sampled from.
            ema: variables of the averaged generator, nested dicts of arrays.
            config: the run's config as nested dicts of plain values.
            wait: return only when the step is on disk.

        Returns:
            Whether the step was new.

        Raises:
            CheckpointError: this save or the previous one failed; complete steps stay complete.
        """
        if self._read_only:
            raise CheckpointError(f"{self.directory} was opened read-only")
        self.wait()  # only then does Orbax drop a step whose save failed from its list
        if step in self._manager.all_steps():
            return False
        score = {"name": self._score_name, "higher_is_better": self._higher_is_better}
        items = {"ema": ocp.args.StandardSave(ema), "config": ocp.args.JsonSave(config), "score": ocp.args.JsonSave(score)}
        if state is not None:
            items["state"] = ocp.args.StandardSave(state)
        with self._save_errors():
            self._manager.save(step, args=ocp.args.Composite(**items), metrics={STEP: float(step)}, force=True)
        if wait:
            self.wait()
        return True

    def add_scores(self, step, metrics, replace=True):
        """Adds metrics {name: float} of a saved step; `replace`: also those that it has already. Every process must call this."""
        self._scores[step] = {name: float(value) for name, value in metrics.items()} | ({} if replace else self._scores.get(step, {}))
        if is_first():
            kept = {str(each): found for each, found in self._scores.items() if each in self._manager.all_steps()}
            with self._save_errors():
                files.write_whole(self.directory / SCORES, json.dumps(kept).encode())

    def latest_step(self):
        """The newest step (int), or None if there is none."""
        return self._manager.latest_step()

    def restore(self, state_template, step=None):
        """Restores the train state of the latest step, or of `step`.

        Args:
            state_template: pytree of jax.ShapeDtypeStruct with shardings; the result has these, whatever devices it was saved from.

        Raises:
            CheckpointError: there is no checkpoint, or it is damaged or has another structure. Never falls back to an older step.
        """
        self.wait()
        return _read(self._manager, self._step(step), "state", ocp.args.StandardRestore(state_template))

    def restore_config(self, step=None):
        """The config (nested dicts, tuples as lists) saved with the latest step, or with `step`; raises as `restore` does."""
        return _read(self._manager, self._step(step), "config", ocp.args.JsonRestore())

    def wait(self):
        """Blocks until every save is on disk and the steps that they superseded are deleted.

        Raises:
            CheckpointError: a save in the background failed.
        """
        with self._save_errors():
            self._manager.wait_until_finished()
            self._delete_superseded()

    def close(self):
        """Waits as `wait` does, then ends the background threads."""
        try:
            self.wait()
        finally:
            with self._save_errors():
                self._manager.close()

    def _delete_superseded(self):
        folder = self.directory / SUPERSEDED
        if not self._read_only and is_first() and folder.exists():
            try:
                folder.rmtree()
            except OSError as error:  # such as a file in use; nothing is lost, and the next save tries again
                logging.warning("%s could not be deleted: %s", folder, error)

    def _step(self, step):
        step = self.latest_step() if step is None else step
        if step is None:
            raise CheckpointError(f"no checkpoint in {self.directory}: start a run there first")
        return step

    def _score(self, metrics):
        score = _with_scores(metrics, self._scores).get(self._score_name, math.nan)
        if math.isnan(score):
            return -math.inf if self._higher_is_better else math.inf
        return score

    @contextlib.contextmanager
    def _save_errors(self):
        try:
            yield
        except Exception as error:  # Orbax's errors have no common base
            newest = self.latest_step()
            if not (self.directory if newest is None else self.directory / str(newest)).exists():
                moved = f"{self.directory}, which was moved or deleted while the run used it, wholly or in part"
                fix = "move it back, and start the same command again to resume"
                raise CheckpointError(f"could not save a checkpoint in {moved}: {fix}") from error
            room = ""
            if "://" not in str(self.directory) and self.directory.exists():
                room = f", whose disk has {shutil.disk_usage(self.directory).free / 2**20:.1f} MiB free"
            whole = "there is no complete checkpoint yet" if newest is None else f"the newest complete checkpoint is step {newest}"
            fix = "make room there, or correct the reason given, and start the same command again to resume"
            message = f"could not save a checkpoint in {self.directory}{room}: {_cause(error)}; {whole}: {fix}"
            raise CheckpointError(message) from error


def load_ema(path, best=False):
    """Loads the averaged generator of a checkpoint, without a template and on any machine.

    Args:
        path: a run's workdir, its checkpoints folder, or the folder of one step.
        best: load the best step, by the score that the run was saved with, instead of the latest.

    Returns:
        (ema, config, step): nested dicts of numpy arrays; the config as nested dicts, tuples as lists; int.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or no step has a score.
    """
    with _opened(path, best) as (manager, step):
        return _read(manager, step, "ema"), _read(manager, step, "config", ocp.args.JsonRestore()), step


def load_config(path, best=False):
    """Loads the config of a checkpoint as nested dicts; arguments and errors as in `load_ema`."""
    with _opened(path, best) as (manager, step):
        return _read(manager, step, "config", ocp.args.JsonRestore())


def config_of_run(workdir):
    """The config of the newest checkpoint of a workdir as nested dicts, or None if nothing is saved there; errors as in `load_ema`."""
    folder = _absolute(workdir) / FOLDER
    if not folder.is_dir():
        return None
    with _reader(folder) as manager:
        step = manager.latest_step()
        return None if step is None else _read(manager, step, "config", ocp.args.JsonRestore())


def load_state(path, best=False):
    """Loads the train state of a checkpoint (nested dicts of numpy arrays; None if it has none); arguments and errors as in `load_ema`."""
    with _opened(path, best) as (manager, step):
        return _read(manager, step, "state") if (manager.directory / str(step) / "state").is_dir() else None


@contextlib.contextmanager
def _opened(path, best):
    path = _absolute(path)
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    directory, step = (folder.parent, int(folder.name)) if folder.name.isdigit() and not (folder / FOLDER).exists() else (folder, None)
    what = f"give a run's workdir, its {FOLDER} folder, or the folder of one step"
    if not directory.is_dir():
        raise CheckpointError(f"no checkpoint at {path}: no such folder; {what}")
    _check_steps(directory)
    with _reader(directory) as manager:
        steps = manager.all_steps()
        if not steps or step not in (None, *steps):
            raise CheckpointError(f"no checkpoint at {path}: {what}")
        if step is None:
            step = _best_step(manager) if best else manager.latest_step()
        yield manager, step


def refuse_unstorable(path):
    """Raises CheckpointError if the array library, which writes checkpoints, cannot write to a path of this name."""
    path = os.fspath(path)
    if "://" not in path and ("\\" in path or not files.is_text(path)):
        raise CheckpointError(
            f"no checkpoints can be stored in {path!r}: its name has a backslash or bytes that are not UTF-8; choose another folder"
        )


def _absolute(path):
    path = files.expanded(path)
    return path if "://" in str(path) else path.absolute()


def _reader(directory):
    return ocp.CheckpointManager(directory, options=ocp.CheckpointManagerOptions(create=False, lightweight_initialize=True))


def _check_steps(directory):
    """Raises CheckpointError for faults that Orbax would skip silently, so the run would start over, or report without naming the file."""
    for path in directory.iterdir():
        if path.name.isdigit() and not path.is_dir():
            raise CheckpointError(f"{path} is a file of {path.stat().length} bytes, not a checkpoint folder: remove it")
    with _reader(directory) as manager:
        for step in manager.all_steps():
            _read(manager, step, "metrics")


def _best_step(manager):
    score = _read(manager, manager.latest_step(), "score", ocp.args.JsonRestore())
    scores = _read_scores(manager.directory)
    metrics = {step: {STEP: step} | (manager.metrics(step) or {}) for step in manager.all_steps()}
    values = {step: _with_scores(found, scores).get(score["name"], math.nan) for step, found in metrics.items()}
    values = {step: value for step, value in values.items() if not math.isnan(value)}
    if not values:
        raise CheckpointError(f"no checkpoint in {manager.directory} has a {score['name']!r} metric: take the latest instead")
    return (max if score["higher_is_better"] else min)(values, key=values.get)


def _read_scores(directory):
    """{step: metrics} as stored by `Checkpoints.add_scores`."""
    file = directory / SCORES
    if not file.exists():
        return {}
    try:
        return {int(step): found for step, found in json.loads(file.read_text()).items()}
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"cannot read {file} ({error}): remove it; the best step is then unknown") from error


def _with_scores(metrics, scores):
    """The metrics of a step: those added later, and those saved with it (by older versions, also scores), which win."""
    return scores.get(metrics.get(STEP), {}) | metrics


def _read(manager, step, item, restore_args=None):
    """One item of one step; without `restore_args` its arrays are numpy arrays."""
    folder = manager.directory / str(step) / item
    try:
        return _read_item(manager, step, item, restore_args)
    except Exception as error:  # Orbax raises ValueError, KeyError, JSONDecodeError and plain Exception
        empty = [str(file.relative_to(folder)) for file in _files(folder) if file.stat().length == 0]
        fault = f"{', '.join(empty)}: 0 bytes" if empty else _cause(error)
        whole = next((older for older in sorted(manager.all_steps(), reverse=True) if older < step and _is_whole(manager, older)), None)
        fix = f"to resume from step {whole}, the newest older complete one, remove {folder.parent}"
        raise CheckpointError(f"cannot read {folder}: {fault}; {'no older step is complete' if whole is None else fix}") from error


def _read_item(manager, step, item, restore_args=None):
    if item == "metrics":
        return manager.metrics(step)
    if restore_args is None:
        stored = ocp.StandardCheckpointHandler().metadata(manager.directory / str(step) / item)
        restore_args = ocp.args.StandardRestore(jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), stored.tree))
    return manager.restore(step, args=ocp.args.Composite(**{item: restore_args}))[item]


def _is_whole(manager, step):
    try:
        for item in ("metrics", "state", "ema"):
            _read_item(manager, step, item)
        _read_item(manager, step, "config", ocp.args.JsonRestore())
    except Exception:
        return False
    return True


def _files(folder):
    return sorted(file for depth in ("*", "*/*", "*/*/*") for file in folder.glob(depth) if not file.is_dir())


def _cause(error):
    while error.__cause__ is not None:
        error = error.__cause__
    text = re.sub(r" *\[[a-z_ ]+='[^']*'\]", "", " ".join(str(error).split()))  # TensorStore's source locations
    return f"{type(error).__name__}: {text if len(text) <= 300 else f'{text[:150]} ... {text[-150:]}'}"
