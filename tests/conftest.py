"""Settings that must be made before JAX is imported, here and in the commands that tests start."""
import os

# The tests compile much and compute little: without LLVM's optimisations they compile in less than half the time, to the same arithmetic.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
