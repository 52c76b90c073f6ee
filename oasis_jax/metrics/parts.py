"""A set of images shared out among the processes of several hosts: which part each of them measures, and how the parts come together.

A process measures its part by itself, on its own devices; they meet once, when all are done. Then every process knows the whole.
"""
import io

import jax
import numpy as np
from jax.experimental import multihost_utils

_ROWS = 1024  # of features that travel at once


def part_of(total, batch_size, process_index=None, process_count=None):
    """The numbers of the images that one process, by default this one, measures.

    Args:
        total: images of all processes.
        batch_size: images at once; parts are made of whole batches, which are then those of a single process.
        process_index, process_count: the process among all.

    Returns:
        range; those of the processes, in their order, make up range(total). With more processes than batches some are empty.
    """
    index = jax.process_index() if process_index is None else process_index
    count = process_count or jax.process_count()
    batches = -(-total // batch_size)
    start, stop = (min(batches * border // count * batch_size, total) for border in (index, index + 1))
    return range(start, stop)


def gather(tree):
    """The trees of all processes, in their order, to each of them. Every process must call this.

    Args:
        tree: pytree of numpy arrays and numbers; an array may have another shape in each process.

    Returns:
        list of trees with the same bits: arrays travel as bytes, since JAX would cut 64 bits to 32.
    """
    if jax.process_count() == 1:
        return [tree]
    leaves, structure = jax.tree.flatten(tree)
    stream = io.BytesIO()
    np.savez(stream, *leaves)
    own = np.frombuffer(stream.getvalue(), np.uint8)
    # The rows of an all-gather lie in the order of the devices, which need not be that of the processes.
    heads = multihost_utils.process_allgather(np.array([jax.process_index(), len(own)], np.int32))
    rows = multihost_utils.process_allgather(np.pad(own, (0, heads[:, 1].max() - len(own))))
    trees = []
    for row in np.argsort(heads[:, 0]):
        with np.load(io.BytesIO(rows[row, : heads[row, 1]].tobytes()), allow_pickle=False) as stored:
            arrays = [stored[f"arr_{i}"] for i in range(len(leaves))]
        trees.append(jax.tree.unflatten(structure, [array if array.ndim else array.item() for array in arrays]))
    return trees


def gather_rows(rows, counts, file):
    """The rows (n, d) of all processes, one part below the other, as an array in a file, so that memory holds few of them.

    Args:
        rows: (n, d) of this process; may lie in a file.
        counts: n of each process.
        file: open file to write to.

    Returns:
        (sum(counts), d) numpy.memmap.
    """
    whole = np.memmap(file, rows.dtype, "w+", shape=(sum(counts), rows.shape[1]))
    for first in range(0, max(counts), _ROWS):
        blocks = gather(np.asarray(rows[first : first + _ROWS]))
        for start, block in zip(np.cumsum([first, *counts]), blocks, strict=False):
            whole[start : start + len(block)] = block
    return whole
