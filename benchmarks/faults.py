"""What a benchmark says of input that it cannot use: a message without a traceback."""
import contextlib
import sys

from oasis_jax.checkpoint import CheckpointError
from oasis_jax.data.labels import DataError


@contextlib.contextmanager
def without_traceback(name, *others):
    """Exits with the message alone, after the benchmark's name, if a run, data or a folder cannot be used, or at errors of `others`."""
    try:
        yield
    except (CheckpointError, DataError, OSError, *others) as error:
        sys.exit(f"{name}: {error}")
