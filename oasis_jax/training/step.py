"""The compiled training step, and the train state on a mesh."""
import functools

import jax
import jax.numpy as jnp

from oasis_jax import compiler
from oasis_jax.parallel.mesh import choose_split, of_batch, over_largest_axis, replicated

DIVIDED = ("ema", "opt_state_g", "opt_state_d")  # parts of the state that mesh.shard_state divides; a step uses them only elementwise


def split_of_run(config, train_step, devices, processes=1):
    """The parallel.mesh.Split of a run's batch over a number of devices, which belong to a number of processes.

    Raises:
        ValueError: the batch or mesh.space does not fit the devices, train.accumulate does not divide the batch, or the family cannot split
            rows.
    """
    space = config.mesh.space
    if space > 1 and not train_step.splits_rows:
        raise ValueError(f"mesh.space={space} is impossible with family={config.family}, which cannot split image rows: set it to 1")
    train, height = config.train, config.data.image_size[0]
    return choose_split(train.batch_size, height, devices, space, processes, train.accumulate, train_step.splits_rows)


def compile_step(train_step, mesh, state, batch):
    """Compiles the whole step into one sharded function of (state, batch) that donates the state.

    Args:
        train_step: family.TrainStep.
        mesh: over the devices of all processes.
        state, batch: example arguments of the step, or their shapes; the state must have shardings.
    """
    return lower_step(train_step, mesh, state, batch).compile(compiler.options(mesh.devices.flat[0]))


def lower_step(train_step, mesh, state, batch):
    """The lowered step, before it is compiled; arguments as for `compile_step`."""
    with jax.set_mesh(mesh):  # needed by the sharding constraints of `oasis_jax.axes`
        return jit_step(train_step, mesh, state, batch).lower(state, batch)


def jit_step(train_step, mesh, state, batch, keep_unused=False):
    """The step as a sharded jax.jit that donates the state; call it with the mesh set. Arguments as for `compile_step` and `jax.jit`."""
    of_state = jax.tree.map(lambda leaf: leaf.sharding, state)
    shardings = {"in_shardings": (of_state, of_batch(batch, mesh)), "out_shardings": (of_state, replicated(mesh))}
    return jax.jit(train_step, **shardings, donate_argnums=0, keep_unused=keep_unused)


def initial_state(train_step, image_size, mesh, shard_state=False):
    """The train state at step 0 for image_size (H, W), with the shardings of `state_template`."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state_template(train_step, image_size, mesh, shard_state))
    return jax.jit(lambda: train_step.init(image_size), out_shardings=shardings)()


def state_template(train_step, image_size, mesh, shard_state=False):
    """Shapes, dtypes and shardings of the train state, such as to restore a checkpoint into.

    Args:
        train_step: family.TrainStep.
        image_size: (H, W).
        mesh: over the devices of all processes.
        shard_state: divide optimizer states and the averaged generator over "data"; otherwise every device holds the whole state.
    """

    def place(path, leaf):
        divided = shard_state and getattr(path[0], "name", "") in DIVIDED
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=over_largest_axis(leaf, mesh) if divided else replicated(mesh))

    return jax.tree_util.tree_map_with_path(place, jax.eval_shape(lambda: train_step.init(image_size)))


def everywhere(tree, mesh):
    """The tree with every array replicated on all devices of the mesh."""
    return _copy_to(mesh)(tree)


@functools.cache
def _copy_to(mesh):
    return jax.jit(lambda same: same, out_shardings=replicated(mesh))


@jax.jit
def finite(tree):
    """Returns, for each array of a tree, whether all its values are finite."""
    return jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), tree)
