"""The device mesh and where arrays lie on it."""
import os

import jax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P


def join_processes():
    """Makes this program one of several, where JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID are set."""
    if os.environ.get("JAX_COORDINATOR_ADDRESS"):
        count, index = (int(os.environ[name]) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
        jax.distributed.initialize(num_processes=count, process_id=index)


def make_mesh(devices=None):
    """A mesh with the axes "data" (examples of the batch) over all devices, and "space" (rows of the image) of size one.

    Args:
      devices: the devices to use; by default all, those of other processes too.
    """
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices), 1), ("data", "space"), axis_types=(AxisType.Auto,) * 2, devices=devices)


def replicated(mesh):
    """Every device holds the whole array: the train state."""
    return NamedSharding(mesh, P())


def over_batch(mesh):
    """Arrays (B, H, ...) are split along B over "data" and along H over "space"."""
    return NamedSharding(mesh, P("data", "space"))


def put_batch(batch, mesh):
    """This process's part of a batch (a dict of numpy arrays with a leading batch axis) as global arrays on the mesh.

    Raises:
      ValueError: if the batch does not divide over the devices.
    """
    local_devices = len(mesh.local_devices)
    for name, array in batch.items():
        if len(array) % local_devices:
            raise ValueError(f"{name}: a batch of {len(array)} examples does not divide over {local_devices} devices: choose a multiple")
    return {name: jax.make_array_from_process_local_data(over_batch(mesh), array) for name, array in batch.items()}
