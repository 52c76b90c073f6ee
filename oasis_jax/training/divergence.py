"""Ends a run whose losses or state are no longer finite, before such a state is saved."""
import itertools

import jax
import numpy as np

from oasis_jax.checkpoint import FOLDER
from oasis_jax.training.step import finite


class TrainingDivergedError(RuntimeError):
    """A loss became NaN or infinite; the message names the step, the loss and the last good checkpoint."""


def check_finite(run, pending, done, saved):
    """Returns the means of the pending metrics; raises TrainingDivergedError if a loss, or a metric with advice, is not finite."""
    fetched, advice = jax.device_get(pending), run.train_step.advice
    for step, metrics in enumerate(fetched, done - len(fetched) + 1):
        for name, value in metrics.items():
            if (name.startswith("loss_") or name in advice) and not np.isfinite(value):
                raise divergence(run, f"step {step}: {name} is {value}", saved, advice.get(name))
    names = dict.fromkeys(itertools.chain(*fetched))  # the first steps of a run may have fewer metrics
    return {name: float(np.mean([metrics[name] for metrics in fetched if name in metrics])) for name in names}


def check_state(run, state, done, saved):
    """Raises TrainingDivergedError if the state has non-finite values after the update: such a state must not be saved."""
    for path, is_finite in jax.tree_util.tree_leaves_with_path(jax.device_get(finite(state))):
        if not is_finite:
            raise divergence(run, f"step {done}: {jax.tree_util.keystr(path)} is not finite after the update", saved)


def divergence(run, what, saved, advice=None):
    """The error that says what diverged and how to continue."""
    good = "no checkpoint was saved before" if saved is None else f"last good checkpoint: {run.workdir / FOLDER / str(saved)}"
    rates = " and ".join(f"train.{name}" for name in run.train_step.learning_rates(0))
    return TrainingDivergedError(f"{what}; {good}; {advice or f'lower {rates}, or look at the data of this step'}, and start again")
