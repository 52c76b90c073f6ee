"""Several processes on one or more hosts: joining them, sharing out a set of images, and merging what each has measured.

Each process measures its part by itself, on its own devices. They meet once, when all have finished; then every process has the whole
result.
"""
import io
import os

import jax
import numpy as np
from jax.experimental import multihost_utils

_ROWS = 1024  # feature rows gathered at once


def join():
    """Joins the other processes where JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID are set; otherwise does nothing.

    Must be called before anything else initialises JAX.
    """
    if os.environ.get("JAX_COORDINATOR_ADDRESS"):
        count, index = (int(os.environ[name]) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
        jax.distributed.initialize(num_processes=count, process_id=index)


def is_first():
    """Whether this process is the one that writes files and shows progress."""
    return jax.process_index() == 0


def place_among():
    """(index of this process, number of processes)."""
    return jax.process_index(), jax.process_count()


def any_process(*flags):
    """For each flag, whether it is true in any process; the same answers in all of them. Every process must call this."""
    return flags if jax.process_count() == 1 else multihost_utils.process_allgather(np.array(flags)).any(axis=0).tolist()


def part_of(total, batch_size, process_index=None, process_count=None):
    """Returns the range of images that one process measures.

    Args:
        total: number of images over all processes.
        batch_size: images per batch; a part consists of whole batches, the same ones that a single process would form.
        process_index, process_count: by default those of this process.

    Returns:
        range; in process order they concatenate to range(total). With more processes than batches, some are empty.
    """
    index = jax.process_index() if process_index is None else process_index
    count = process_count or jax.process_count()
    batches = -(-total // batch_size)
    start, stop = (min(batches * border // count * batch_size, total) for border in (index, index + 1))
    return range(start, stop)


def gather(tree):
    """Returns the trees of all processes, in process order, in every process. Every process must call this.

    Args:
        tree: pytree of numpy arrays and numbers; the shape of an array may differ between processes.

    Returns:
        List of trees, bit for bit equal: arrays are sent as bytes, because JAX would truncate 64-bit values to 32 bits.
    """
    if jax.process_count() == 1:
        return [tree]
    leaves, structure = jax.tree.flatten(tree)
    stream = io.BytesIO()
    np.savez(stream, *leaves)
    own = np.frombuffer(stream.getvalue(), np.uint8)
    # An all-gather orders its rows by device, which need not be the order of the processes.
    heads = multihost_utils.process_allgather(np.array([jax.process_index(), len(own)], np.int32))
    rows = multihost_utils.process_allgather(np.pad(own, (0, heads[:, 1].max() - len(own))))
    trees = []
    for row in np.argsort(heads[:, 0]):
        with np.load(io.BytesIO(rows[row, : heads[row, 1]].tobytes()), allow_pickle=False) as stored:
            arrays = [stored[f"arr_{i}"] for i in range(len(leaves))]
        trees.append(jax.tree.unflatten(structure, [array if array.ndim else array.item() for array in arrays]))
    return trees


def gather_rows(rows, counts, file):
    """Concatenates the rows of all processes in a file, so that few of them are in memory at once. Every process must call this.

    Args:
        rows: (n, ...) of this process; may be a numpy.memmap.
        counts: n of each process.
        file: open file to write to.

    Returns:
        (sum(counts), ...) numpy.memmap.
    """
    whole = np.memmap(file, rows.dtype, "w+", shape=(sum(counts), *rows.shape[1:]))
    for first in range(0, max(counts), _ROWS):
        blocks = gather(np.asarray(rows[first : first + _ROWS]))
        for start, block in zip(np.cumsum([first, *counts]), blocks, strict=False):
            whole[start : start + len(block)] = block
    return whole
