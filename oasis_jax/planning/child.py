"""The process that compiles a training step for a machine that is not at hand; `compiled.compile_for` starts it and ends it.

It reads a pickled `Job` from its standard input and writes into a folder: what is known before compilation, the compiler's reports, and an
error if a field of the config does not fit.
"""
import dataclasses
import json
import math
import os
import pathlib
import pickle
import sys
import threading
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from oasis_jax import compiler, target
from oasis_jax.buckets import refuse_unreachable
from oasis_jax.data.check import check_split
from oasis_jax.data.columns import make_columns
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.labels import DataError
from oasis_jax.family import find_family
from oasis_jax.heatmaps import NUM_MAPS
from oasis_jax.parallel.mesh import describe_split, mesh_of_split, num_processes_of
from oasis_jax.planning.machines import Machine
from oasis_jax.training.step import lower_step, split_of_run, state_template

KNOWN, REFUSED = "step.json", "refused.txt"


@dataclasses.dataclass(frozen=True)
class Job:
    """What to compile.

    Attributes:
        config: nested dict of the experiment.
        machine: Machine.
        folder: to write into.
    """

    config: dict[str, Any]
    machine: Machine
    folder: str


def batch_shapes(config, names):
    """Shapes and dtypes of a training batch: {name of a column: ShapeDtypeStruct}; DataError for fields that contradict each other."""
    batch, spec = config.train.batch_size, DataSpec.of_config(config.data)
    read = make_columns(spec, names)
    shapes = {column.name: jax.ShapeDtypeStruct((batch, *spec.image_size, *column.channels), column.dtype) for column in read}
    if "heatmaps" in names:  # of the two updates
        shapes["heatmaps"] = jax.ShapeDtypeStruct((batch, 2, NUM_MAPS, 3), np.float32)
    return shapes


def survey_training_data(config, family):
    """The survey of the training data, if the step depends on it, else None; DataError for faults in the data."""
    statistic = family.statistic(config)
    if statistic is None:
        return None
    spec = DataSpec.of_config(config.data)
    refuse_unreachable({"--config.data.root": spec.root})
    return check_split(open_split(spec, "train", family.columns(config)), spec, statistic=statistic, remember=False)


def lowered_step(config, machine):
    """The step of a config, lowered for a machine, its mesh, and what is known of it: {name: value}.

    Raises:
        ValueError, DataError: fields of the config do not fit each other or the machine.
    """
    family, size = find_family(config), tuple(config.data.image_size)
    train_step, devices = family.train_step(config, survey_training_data(config, family)), machine.devices()
    split = split_of_run(config, train_step, len(devices), num_processes_of(devices))
    mesh = mesh_of_split(split, devices)
    with jax.set_mesh(mesh):
        description = train_step.describe(size)
    state = state_template(train_step, size, mesh, config.mesh.shard_state)
    held = sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    known = {
        "split": [split.data, split.space],
        "mesh": describe_split(split, config.train.batch_size, devices),
        "description": description,
        "state": held,
    }
    return lower_step(train_step, mesh, state, batch_shapes(config, family.columns(config))), mesh, known


def _end_with_parent():
    """Ends this process when the other end of its standard input is closed: the compiler would keep running for half an hour."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main():
    job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder = pathlib.Path(job.folder)
    try:
        with target.compiling_for(job.machine.platform):
            lowered, mesh, known = lowered_step(ConfigDict(job.config), job.machine)
    except (DataError, ValueError) as error:
        (folder / REFUSED).write_text(str(error))
        sys.exit(1)
    (folder / KNOWN).write_text(json.dumps(known))
    lowered.compile({**compiler.options(mesh.devices.flat[0]), "xla_dump_to": str(folder)})


if __name__ == "__main__":
    from oasis_jax.planning.child import main  # so that a pickled Job is of the class that this module has

    main()
