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
from oasis_jax.parallel.processes import is_first, num_processes
from oasis_jax.training.step import compile_step, jit_step

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
        background = concurrent.futures.ThreadPoolExecutor(1)
        self._exported, self._program = background.submit(self._read), background.submit(self._compile_read)

    def state_template(self):
        """As `step.state_template`, without tracing how the state is made; None if no step was kept."""
        exported = self._exported.result()
        return exported and _arguments(exported, self._run.mesh)[0]

    def compiled(self, state, batch):
        """As `step.compile_step`. A step that was traced now is kept for the next start.

        Args:
            state, batch: examples of its arguments; that of the state also says how it lies on the mesh.
        """
        exported, program = self._exported.result(), self._program.result()
        if program is None or _shapes((state, batch)) != _shapes(_arguments(exported, self._run.mesh)):
            program = self._traced(state, batch)
        return program or compile_step(self._run.train_step, self._run.mesh, state, batch)

    def _read(self):
        """The Exported that was kept, or None if it is missing or damaged."""
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
        except Exception:  # it is traced again, and what is wrong shows there
            return None

    def _traced(self, state, batch):
        """The step traced, compiled and kept; None if it cannot be kept."""
        if self._file is None:
            return None
        mesh = self._run.mesh
        try:
            with jax.set_mesh(mesh):
                # Of arguments that are not used, JAX would not store how they lie on the mesh.
                exported = export.export(jit_step(self._run.train_step, mesh, state, batch, keep_unused=True))(state, batch)
            stored, program = exported.serialize(), _compile(exported, mesh)
        except Exception:  # an operation or a part of the state that JAX cannot store
            return None
        if is_first():
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._file, hashlib.sha256(stored).digest() + stored)
            except Exception as error:  # a full disk or the network: the next start will trace again
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
    """A name for all that the traced step of a run depends on: with any change of it, the step is traced anew.

    That is the source of this package and of the family, the versions of the libraries, JAX's options, the devices, the survey of the data,
    files that the config names, and the config, but for what the family's `host_fields` say.
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
