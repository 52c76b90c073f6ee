"""Several processes on one or more hosts: joining them, dividing a set of images among them, and merging their measurements.

Each process measures its part by itself, on its own devices. They synchronise once, when all have finished; then every process has the
whole result.
"""
import contextlib
import importlib.util
import io
import os
import sys
import traceback

import jax
import numpy as np
from jax.experimental import multihost_utils

_ROWS = 1024  # feature rows per gather
_VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
HEARTBEAT_SECONDS = 30  # after which a process that does not answer counts as dead, and the others stop
END_SECONDS = 1800  # how long a finished process waits for the others, such as for the first one, which alone draws and writes files
FAILED = 1  # exit code
# By default, independent operations of a program run concurrently, and Gloo would confuse the messages of two sums over the processes.
_IN_ONE_ORDER = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
_NO_CLUSTER = "coordinator_address should be defined"  # in JAX's error if it detects no job of several processes


def join(saves_when_stopped=False):
    """Joins the other processes of a TPU pod, of a GKE or SLURM job, or of a job that the environment variables
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID describe. Otherwise does nothing.

    Must be called before anything else initialises JAX.

    Args:
        saves_when_stopped: if true, SIGTERM does not end this process; `preemption.notice` reports it.

    Raises:
        ValueError: some of the variables are missing or invalid, or a job was detected but could not be joined.
    """
    jax.config.update("jax_enable_preemption_service", saves_when_stopped)
    given = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    explicit = {}
    if given:
        missing = [name for name in _VARIABLES if name not in given]
        if missing:
            raise ValueError(f"{', '.join(given)} given, but not {', '.join(missing)}: set all of {', '.join(_VARIABLES)}, or none")
        address, count, index = given.values()
        if not (count.isdecimal() and index.isdecimal() and int(index) < int(count)):
            raise ValueError(f"JAX_NUM_PROCESSES={count} and JAX_PROCESS_ID={index}: give numbers, the second below the first")
        explicit = {"coordinator_address": address, "num_processes": int(count), "process_id": int(index)}
    elif os.environ.get("SLURM_STEP_NUM_TASKS") == "1":  # one process, with all devices of its node
        return
    # JAX aborts all processes if one ends later than the second limit. Missing heartbeats reveal dead processes long before.
    limits = {"heartbeat_timeout_seconds": HEARTBEAT_SECONDS, "shutdown_timeout_seconds": END_SECONDS}
    try:
        jax.distributed.initialize(**explicit, **limits)
    except ValueError as error:
        if _NO_CLUSTER not in str(error):
            raise ValueError(f"could not join the other processes of this job: {error}") from error
        return
    in_one_order = _will_compute_on_cpu()
    if in_one_order:  # XLA reads this when the devices are first queried
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_IN_ONE_ORDER}"
    # On CPU, sums of two programs that run concurrently could mix up their messages, so programs run one after the other (`in_order`).
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if several_on_cpu():  # a program from the cache may compute its sums in a different order than in other processes
        if not in_one_order:
            leave("error: JAX has found no accelerator: to compute on CPU, set JAX_PLATFORMS=cpu, so that sums run in a fixed order")
        jax.config.update("jax_enable_compilation_cache", False)


def _will_compute_on_cpu():
    """Returns whether JAX can only choose the CPU, without initialising it: the CPU is configured, or no other platform is installed."""
    if jax.config.jax_platforms:
        return jax.config.jax_platforms == "cpu"
    return not any(importlib.util.find_spec(package) for package in ("jax_plugins", "libtpu"))


def in_order(tree):
    """Returns the tree, after waiting until its arrays are computed if several processes compute on CPU.

    Otherwise XLA would start a program with pending arguments in the background, whatever `jax_cpu_enable_async_dispatch` says, and its
    collectives could mix with those of the next program.
    """
    return jax.block_until_ready(tree) if several_on_cpu() else tree


def several_on_cpu():
    """Returns whether this is one of several processes that compute on CPU."""
    return jax.process_count() > 1 and jax.default_backend() == "cpu"


def leave(message):
    """Ends this process with a message and exit code 1, without waiting for other processes, which may be waiting for this one."""
    if jax.process_count() == 1:
        sys.exit(message)
    which = f"process {jax.process_index()} of {jax.process_count()}; if another process ended before, its output says why"
    print(f"{message} ({which})", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(FAILED)


def end_together():
    """Ends this process with exit code 0 as soon as all others have called this too; does nothing if there is only one process.

    Every process must call this after all its work, with nothing left to write. It skips Python's own shutdown, during which threads of
    libraries could still fail.
    """
    if jax.process_count() == 1:
        return
    from orbax.checkpoint import multihost

    sys.stdout.flush()
    try:
        multihost.get_barrier_sync_fn()(key="end of all processes", timeout_ms=END_SECONDS * 1000)
        jax.distributed.shutdown()
    except jax.errors.JaxRuntimeError as error:
        leave(f"error: this process is done, but not all others are: {' '.join(str(error).split())[:300]}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@contextlib.contextmanager
def left_with_others(advice):
    """Ends this process with a clear message when another one is lost, which makes a sum over all processes fail.

    Args:
        advice: () -> text that says what to do about it.
    """
    try:
        yield
    except Exception as error:
        if jax.process_count() == 1 or not is_of_runtime(error):
            raise
        leave(f"error: lost another process, or failed: {' '.join(str(error).split())[:300]}; {advice()}")


def is_of_runtime(error):
    """Returns whether an exception comes from running a compiled program, as when another process is lost."""
    return isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)  # Gloo's errors may be ValueErrors


@contextlib.contextmanager
def failing_at_once():
    """Ends this process, if it is one of several, as soon as it fails: otherwise it and the others would wait for each other."""
    try:
        yield
    except BaseException as error:
        if jax.process_count() == 1 or isinstance(error, SystemExit | KeyboardInterrupt):
            raise
        traceback.print_exc()
        leave("error: this process has failed, see above")


def by_first(function):
    """Calls a function in the first process alone; the others wait until it returns."""
    if is_first():
        function()
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("done by the first process")


def num_processes():
    """The number of processes that have joined; 1 if there is only this one."""
    return jax.process_count()


def is_first():
    """Returns whether this process is the first, which writes files and shows progress."""
    return jax.process_index() == 0


def broadcast(value):
    """Returns the first process's value (bool) in every process. Every process must call this."""
    return value if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(value).item()


def any_process(*flags):
    """Returns, for each flag, whether it is true in any process; all processes get the same result. Every process must call this."""
    return flags if jax.process_count() == 1 else multihost_utils.process_allgather(np.array(flags)).any(axis=0).tolist()


def part_of(total, batch_size, process_index=None, process_count=None):
    """Returns the range of images that one process measures.

    Args:
        total: number of images over all processes.
        batch_size: images per batch; a part consists of whole batches, the same that a single process would form.
        process_index, process_count: by default those of this run.

    Returns:
        range; the ranges of all processes, in order, concatenate to range(total). With more processes than batches, some are empty.
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
    """Concatenates the rows of all processes in a file, so that only few rows are in memory at a time. Every process must call this.

    Args:
        rows: (n, ...), the rows of this process; may be a numpy.memmap.
        counts: n of each process, in process order.
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
