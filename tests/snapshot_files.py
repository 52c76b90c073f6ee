"""Snapshots written by Python's own pickle module, from objects that have the same names as PyTorch's."""
import io
import pickle
import struct
import sys
import types
from unittest import mock

import numpy as np

STORAGES = {
    "<f8": "DoubleStorage",
    "<f4": "FloatStorage",
    "<f2": "HalfStorage",
    "<i8": "LongStorage",
    "<i4": "IntStorage",
    "|u1": "ByteStorage",
    "|b1": "BoolStorage",
    "bf16": "BFloat16Storage",
}
FAKED = {}


def faked(module, name):
    """A class that pickles as "module.name"."""
    FAKED[module, name] = FAKED.get((module, name)) or type(name, (), {"__module__": module})
    return FAKED[module, name]


class EasyDict(dict):
    pass


EasyDict.__module__ = "dnnlib.util"
FAKED["dnnlib.util", "EasyDict"] = EasyDict


class Called:
    """Pickles as a call of "module.name"."""

    def __init__(self, module, name, *args):
        self.reduced = faked(module, name), args

    def __reduce__(self):
        return self.reduced


class StoragePickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.id if isinstance(value, types.SimpleNamespace) else None


def pickled(value, protocol=3, pickler=pickle.Pickler):
    modules = {}
    for (module, name), made in FAKED.items():
        for depth in range(1, module.count(".") + 2):
            part = ".".join(module.split(".")[:depth])
            modules.setdefault(part, types.ModuleType(part))
        setattr(modules[module], name, made)
    stream = io.BytesIO()
    with mock.patch.dict(sys.modules, modules):
        pickler(stream, protocol).dump(value)
    return stream.getvalue()


def storage_bytes(values, kind=None, length=None, view=None, little_endian=True, magic=0x1950A86A20F9469CFC6C, key="94201", extra=b""):
    """One storage as torch.save wrote it before it wrote zip archives."""
    length = values.size if length is None else length
    identity = types.SimpleNamespace(id=("storage", faked("torch", kind or STORAGES[values.dtype.str]), key, "cpu", length, view))
    machine = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickled(part, 2, StoragePickler) for part in (magic, 1001, machine, identity, ["94201"])]
    return b"".join(parts) + struct.pack("<q", length) + values.tobytes() + extra


def stored(blob):
    return Called("torch.storage", "_load_from_bytes", blob)


def tensor(array, storage=None, offset=0, shape=None, strides=None):
    """A pickled tensor of an array, or a view of a storage."""
    storage = storage or stored(storage_bytes(array))
    shape = array.shape if shape is None else shape
    strides = tuple(stride // array.itemsize for stride in array.strides) if strides is None else strides
    return Called("torch._utils", "_rebuild_tensor_v2", storage, offset, shape, strides, False, EasyDict())


def parameter(*args, **kwargs):
    return Called("torch._utils", "_rebuild_parameter", tensor(*args, **kwargs), True, EasyDict())


def attributes(parameters=None, buffers=None, modules=None, **others):
    return {"training": False, "_parameters": parameters or {}, "_buffers": buffers or {}, "_modules": modules or {}, **others}


def network(name, *args, kwargs=None, **members):
    """A persistent object, which carries its source text."""
    state = attributes(**members) | {"_init_args": args, "_init_kwargs": EasyDict(kwargs or {})}
    meta = EasyDict(type="class", version=6, module_src="raise SystemExit", class_name=name, state=state)
    return Called("torch_utils.persistence", "_reconstruct_persistent_obj", meta)


def layer(module, name, **members):
    made = faked(f"torch.nn.modules.{module}", name)()
    made.__dict__.update(attributes(**members))
    return made


def snapshot(**networks):
    networks = {"G": network("Generator"), "D": network("Discriminator"), "G_ema": network("Generator")} | networks
    return {"training_set_kwargs": EasyDict(path="x.zip", resolution=8), **networks, "augment_pipe": None}


def network_of(name, arrays, kwargs):
    """A network with the arrays {dotted name: array}: nested modules, in which filters, means and noise maps are buffers."""
    parameters, buffers, inner = {}, {}, {}
    for key, array in arrays.items():
        first, _, rest = key.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = array
        elif key in ("resample_filter", "w_avg", "noise_const"):
            buffers[key] = tensor(np.array(array, order="C"))
        else:
            parameters[key] = parameter(np.array(array, order="C"))
    modules = {first: network_of("Layer", rest, {}) for first, rest in inner.items()}
    return network(name, kwargs=kwargs, parameters=parameters, buffers=buffers, modules=modules)


def malicious(path):
    """{the name that must be refused: a pickle that calls it}; if they were executed, most of them would create the file `path`."""
    call = f"open({str(path)!r}, 'w')".encode()
    name = str(path).encode()
    return {
        "os.system": b"\x80\x03cos\nsystem\nX%b>%b\x85R." % (struct.pack("<I", len(name) + 1), name),
        "builtins.eval": b"\x80\x03cbuiltins\neval\nX%b%b\x85R." % (struct.pack("<I", len(call)), call),
        "builtins.getattr": b"\x80\x03cbuiltins\ngetattr\ncos\npath\nX\x02\x00\x00\x00os\x86R.",
        "os.popen": b"\x80\x04\x8c\x02os\x8c\x05popen\x93X%b>%b\x85R." % (struct.pack("<I", len(name) + 1), name),
    }
