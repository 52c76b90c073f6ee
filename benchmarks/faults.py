"""What a benchmark says of faulty input: one line, without a traceback."""
import contextlib
import sys

from oasis_jax.checkpoint import CheckpointError
from oasis_jax.data.labels import DataError


@contextlib.contextmanager
def in_one_line(name):
    """Exits with one line, which begins with the benchmark's name, if the runs, data or flags cannot be used."""
    try:
        yield
    except (CheckpointError, DataError, OSError, ValueError) as error:
        sys.exit(f"{name}: {error}")
