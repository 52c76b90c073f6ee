"""Reads published snapshots (network-snapshot-*.pkl) of EqGAN-SA and StyleGAN2-ADA-PyTorch, without PyTorch.

A snapshot is a pickle of whole networks and their source text. It is read as data (`pickles`), so nothing in it is executed. A network's
arrays are those of its `_parameters` and `_buffers`, and of its `_modules`; whatever else its modules hold is ignored.
"""
import dataclasses
import io
import math
import os
import pathlib
import struct
from typing import Any

import numpy as np

from oasis_jax.eqgan.pickles import DICTS, PERSISTENT_ID, Call, Global, replay
from oasis_jax.files import expanded

NETWORKS = ("G", "D", "G_ema")

_PERSISTENT_CLASS = "torch_utils.persistence._reconstruct_persistent_obj"
_MODULES = {
    "torch.nn.modules.activation.LeakyReLU",
    "torch.nn.modules.container.Sequential",
    "torch.nn.modules.instancenorm.InstanceNorm2d",
}
_PARAMETERS = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
_TENSORS = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"}
_STORAGE = "torch.storage._load_from_bytes"
_SCALARS = {"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"}
_IGNORED = {"builtins.set", "numpy.dtype", "training.loss.activation_hook", "training.loss.grad_hook"}
_NAMES = {_PERSISTENT_CLASS, _STORAGE} | _MODULES | _PARAMETERS | _TENSORS | _SCALARS | _IGNORED | DICTS

_DTYPES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "<i1",
    "torch.ByteStorage": "<u1",
    "torch.BoolStorage": "?",
}
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # in files that torch.save writes without a zip archive

# Limits far above what a network for 1024 pixels needs. Without them, nested references could expand a small file without end.
_MAX_INSTRUCTIONS = 2_000_000
_MAX_STORAGE_INSTRUCTIONS = 500
_MAX_VALUES = 100_000
_MAX_DEPTH = 32
_MAX_NAME = 1_000
_MAX_DIMENSIONS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """One network of a snapshot.

    Attributes:
        class_name: name of its PyTorch class, such as "Generator".
        arguments: keyword arguments of its constructor, nested plain values; positional ones, if any, are the tuple "_init_args".
        arrays: parameters and buffers in PyTorch's names, layouts, dtypes and order.
    """

    class_name: str
    arguments: dict[str, Any]
    arrays: dict[str, np.ndarray]


def read_snapshot(path):
    """The networks of a snapshot: {"G": Network, "D": Network, "G_ema": Network}. Nothing that the file holds is executed.

    Raises:
        ValueError: the file cannot be read, is truncated, is not a snapshot, or holds something that snapshots do not hold.
    """
    path = pathlib.Path(expanded(path))
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, ValueError) as error:
        message = f"cannot read {path} as a snapshot: {error}; give a network-snapshot-*.pkl of EqGAN-SA or StyleGAN2-ADA-PyTorch"
        raise ValueError(message) from error


def _read(file):
    if file.read(4) == b"PK\x03\x04":
        raise ValueError("it is a zip archive, as torch.save writes for a state dict")
    size = file.seek(0, os.SEEK_END)
    if not size:
        raise ValueError("it is empty")
    file.seek(0)
    root = replay(file, _NAMES, _MAX_INSTRUCTIONS)
    if not isinstance(root, dict):
        raise ValueError(f"it is a pickle of {_kind(root)}, not of a dict of networks")
    missing = [name for name in NETWORKS if name not in root]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)} among its entries {', '.join(str(key)[:40] for key in list(root)[:8])}")
    reader = _Reader(max_bytes=4 * size + 2**20)
    return {name: reader.network(root[name], name) for name in NETWORKS}


