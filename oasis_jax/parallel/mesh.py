"""The device mesh and how arrays are sharded over it."""
import jax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P


def make_mesh(devices=None):
    """Makes a mesh with the axes "data" (examples of the batch), over all devices, and "space" (image rows), of size one.

    Args:
        devices: the devices to use; by default all, including those of other processes.
    """
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices), 1), ("data", "space"), axis_types=(AxisType.Auto,) * 2, devices=devices)


def make_local_mesh():
    """Makes a mesh of the devices of this process."""
    return make_mesh(jax.local_devices())


def replicated(mesh):
    """The sharding of arrays that every device holds whole, such as the train state."""
    return NamedSharding(mesh, P())


def over_batch(mesh):
    """The sharding of arrays (B, ...): the batch axis is split over "data"."""
    return NamedSharding(mesh, P("data"))


def along_batch(values):
    """Shards values (B, ...) that are drawn inside a compiled function as the batch is, if a mesh is set (`jax.set_mesh`).

    Without it nothing tells the compiler that they belong to the examples: every device would compute what follows for the whole batch.
    """
    is_set = "data" in jax.sharding.get_abstract_mesh().axis_names
    return jax.lax.with_sharding_constraint(values, P("data")) if is_set else values


def put_batch(batch, mesh):
    """Places this process's part of a batch on the mesh.

    Args:
        batch: pytree of numpy arrays with a leading batch axis.
        mesh: of the devices of all processes, or of this one.

    Returns:
        The pytree with global arrays in place of numpy arrays.

    Raises:
        ValueError: the batch does not divide over the devices.
    """
    local_devices = len(mesh.local_devices)

    def put(path, array):
        if len(array) % local_devices:
            name = jax.tree_util.keystr(path)
            raise ValueError(f"{name}: a batch of {len(array)} examples does not divide over {local_devices} devices: choose a multiple")
        return jax.make_array_from_process_local_data(over_batch(mesh), array)

    return jax.tree_util.tree_map_with_path(put, batch)


def replicate(tree, mesh):
    """Copies arrays to every device of a mesh, by way of the host: in training they lie on the devices of all processes."""
    return jax.device_put(jax.device_get(tree), replicated(mesh))


def padded_batch_size(batch_size, mesh):
    """The smallest multiple of the mesh's devices that is not below `batch_size`."""
    return -(-batch_size // mesh.size) * mesh.size
