"""Stores the traced training step, so that later starts neither trace nor lower it again, and only read XLA's cache.

The stored form is StableHLO, so the file holds no Python objects. Its results are those of a freshly traced step, to the last bit.
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
from oasis_jax.parallel.processes import is_first, num_processes
from oasis_jax.training.step import compile_step, jit_step

PACKAGE = pathlib.Path(__file__).parents[1]
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy")  # whose versions a traced step depends on
_DIGEST = hashlib.sha256().digest_size
_OF_THE_CACHE = ("jax_compilation_cache_dir",)  # JAX options that no program depends on


class KeptStep:
    """The step of a run, read from the folder of compiled programs if an earlier start has stored it there.

    Reading and compiling begin immediately, in a background thread.

    Args:
        run: setup.Run.
    """

    def __init__(self, run):
        self._run, self._file = run, None
        if jax.config.jax_enable_compilation_cache and jax.config.jax_compilation_cache_dir:
            self._file = expanded(jax.config.jax_compilation_cache_dir) / f"step-{fingerprint(run)}.stablehlo"
        background = concurrent.futures.ThreadPoolExecutor(1)
        self._exported, self._program = background.submit(self._read), background.submit(self._compile_read)

    def state_template(self):
        """Like `step.state_template`, without tracing the initialisation of the state; None if no step is stored."""
        exported = self._exported.result()
        return exported and _arguments(exported, self._run.mesh)[0]

    def compiled(self, state, batch):
        """Like `step.compile_step`. If the step has to be traced, it is stored for the next start.

        Args:
            state, batch: example arguments of the step; the state's shardings are those of the compiled step.
        """
        exported, program = self._exported.result(), self._program.result()
        if program is None or _shapes((state, batch)) != _shapes(_arguments(exported, self._run.mesh)):
            program = self._traced(state, batch)
        return program or compile_step(self._run.train_step, self._run.mesh, state, batch)

    def _read(self):
        """The stored Exported, or None if it is missing or damaged."""
        try:
            stored = self._file.read_bytes()
            digest, program = stored[:_DIGEST], stored[_DIGEST:]
            return export.deserialize(bytearray(program)) if hashlib.sha256(program).digest() == digest else None
        except Exception:
            return None

    def _compile_read(self):
        try:
            exported = self._exported.result()
            return exported and _compile(exported, self._run.mesh)
        except Exception:  # the step is then traced again, which shows what is wrong
            return None

    def _traced(self, state, batch):
        """Traces, compiles and stores the step, and returns the compiled program; None if the step cannot be stored."""
        if self._file is None:
            return None
        mesh = self._run.mesh
        try:
            with jax.set_mesh(mesh):
                # keep_unused: JAX would not store the shardings of unused arguments.
                exported = export.export(jit_step(self._run.train_step, mesh, state, batch, keep_unused=True))(state, batch)
            stored, program = exported.serialize(), _compile(exported, mesh)
        except Exception:  # an operation or a part of the state that JAX cannot store
            return None
        if is_first():
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._file, hashlib.sha256(stored).digest() + stored)
            except Exception as error:  # such as a full disk or a network failure: the next start traces the step again
                logging.warning("could not write %s: %s", self._file, error)
        return program


def _arguments(exported, mesh):
    """(state, batch) of a step, as jax.ShapeDtypeStructs with shardings."""
    of_leaves = zip(exported.in_avals, exported.in_shardings_jax(mesh), strict=True)
    leaves = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding) for leaf, sharding in of_leaves]
    return jax.tree.unflatten(exported.in_tree, leaves)[0]


def _shapes(tree):
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def _compile(exported, mesh):
    arguments = _arguments(exported, mesh)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, arguments)
    of_results = jax.tree.unflatten(exported.out_tree, exported.out_shardings_jax(mesh))
    step = jax.jit(exported.call, in_shardings=shardings, out_shardings=of_results, donate_argnums=0)
    return step.lower(*arguments).compile(compiler.options(mesh.devices.flat[0]))


def fingerprint(run):
    """A hash of everything that the traced step of a run depends on: if any of it changes, the step is traced again.

    It covers the source of this package and of the family, the versions of the libraries, JAX's options, the devices, the survey of the
    data, files that the config names, and the config itself, except the family's `host_fields`.
    """
    config = flat(json.loads(json.dumps(run.config.to_dict())))
    free = getattr(run.family, "host_fields", ())
    config = {name: value for name, value in config.items() if not any(f"{name}.".startswith(f"{field}.") for field in free)}
    device = run.mesh.devices.flat[0]
    source = [*sorted(PACKAGE.rglob("*.py")), pathlib.Path(run.family.__file__)]
    parts = {
        "source": [hashlib.sha256(path.read_bytes()).hexdigest() for path in source],
        "libraries": [version(name) for name in LIBRARIES],
        "options": {name: repr(value) for name, value in jax.config.values.items() if name not in _OF_THE_CACHE},
        "devices": [device.platform, device.device_kind, dict(run.mesh.shape), num_processes()],
        "survey": run.survey.as_memory(),
        "files": [_stamp(value) for value in config.values() if isinstance(value, str) and os.path.isfile(os.path.expanduser(value))],
        "config": config,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode(errors="surrogateescape")).hexdigest()


def _stamp(path):
    found = os.stat(os.path.expanduser(path))
    return [path, found.st_size, found.st_mtime_ns, found.st_ino]
