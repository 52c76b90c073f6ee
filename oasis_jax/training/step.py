"""The compiled training step, and the train state on a mesh."""
import jax

from oasis_jax import compiler
from oasis_jax.parallel.mesh import over_batch, replicated


def compile_step(train_step, mesh, state, batch):
    """The whole step as one compiled, donated, sharded function of (state, batch).

    Args:
        train_step: family.TrainStep.
        mesh: of the devices of all processes.
        state, batch: examples of its arguments.
    """
    everywhere, data = replicated(mesh), over_batch(mesh)
    jitted = jax.jit(train_step, in_shardings=(everywhere, data), out_shardings=(everywhere, everywhere), donate_argnums=0)
    with jax.set_mesh(mesh):  # which `parallel.mesh.along_batch` needs
        return jitted.lower(state, batch).compile(compiler.options(mesh.devices.flat[0]))


def initial_state(train_step, image_size, mesh):
    """The train state at step 0 for images of a size (H, W), on every device of the mesh."""
    return jax.jit(lambda: train_step.init(image_size), out_shardings=replicated(mesh))()


def state_template(train_step, image_size, mesh):
    """Shapes, dtypes and shardings of the train state, to restore it with."""
    shapes = jax.eval_shape(lambda: train_step.init(image_size))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)), shapes)
