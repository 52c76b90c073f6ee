"""Messages between page and server: the length of a JSON header, the header, and the bytes of arrays."""
import json

import numpy as np

from oasis_jax import json_values

MAX_HEADER = 1 << 16  # bytes
_LENGTH = 4  # bytes that hold the length of the header, little endian


class FramingError(ValueError):
    """A message that cannot be parsed; the error text says why."""


def pack(header, *arrays):
    """Packs a header and arrays into the bytes of a message.

    Args:
        header: JSON values.
        arrays: arrays with one or two bytes per element, stored in C order and little endian; None is skipped.
    """
    text = json.dumps(header, allow_nan=False).encode()
    parts = [array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays if array is not None]
    return b"".join([len(text).to_bytes(_LENGTH, "little"), text, *parts])


def unpack(message):
    """Splits a message into (header, a dict of JSON values; the bytes after it).

    Raises:
        FramingError: the header is truncated, longer than MAX_HEADER, not a JSON object, or not strict JSON (NaN, or a repeated name).
    """
    size = int.from_bytes(message[:_LENGTH], "little")
    if len(message) < _LENGTH or size > min(MAX_HEADER, len(message) - _LENGTH):
        raise FramingError(f"the message of {len(message)} bytes should begin with the length of its header, at most {MAX_HEADER}")
    return parsed(message[_LENGTH : _LENGTH + size]), memoryview(message)[_LENGTH + size :]


def parsed(text):
    """Parses strict JSON (bytes) into a dict; raises FramingError as `unpack` does."""
    try:
        header = json_values.parse(text)
    except ValueError as error:
        raise FramingError(f"the header is not JSON ({str(error)[:100]})") from None
    if not isinstance(header, dict):
        raise FramingError("the header is JSON, but not an object")
    return header


def array_of(data, dtype, shape, name):
    """(array of dtype and shape, the bytes after it), read from bytes; raises FramingError with the array's name if there are too few."""
    dtype, count = np.dtype(dtype).newbyteorder("<"), int(np.prod(shape))
    if len(data) < count * dtype.itemsize:
        raise FramingError(f"{name} should be {'x'.join(map(str, shape))} {dtype.name}, but {len(data)} bytes are left")
    array = np.frombuffer(data, dtype, count).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False), data[count * dtype.itemsize :]
