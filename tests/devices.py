"""Compares training steps on virtual devices with the same steps on one device, in a separate process: other tests see one device."""
import json
import os
import re
import subprocess
import sys

import jax
import numpy as np
import optax

from oasis_jax.parallel.mesh import make_mesh, put_batch
from oasis_jax.training.step import compile_step, state_template

DEVICES = 8
_GATHERED = re.compile(r"= ([^=]*) all-gather(?:-start)?\(.*?dimensions=\{(\d+)\}")
_SHAPE = re.compile(r"\w+\[([\d,]+)\]")


def in_own_process(file, case):
    """Runs `file` with the argument `case`, on DEVICES devices and in float64; returns the last line that it prints, read as JSON."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"
    given = {"XLA_FLAGS": flags, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    # Sums over devices block the threads of XLA's pool; with one thread per core, independent sums could wait for each other for ever.
    environment = {**os.environ, **given, "NPROC": "64"}
    done = subprocess.run([sys.executable, file, case], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def compare(step, initial, batches, meshes, shard_state=False):
    """Compares training steps on several devices with the same steps on one device.

    The second moments after the first step determine the gradients up to their sign. Comparing the state alone would not be enough: Adam's
    steps do not depend on the scale of a gradient, and the squares of small gradients are below any tolerance.

    Args:
        step: TrainStep, with optimizers that keep second moments ("nu").
        initial: TrainState of numpy arrays.
        batches: one batch for each step.
        meshes: (data, space) pairs.
        shard_state: divide optimizer states and the averaged generator, as mesh.shard_state does.

    Returns:
        (whether every metric on one device is nonzero in at least one step, [a dict for each mesh]), for JSON. A dict holds the mesh; the
        largest differences in "losses" (metrics that both runs have), "state" and "gradients" (of the first step, relative to the largest
        gradient of the network); "work", the program's operations relative to those on one device; and "gathered rows", as of
        `_gathered_rows`.
    """
    alone, found = _train(step, initial, batches, (1, 1), False), []
    for mesh in meshes:
        one = _train(step, initial, batches, mesh, shard_state)
        losses = max(float(np.abs(alone[1][name] - one[1][name]).max()) for name in alone[1].keys() & one[1].keys())
        state = float(np.abs(alone[2] - one[2]).max())
        gradients = max(float(np.abs(a - b).max() / b.max()) for a, b in zip(one[4], alone[4], strict=True))
        differences = {"losses": losses, "state": state, "gradients": gradients}
        found.append({"mesh": mesh, **differences, "work": one[0] / alone[0], "gathered rows": one[3]})
    return all(bool(values.any()) for values in alone[1].values()), found


def _train(step, state, batches, mesh, shard_state):
    data, space = mesh
    mesh, metrics, gradients = make_mesh(jax.devices()[: data * space], space), [], []
    template = state_template(step, batches[0]["image"].shape[1:3], mesh, shard_state)
    state = jax.device_put(state, jax.tree.map(lambda leaf: leaf.sharding, template))
    placed = [put_batch(batch, mesh) for batch in batches]
    compiled = compile_step(step, mesh, state, placed[0])
    for batch in placed:
        state, of_step = compiled(state, batch)
        metrics.append(jax.device_get(of_step))
        gradients = gradients or [_gradients(of_network) for of_network in (state.opt_state_g, state.opt_state_d)]
    metrics = {name: np.array([of_step[name] for of_step in metrics]) for name in metrics[0]}
    leaves = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state)])
    return compiled.cost_analysis()["flops"], metrics, leaves, _gathered_rows(compiled.as_text()), gradients


def _gradients(opt_state):
    """The square roots of the second moments of one network: after one update, its gradients up to sign and a common factor."""
    return np.concatenate([np.ravel(np.sqrt(leaf)) for leaf in jax.tree.leaves(optax.tree_utils.tree_get(opt_state, "nu"))])


def _gathered_rows(text):
    """The numbers of rows of gathered images and activations. Kernels (k, k, C, D), gathered if the state is divided, do not count."""
    rows = set()
    for shapes, axis in _GATHERED.findall(text):
        for shape in (tuple(map(int, shape.split(","))) for shape in _SHAPE.findall(shapes)):
            if len(shape) > 2 and not (len(shape) == 4 and shape[0] == shape[1] <= 4):
                # (B, parts, H / parts, W, C) while rows are resized
                rows.add(shape[int(axis)] * (shape[int(axis) + 1] if len(shape) == 5 else 1))
    return sorted(rows)
