"""The device mesh and how arrays are sharded over it."""
import dataclasses
import math

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from oasis_jax.axes import DATA, LEAST_ROWS, SPACE, rows_spec, splits_rows
from oasis_jax.parallel.processes import in_order


@dataclasses.dataclass(frozen=True)
class Split:
    """How a batch is divided over devices.

    Attributes:
        data: parts of the batch.
        space: parts of the rows of an image.
    """

    data: int
    space: int

    @property
    def devices(self):
        """Number of devices in use."""
        return self.data * self.space


def choose_split(batch_size, height, devices, space=0, processes=1, accumulate=1, can_split_rows=True):
    """Returns the fastest split of a batch over devices, by an estimate of the work per device.

    All parts of the batch must have the same number of examples, all devices the same number of rows, and all processes the same number of
    devices. Of the possible splits, the one with the least `work` per device is chosen; of equal ones, the one with the fewest parts of an
    image.

    Args:
        batch_size: B, over all devices.
        height: H, rows of an image.
        devices: number of available devices.
        space: parts of an image, mesh.space of the config; 0 to choose it here.
        processes: number of processes, each with the same number of devices.
        accumulate: number of equal parts of the batch that are computed one after the other; each part is split over the devices.
        can_split_rows: whether the networks can work on parts of an image.

    Returns:
        Split; it may leave devices idle.

    Raises:
        ValueError: no split is possible; the message lists the possible numbers of parts, or batch sizes.
    """
    if batch_size < 1 or space < 0:
        raise ValueError(f"train.batch_size={batch_size} and mesh.space={space}: the first must be 1 or more, the second 0 or more")
    check_parts(batch_size, accumulate)
    at_once = batch_size // accumulate
    possible = [
        Split(data, parts)
        for data in range(1, min(at_once, devices) + 1)
        for parts in range(1, devices // data + 1)
        if at_once % data == 0 and (parts == 1 or can_split_rows and splits_rows(height, parts)) and data * parts % processes == 0
    ]
    chosen = [split for split in possible if space in (0, split.space)]
    if chosen:
        return min(chosen, key=lambda split: (work(split, at_once, height), split.space))
    among = f"{devices} devices" + (f" of {processes} processes" if processes > 1 else "")
    if not possible:
        multiple = processes * accumulate
        in_parts = f", in {accumulate} parts (train.accumulate)," if accumulate > 1 else ""
        raise ValueError(
            f"train.batch_size={batch_size} with images of {height} rows{in_parts} does not divide over {among}: "
            f"choose a multiple of {multiple}, such as {math.ceil(batch_size / multiple) * multiple}"
        )
    parts = ", ".join(str(parts) for parts in sorted({split.space for split in possible}))
    raise ValueError(f"mesh.space={space} is impossible with train.batch_size={batch_size} and {height} rows on {among}; possible: {parts}")


def check_parts(batch_size, accumulate):
    """Raises ValueError if `accumulate` does not divide the batch into equal parts."""
    if accumulate < 1 or batch_size % accumulate:
        raise ValueError(f"train.accumulate={accumulate} does not divide train.batch_size={batch_size}: choose one of its divisors")


def work(split, batch_size, height):
    """Estimates the work of one device, in images: all levels of a network cost the same, and levels with few rows are not split."""
    rows = [height >> level for level in range(max(1, math.ceil(math.log2(max(height, 2) / (LEAST_ROWS // 2)))))]
    shares = [1 / split.space if splits_rows(count, split.space) else 1 for count in rows]
    return batch_size / split.data * sum(shares) / len(shares)


def describe_split(split, batch_size, devices):
    """One line of text: the split, and the devices that it leaves idle."""
    text = f"mesh: {split.data} parts of the batch x {split.space} parts of each image ({batch_size // split.data} images per part)"
    idle = _left_over(devices, split.devices)
    return text + (f"; idle: {', '.join(str(device) for device in idle)}" if idle else "")


def make_mesh(devices=None, space=1, among=None):
    """Makes a mesh with the axes "data" (examples of the batch) and "space" (image rows).

    Args:
        devices: the devices to use; by default all, including those of other processes.
        space: number of devices along "space", a divisor of the number of devices.
        among: all devices of the machine; by default those that JAX sees.
    """
    among = jax.devices() if among is None else among
    devices = among if devices is None else list(devices)
    shape = (len(devices) // space, space)
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if len(devices) < len(among) or shape[0] % slices:  # only some of the devices, which need not form a torus
        grid = np.asarray(devices).reshape(shape)
    elif slices > 1:  # rows are exchanged within a slice; only sums over the batch cross slices
        in_slice = (shape[0] // slices, space)
        grid = mesh_utils.create_hybrid_device_mesh(in_slice, (slices, 1), devices, allow_split_physical_axes=True)
    else:
        grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    return Mesh(grid, (DATA, SPACE), axis_types=(AxisType.Auto,) * 2)


def mesh_of_split(split, devices=None):
    """The mesh of a Split: the first devices of each process, the same number of each. `devices` are by default those that JAX sees."""
    devices = jax.devices() if devices is None else devices
    left = set(_left_over(devices, split.devices))
    return make_mesh([device for device in devices if device not in left], split.space, devices)


def _left_over(devices, count):
    """The devices that are idle if `count` devices are used, the same number of each process."""
    of_process = {}
    for device in devices:
        of_process.setdefault(device.process_index, []).append(device)
    return [device for own in of_process.values() for device in own[count // len(of_process) :]]


def num_processes_of(devices):
    """The number of processes that devices belong to; the devices may be those of a topology description."""
    return len({device.process_index for device in devices})


def make_local_mesh():
    """Makes a mesh over the devices of this process."""
    return make_mesh(jax.local_devices())


def replicated(mesh):
    """The sharding of arrays that are replicated on every device, such as the train state."""
    return NamedSharding(mesh, P())


def over_batch(mesh):
    """The sharding of arrays (B, ...): the batch axis is split over "data"."""
    return NamedSharding(mesh, P(DATA))


def of_batch(batch, mesh):
    """The shardings of a batch: all arrays are split over "data", images and label maps (B, H, W, ...) also over "space"."""
    return jax.tree.map(lambda array: NamedSharding(mesh, rows_spec(array.shape, mesh.shape[SPACE])), batch)


def over_largest_axis(leaf, mesh):
    """The sharding of an array over "data": split along its largest axis that divides evenly, or replicated if there is none."""
    sizes = [size if size % mesh.shape[DATA] == 0 else 0 for size in leaf.shape]
    if not any(sizes):
        return replicated(mesh)
    axis = sizes.index(max(sizes))
    return NamedSharding(mesh, P(*[None] * axis, DATA))


def own_positions(mesh, batch_size):
    """Positions (b,) in the global batch of the examples that this process reads. Processes that share an image all read it."""
    per_part = batch_size // mesh.shape[DATA]
    return np.concatenate([np.arange(part * per_part, (part + 1) * per_part) for part in _own_parts(mesh)])


def _own_parts(mesh):
    here = jax.process_index()
    return [part for part, row in enumerate(mesh.devices) if any(device.process_index == here for device in row)]


def put_batch(batch, mesh):
    """Places this process's part of a batch on the mesh.

    Args:
        batch: pytree of numpy arrays with a leading batch axis: the examples at `own_positions`, in order.
        mesh: over the devices of all processes, or of this one.

    Returns:
        The pytree with global arrays in place of numpy arrays.

    Raises:
        ValueError: the examples do not divide into the parts of the batch that this process has.
    """
    parts = _own_parts(mesh)
    places = {part: place for place, part in enumerate(parts)}

    def put(path, array):
        if len(array) % len(parts):
            name = jax.tree_util.keystr(path)
            raise ValueError(f"{name}: {len(array)} examples do not divide into the {len(parts)} parts of this process: choose a multiple")
        per_part = len(array) // len(parts)

        def of_device(index):
            first = (index[0].start or 0) // per_part
            start = places[first] * per_part
            return array[(slice(start, start + per_part), *index[1:])]

        shape = (per_part * mesh.shape[DATA], *array.shape[1:])
        sharding = NamedSharding(mesh, rows_spec(shape, mesh.shape[SPACE]))
        return jax.make_array_from_callback(shape, sharding, of_device)

    return in_order(jax.tree_util.tree_map_with_path(put, batch))


def replicate(tree, mesh):
    """Copies arrays to every device of a mesh, through the host: in training, the arrays are on the devices of all processes."""
    return jax.device_put(jax.device_get(tree), replicated(mesh))


def padded_batch_size(batch_size, mesh, group_size=1):
    """`batch_size`, rounded up to a multiple of the number of batch parts of a mesh, and of `group_size`."""
    multiple = math.lcm(mesh.shape[DATA], group_size)
    return -(-batch_size // multiple) * multiple