class _Reader:
    """Turns records into networks, within limits that hold for all of them together.

    Args:
        max_bytes: limit of the size of all arrays. It exceeds the length of the file, because arrays may share a storage.
    """

    def __init__(self, max_bytes):
        self._values_left, self._bytes_left, self._storages = _MAX_VALUES, max_bytes, {}

    def network(self, record, name):
        class_name, state = _module(record, name)
        arguments = self._plain(_entry(state, "_init_kwargs", dict, name), f"{name}._init_kwargs")
        positional = self._plain(_entry(state, "_init_args", tuple, name), f"{name}._init_args")
        return Network(
            class_name=class_name,
            arguments=arguments | ({"_init_args": positional} if positional else {}),
            arrays={key.removeprefix(f"{name}."): array for key, array in self._arrays(record, name)},
        )

    def _arrays(self, record, name, depth=0):
        """Yields (name, array) in the order of PyTorch's state_dict."""
        self._count(name, depth)
        _, state = _module(record, name)
        for group in ("_parameters", "_buffers"):
            for key, tensor in _entry(state, group, dict, name).items():
                if tensor is not None:
                    yield f"{name}.{key}", self._tensor(tensor, f"{name}.{key}")
        for key, module in _entry(state, "_modules", dict, name).items():
            if module is not None:
                yield from self._arrays(module, f"{name}.{key}", depth + 1)

    def _tensor(self, record, name):
        self._count(name)
        if _is_call(record, _PARAMETERS) and record.args:
            record = record.args[0]
        if not _is_call(record, _TENSORS) or len(record.args) < 4:
            raise ValueError(f"{name} is {_kind(record)}, not a tensor")
        storage, offset, shape, strides = record.args[:4]
        values = self._storage(storage, name)
        if not _is_view(offset, shape, strides):
            raise ValueError(f"{name} has an offset, shape or strides that no array has")
        end = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True)) + 1
        if end > values.size:
            raise ValueError(f"{name} reaches to element {end} of a storage of {values.size}")
        self._bytes_left -= math.prod(shape) * values.itemsize
        if self._bytes_left < 0:
            raise ValueError(f"{name} and the arrays before it are far larger than the file")
        byte_strides = [stride * values.itemsize for stride in strides]
        return np.array(np.lib.stride_tricks.as_strided(values[offset:], shape, byte_strides, writeable=False), order="C")

    def _storage(self, record, name):
        """The flat array of a storage, a view of the file's bytes."""
        if not _is_call(record, {_STORAGE}) or len(record.args) != 1 or not isinstance(record.args[0], bytes):
            raise ValueError(f"{name} has {_kind(record)} in place of a storage")
        blob = record.args[0]
        if id(blob) not in self._storages:
            try:
                self._storages[id(blob)] = _stored_values(blob)
            except ValueError as error:
                raise ValueError(f"the storage of {name} cannot be read: {error}") from error
        return self._storages[id(blob)]

    def _plain(self, value, name, depth=0):
        self._count(name, depth)
        if isinstance(value, dict):
            return {key: self._plain(item, name, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._plain(item, name, depth + 1) for item in value)
        if _is_call(value, _SCALARS):
            return _scalar(value, name)
        if isinstance(value, Call | Global):
            raise ValueError(f"{name} holds {_kind(value)}, not a plain value")
        return value

    def _count(self, name, depth=0):
        self._values_left -= 1
        if depth > _MAX_DEPTH or self._values_left < 0 or len(name) > _MAX_NAME:
            raise ValueError(f"{name[:200]} is nested too deep, or too many values come before it")


def _module(record, name):
    """(class name, attributes) of a PyTorch module."""
    if _is_call(record, {_PERSISTENT_CLASS}) and len(record.args) == 1 and isinstance(record.args[0], dict):
        meta = record.args[0]
        return _entry(meta, "class_name", str, name), _entry(meta, "state", dict, name)
    if _is_call(record, _MODULES) and isinstance(record.state, dict):
        return record.name.rpartition(".")[2], record.state
    raise ValueError(f"{name} is {_kind(record)}, not a network or a layer of one")


def _is_view(offset, shape, strides):
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or not len(shape) == len(strides) <= _MAX_DIMENSIONS:
        return False
    return all(type(n) is int for n in (offset, *shape, *strides)) and min(offset, *strides, 0) >= 0 and min(shape, default=1) >= 1


def _stored_values(blob):
    """The flat array in the bytes of one storage, as torch.save without a zip archive writes it.

    That is four pickles (magic number, protocol version, properties of the machine, the storage as a persistent id), a pickled list of
    keys, the number of elements as int64, and the elements.
    """
    stream = io.BytesIO(blob)
    magic, protocol, machine, storage, keys = (replay(stream, _DTYPES, _MAX_STORAGE_INSTRUCTIONS) for _ in range(5))
    if type(magic) is not int or magic != _MAGIC or type(protocol) is not int or protocol != _PROTOCOL:
        raise ValueError("it does not begin as torch.save begins")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("it was written on a big-endian machine")
    if not _is_call(storage, {PERSISTENT_ID}) or not isinstance(storage.args, tuple) or len(storage.args) not in (5, 6):
        raise ValueError(f"it holds {_kind(storage)}, not a storage")
    kind, dtype, key, _, length, *view = storage.args
    if kind != "storage" or not isinstance(dtype, Global) or view not in ([], [None]) or not isinstance(key, str) or keys != [key]:
        raise ValueError("it holds something other than one whole storage")
    dtype, start = np.dtype(_DTYPES[dtype.name]), stream.tell() + 8
    (counted,) = struct.unpack("<q", blob[start - 8 : start]) if len(blob) >= start else (-1,)
    if type(length) is not int or counted != length or length < 0 or len(blob) - start != length * dtype.itemsize:
        raise ValueError(f"it has {len(blob) - start} bytes for a number of elements that is given as {length} and {counted}")
    return np.frombuffer(blob, dtype, offset=start)


def _scalar(record, name):
    """The Python number of a pickled numpy scalar."""
    dtype, data = record.args if len(record.args) == 2 else (None, None)
    code = dtype.args[0] if _is_call(dtype, {"numpy.dtype"}) and dtype.args else None
    order = dtype.state[1] if code and isinstance(dtype.state, tuple) and len(dtype.state) > 1 else None
    sizes = {"f8": 8, "f4": 4, "f2": 2, "i8": 8, "i4": 4, "i2": 2, "i1": 1, "u1": 1, "b1": 1}
    if not isinstance(code, str) or order not in ("<", "|") or not isinstance(data, bytes) or len(data) != sizes.get(code):
        raise ValueError(f"{name} holds a numpy scalar that is not a little-endian number")
    return np.frombuffer(data, f"<{code}").item()


def _entry(values, key, kind, name):
    if not isinstance(values.get(key), kind):
        raise ValueError(f"{name} has {_kind(values.get(key))} as its {key}, not a {kind.__name__}")
    return values[key]


def _is_call(value, names):
    return isinstance(value, Call) and isinstance(value.args, tuple) and value.name in names


def _kind(value):
    return value.name if isinstance(value, Call | Global) else type(value).__name__
