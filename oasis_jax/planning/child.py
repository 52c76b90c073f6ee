"""The process that compiles a training step for a machine that need not be present; `compiled.compile_for` starts and ends it.

It reads a pickled `Job` from its standard input and writes into a folder: what is known before compilation and the compiler's reports, or
an error message if fields of the config do not fit.
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
        config: the experiment's config as a nested dict.
        machine: Machine.
        folder: path of the folder to write into.
    """

    config: dict[str, Any]
    machine: Machine
    folder: str


def batch_shapes(config, names):
    """{column name: ShapeDtypeStruct} of a training batch; raises DataError for fields that contradict each other."""
    batch, spec = config.train.batch_size, DataSpec.of_config(config.data)
    read = make_columns(spec, names)
    shapes = {column.name: jax.ShapeDtypeStruct((batch, *spec.image_size, *column.channels), column.dtype) for column in read}
    if "heatmaps" in names:  # one set for each of the two updates
        shapes["heatmaps"] = jax.ShapeDtypeStruct((batch, 2, NUM_MAPS, 3), np.float32)
    return shapes


def survey_training_data(config, family):
    """The survey of the training data, or None if the step does not depend on it; raises DataError for faults in the data."""
    statistic = family.statistic(config)
    if statistic is None:
        return None
    spec = DataSpec.of_config(config.data)
    refuse_unreachable({"--config.data.root": spec.root})
    return check_split(open_split(spec, "train", family.columns(config)), spec, statistic=statistic, remember=False)


def lowered_step(config, machine):
    """(the lowered step of a config for a machine, the mesh, {name: value} of what is known before compilation).

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
    """Ends this process when its standard input is closed: otherwise the compiler could run for half an hour more."""
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
    from oasis_jax.planning.child import main  # so that the class of a pickled Job is the one of the imported module

    main()
