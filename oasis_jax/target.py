"""The platform to compile for: that of this machine, or that of a machine that is only described."""
import contextlib
import contextvars

import jax

_PLATFORM = contextvars.ContextVar("platform", default=None)


def platform():
    """"cpu", "gpu" or "tpu": chooses the implementation of a function where platforms need different ones."""
    return _PLATFORM.get() or jax.default_backend()


@contextlib.contextmanager
def compiling_for(name):
    """Within the context, `platform()` is `name`, whatever devices there are."""
    token = _PLATFORM.set(name)
    try:
        yield
    finally:
        _PLATFORM.reset(token)
