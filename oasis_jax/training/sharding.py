"""The device mesh and where arrays lie on it."""
import jax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P


def make_mesh(devices=None):
    """A mesh with the axes "data" (examples of the batch) over all devices, and "space" (rows of the image) of size one.

    Args:
      devices: the devices to use; all by default.
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
