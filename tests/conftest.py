"""Settings that must be made before JAX is imported, here and in the commands that tests start."""
import atexit
import os
import shutil
import tempfile

import pytest

# The tests compile a lot and compute little: without LLVM's optimisations, compilation takes less than half the time, and the arithmetic
# is the same.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"

# The tests neither read nor write the user's cache of measurements.
os.environ["OASIS_JAX_CACHE"] = tempfile.mkdtemp(prefix="oasis_jax_measured_")
atexit.register(shutil.rmtree, os.environ["OASIS_JAX_CACHE"], ignore_errors=True)

# Programs that one test has compiled are reused by the other tests of its worker, and by the commands that these start.
os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="oasis_jax_compiled_")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


def pytest_collection_modifyitems(items):
    """Runs the files with slow tests first, the slowest file before all, so that no worker is left with one while another is idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not item.path.match("training/test_processes.py"), item.path not in slow))


@pytest.fixture
def float64():
    """Enables float64 during the test."""
    import jax  # reads the settings above

    with jax.enable_x64(True):
        yield
