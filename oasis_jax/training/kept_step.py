"""The training step as an earlier start has traced it: with it, a start neither traces nor lowers the step, only XLA's cache is read.

What is kept is StableHLO, so a file holds no Python objects. It is compiled like a step that was just traced, which is the same program to
the last bit.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
from importlib.metadata import version

import jax
from absl import logging
from jax import export

from oasis_jax import compiler
from oasis_jax.config_flag import flat
from oasis_jax.files import expanded, write_whole
from oasis_jax.parallel.mesh import of_batch, replicated
from oasis_jax.parallel.processes import is_first
from oasis_jax.training.step import compile_step

PACKAGE = pathlib.Path(__file__).parents[1]
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy")  # what a step is traced with
_DIGEST = hashlib.sha256().digest_size
_OF_THE_CACHE = ("jax_compilation_cache_dir",)  # options of JAX that no program depends on


class KeptStep:
    """The step of a run, from the folder of compiled programs if it is there. It is read and compiled in the background at once.

    Args:
        run: setup.Run.
    """

    def __init__(self, run):
        self._run, self._file = run, None
        if jax.config.jax_enable_compilation_cache and jax.config.jax_compilation_cache_dir:
            self._file = expanded(jax.config.jax_compilation_cache_dir) / f"step-{fingerprint(run)}.stablehlo"
        self._loaded = concurrent.futures.ThreadPoolExecutor(1).submit(self._load)

    def compiled(self, state, batch):
        """The step as a compiled, donated, sharded function of (state, batch); kept for the next start if it was traced now.

        Args:
            state, batch: examples of its arguments; that of the state also says how it lies on the mesh.
        """
        step = self._loaded.result()
        if step is None or not step.fits(state, batch):
            step = self._traced(state, batch)
        return step or compile_step(self._run.train_step, self._run.mesh, state, batch)

    def _load(self):
        """The step that was kept, or None: what is missing, damaged or cannot be compiled is traced again."""
        try:
            stored = self._file.read_bytes()
            digest, program = stored[:_DIGEST], stored[_DIGEST:]
            return OnLeaves(export.deserialize(bytearray(program)), self._run.mesh) if hashlib.sha256(program).digest() == digest else None
        except Exception:
            return None

    def _traced(self, state, batch):
        """The step traced, compiled and kept; None if it cannot be kept."""
        if self._file is None:
            return None
        try:
            exported = export_step(self._run.train_step, self._run.mesh, state, batch)
            step, program = OnLeaves(exported, self._run.mesh), exported.serialize()
        except Exception:  # such as an operation whose form JAX does not promise to keep
            return None
        if is_first():
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._file, hashlib.sha256(program).digest() + program)
            except Exception as error:  # a full disk or the network: the next start will trace again
                logging.warning("could not write %s: %s", self._file, error)
        return step


class OnLeaves:
    """A compiled step of (state, batch), from one that takes and returns the leaves of the state.

    Args:
        exported: jax.export.Exported of `export_step`.
        mesh: of the devices of all processes.
    """

    def __init__(self, exported, mesh):
        self._tree = exported.in_tree
        self._shapes = [jax.ShapeDtypeStruct(argument.shape, argument.dtype) for argument in exported.in_avals]
        arguments, _ = jax.tree.unflatten(self._tree, self._shapes)
        shardings, _ = jax.tree.unflatten(self._tree, exported.in_shardings_jax(mesh))
        of_results = jax.tree.unflatten(exported.out_tree, exported.out_shardings_jax(mesh))
        step = jax.jit(exported.call, in_shardings=shardings, out_shardings=of_results, donate_argnums=0)
        self._compiled = step.lower(*arguments).compile(compiler.options(mesh.devices.flat[0]))

    def fits(self, state, batch):
        """Whether the step was compiled for arguments of this structure, of these shapes and dtypes."""
        leaves, tree = jax.tree.flatten(((jax.tree.leaves(state), batch), {}))
        return tree == self._tree and [(x.shape, x.dtype) for x in leaves] == [(x.shape, x.dtype) for x in self._shapes]

    def __call__(self, state, batch):
        leaves, tree = jax.tree.flatten(state)
        leaves, metrics = self._compiled(leaves, batch)
        return jax.tree.unflatten(tree, leaves), metrics


def export_step(train_step, mesh, state, batch):
    """The step as a jax.export.Exported of the leaves of the state and of the batch; arguments as of `step.compile_step`."""
    leaves, tree = jax.tree.flatten(state)

    def on_leaves(leaves, batch):
        state, metrics = train_step(jax.tree.unflatten(tree, leaves), batch)
        return jax.tree.leaves(state), metrics

    of_leaves = [leaf.sharding for leaf in leaves]
    shardings = {"in_shardings": (of_leaves, of_batch(batch, mesh)), "out_shardings": (of_leaves, replicated(mesh))}
    with jax.set_mesh(mesh):  # which the constraints of `oasis_jax.axes` need
        return export.export(jax.jit(on_leaves, **shardings))(leaves, batch)


def fingerprint(run):
    """A name for all that the traced step of a run depends on: with any change of it, the step is traced anew.

    That is the source of this package and of the family, the versions of the libraries, JAX's options, the devices, the survey of the data,
    files that the config names, and the config, but for what the family's `host_fields` say.
    """
    config = flat(json.loads(json.dumps(run.config.to_dict())))
    free = getattr(run.family, "host_fields", ())
    config = {name: value for name, value in config.items() if not any(f"{name}.".startswith(f"{field}.") for field in free)}
    device = run.mesh.devices.flat[0]
    parts = {
        "source": [hashlib.sha256(path.read_bytes()).hexdigest() for path in (*sorted(PACKAGE.rglob("*.py")), pathlib.Path(run.family.__file__))],
        "libraries": [version(name) for name in LIBRARIES],
        "options": {name: repr(value) for name, value in jax.config.values.items() if name not in _OF_THE_CACHE},
        "devices": [device.platform, device.device_kind, dict(run.mesh.shape), jax.process_count()],
        "survey": run.survey.as_memory(),
        "files": [_stamp(value) for value in config.values() if isinstance(value, str) and os.path.isfile(os.path.expanduser(value))],
        "config": config,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode(errors="surrogateescape")).hexdigest()


def _stamp(path):
    found = os.stat(os.path.expanduser(path))
    return [path, found.st_size, found.st_mtime_ns, found.st_ino]
