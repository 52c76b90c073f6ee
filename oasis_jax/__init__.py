"""Image synthesis with GANs in JAX and Flax: train, sample and evaluate."""
import os

from oasis_jax.interrupts import end_at_once_while_imported

end_at_once_while_imported()  # the first thing that a command does
# Paths in buckets (gs://) are read and written by gcsfs: loading and sampling then need no TensorFlow. Listings must not be cached, because
# Orbax and other processes write to the same folders. etils reads the first variable when it opens a path, fsspec the second on import.
os.environ.setdefault("EPATH_USE_TF", "0")
os.environ.setdefault("FSSPEC_GCS", '{"use_listings_cache": false}')
# TensorFlow only reads and feeds images. Its start-up messages are suppressed; oneDNN, which logs some more, is not needed and disabled.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

__version__ = "0.1.0"


def load(path, best=False):
    """Loads a generator to sample from: that of a run, or a model of this package by its name; see `oasis_jax.sampling.load`."""
    from oasis_jax.sampling import load  # so that `import oasis_jax` is instant

    return load(path, best)
