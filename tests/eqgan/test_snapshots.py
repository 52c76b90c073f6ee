"""Laws of reading published snapshots: their arrays are returned bit for bit, nothing in a file is executed, every fault is reported."""
import pickle
import struct

import numpy as np
import pytest

from oasis_jax.eqgan.snapshots import read_snapshot
from tests.snapshot_files import (
    STORAGES,
    Called,
    EasyDict,
    faked,
    layer,
    malicious,
    network,
    parameter,
    pickled,
    snapshot,
    storage_bytes,
    stored,
    tensor,
)

RNG = np.random.default_rng(0)
WEIGHT, CONST = RNG.standard_normal((3, 4, 2), np.float32), RNG.standard_normal((2, 4, 4), np.float32)


def whole_snapshot():
    """Returns a snapshot with everything that a real one has, and {name: array} of its G."""
    conv = network("Conv2dLayer", 4, 3, parameters={"weight": parameter(WEIGHT), "bias": None}, buffers={"filter": tensor(CONST[0])})
    sequential = layer("container", "Sequential", modules={"0": layer("activation", "LeakyReLU"), "1": conv})
    norm = layer("instancenorm", "InstanceNorm2d", parameters={"weight": None})
    block = network("SynthesisBlock", parameters={"const": parameter(CONST)}, modules={"sel": sequential, "norm": norm, "off": None})
    leftover = {"heatmap": {"b8": tensor(CONST)}, "heatmap_to_process": [tensor(CONST)], "_non_persistent_buffers_set": {"a"}}
    generator = network(
        "Generator",
        kwargs={"z_dim": 4, "gain": np.float64(0.1), "synthesis_kwargs": EasyDict(channel_base=8, sides=(4, [8], None, "x", True))},
        modules={"b4": block},
        buffers={"w_avg": tensor(np.asarray(np.float32(0.25)))},
        **leftover,
    )
    hooks = {3: faked("training.loss", "activation_hook"), 4: faked("training.loss", "grad_hook")}
    whole = snapshot(G=generator, D=network("Discriminator", 7, _forward_hooks=hooks))
    names = {"w_avg": np.float32(0.25), "b4.const": CONST, "b4.sel.1.weight": WEIGHT, "b4.sel.1.filter": CONST[0]}
    return whole, names


@pytest.fixture
def read(tmp_path):
    """A function that reads a snapshot, given as an object or as bytes."""

    def read_value(value, protocol=3):
        path = tmp_path / "network-snapshot-000100.pkl"
        path.write_bytes(value if isinstance(value, bytes) else pickled(value, protocol))
        return read_snapshot(path)

    return read_value


@pytest.fixture
def refused(read, tmp_path):
    """A function that expects a snapshot to be refused, with an error that names the file and what to give instead."""

    def expect(value, message):
        with pytest.raises(ValueError, match=message) as caught:
            read(value)
        assert str(tmp_path) in str(caught.value) and "give a network-snapshot-*.pkl" in str(caught.value)

    return expect


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_networks_have_the_names_arrays_and_arguments_that_were_saved(read, protocol):
    whole, names = whole_snapshot()
    found = read(whole, protocol)
    assert list(found) == ["G", "D", "G_ema"]
    assert list(found["G"].arrays) == list(names)
    for name, array in names.items():
        np.testing.assert_array_equal(found["G"].arrays[name], array, strict=True)
    sides = {"channel_base": 8, "sides": (4, [8], None, "x", True)}
    assert found["G"].class_name == "Generator" and found["G"].arguments == {"z_dim": 4, "gain": 0.1, "synthesis_kwargs": sides}
    assert type(found["G"].arguments["gain"]) is float
    assert found["D"].class_name == "Discriminator" and found["D"].arguments == {"_init_args": (7,)}
    assert found["D"].arrays == {}


def arrays_of(read, **tensors):
    return read(snapshot(G=network("Generator", buffers=tensors)))["G"].arrays


@pytest.mark.parametrize("dtype", [dtype for dtype in STORAGES if dtype != "bf16"])
def test_numbers_of_each_dtype_are_returned_bit_for_bit(read, dtype):
    array = np.frombuffer(RNG.bytes(24 * np.dtype(dtype).itemsize), np.uint8)
    array = (array & 1 if dtype == "|b1" else array).view(dtype).reshape(4, 6)
    found = arrays_of(read, x=tensor(array))["x"]
    assert found.dtype == np.dtype(dtype) and found.shape == array.shape and found.tobytes() == array.tobytes()


def test_views_of_one_storage_are_arrays_of_their_own(read):
    values = np.arange(24, dtype=np.float32)
    storage = stored(storage_bytes(values))
    found = arrays_of(
        read,
        transposed=tensor(values, storage, 0, (6, 4), (1, 6)),
        tail=tensor(values, storage, 23, (1,), (1,)),
        thinned=tensor(values, storage, 1, (3, 2), (8, 3)),
        repeated=tensor(values, storage, 5, (2, 3), (0, 0)),
        scalar=tensor(values, storage, 7, (), ()),
    )
    expected = {
        "transposed": values.reshape(4, 6).T,
        "tail": values[23:],
        "thinned": np.array([[1, 4], [9, 12], [17, 20]]),
        "repeated": np.full((2, 3), 5),
        "scalar": np.array(7),
    }
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array.astype(np.float32), strict=True)
        assert found[name].flags.owndata and found[name].flags.c_contiguous and found[name].flags.writeable


def test_older_names_of_numpy_and_pytorch_are_known(read):
    old = Called("torch._utils", "_rebuild_tensor", stored(storage_bytes(WEIGHT)), 0, (3, 4, 2), (8, 2, 1))
    whole = pickled(snapshot(G=network("Generator", kwargs={"gain": np.float32(0.5)}, buffers={"x": old})))
    found = read(whole.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))["G"]
    assert found.arguments == {"gain": 0.5}
    np.testing.assert_array_equal(found.arrays["x"], WEIGHT)


@pytest.mark.parametrize("name", malicious(""))
def test_code_is_refused_by_its_name_and_not_executed(refused, tmp_path, name):
    trace = tmp_path / "executed"
    code = malicious(trace)[name]
    refused(code, f"refuses {name}")
    refused(snapshot(G=network("Generator", buffers={"x": tensor(WEIGHT, stored(code))})), f"the storage of G.x .*refuses {name}")
    assert not trace.exists()


def test_the_malicious_pickles_do_what_they_are_for(tmp_path):
    for name in ("os.system", "builtins.eval"):
        trace = tmp_path / name
        opened = pickle.loads(malicious(trace)[name])
        if hasattr(opened, "close"):
            opened.close()
        assert trace.exists()


def test_results_of_calls_cannot_be_called(refused):
    chain = b"\x80\x03ccollections\nOrderedDict\nX\x01\x00\x00\x00a\x85R)R."
    refused(chain, "calls something that is not a name")
    refused(b"\x80\x03X\x01\x00\x00\x00a)R.", "calls something that is not a name")
    refused(b"\x80\x03}}b.", "sets attributes of something that is not an object")


@pytest.mark.parametrize(
    "code, message",
    [
        (b"(cos\nsystem\nX\x01\x00\x00\x00ao.", "refuses os.system"),
        (b"(X\x01\x00\x00\x00aios\nsystem\n.", "instruction INST"),
        (b"\x82\x01.", "instruction EXT1"),
        (b"\x97.", "instruction NEXT_BUFFER"),
        (b"I1\n.", "instruction INT"),
    ],
)
def test_instructions_that_snapshots_do_without_are_refused(refused, code, message):
    refused(b"\x80\x03" + code, message)


def test_references_to_references_do_not_expand(refused):
    """Nested references ("billion laughs") as lists in arguments, as modules, and as a tuple for a key, whose hash would be computed."""
    laughs = []
    for _ in range(60):
        laughs = [laughs, laughs]
    refused(snapshot(G=network("Generator", kwargs={"laughs": laughs})), "G._init_kwargs is nested too deep")
    laughs = []
    for _ in range(30):
        laughs = [laughs, laughs]
    too_large = "G._init_kwargs is nested too deep, or too many values come before it"
    refused(snapshot(G=network("Generator", kwargs={"laughs": laughs})), too_large)
    inner = network("Block")
    for _ in range(30):
        inner = network("Block", modules={"a": inner, "b": inner})
    refused(snapshot(G=inner), "too many values come before it")
    key = b")q\x00" + b"".join(b"h%ch%c\x86q%c" % (level, level, level + 1) for level in range(60))
    refused(b"\x80\x03" + key + b"}h\x3cNs.", "a tuple as a key")


def test_views_of_one_storage_cannot_fill_the_memory(refused):
    values = np.zeros(2, np.float32)
    shape = (10**6, 10**6)
    refused(snapshot(G=network("G", buffers={"x": tensor(values, shape=shape, strides=(0, 0))})), "far larger than the file")
    storage = stored(storage_bytes(np.zeros(10_000, np.float32)))
    many = {f"x{i}": tensor(values, storage, 0, (10_000,), (1,)) for i in range(1000)}
    refused(snapshot(G=network("G", buffers=many)), "far larger than the file")


def test_names_cannot_fill_the_memory(refused):
    refused(snapshot(G=network("G", modules={"n" * 10_000: network("G")})), "too many values come before it")


def test_deep_nesting_is_an_error(refused):
    block = network("Block")
    for _ in range(40):
        block = network("Block", modules={"a": block})
    refused(snapshot(G=block), "is nested too deep")
    refused(b"\x80\x03" + b"]" * 200_000 + b"a" * 199_999 + b".", "a pickle of list")
    refused(b"\x80\x03" + b"]q\x00h\x00a" + b".", "a pickle of list")
    cyclic = {}
    cyclic["a"] = cyclic
    refused(snapshot(G=network("Generator", kwargs=cyclic)), "is nested too deep")


def test_an_endless_pickle_is_an_error(refused):
    refused(b"\x80\x03" + b"N" * 2_000_001 + b".", "more than 2000000 pickle instructions")


@pytest.mark.parametrize("size", [2**20, 2**40, 2**62])
def test_a_claimed_size_allocates_nothing(refused, size):
    refused(b"\x80\x04\x8e" + struct.pack("<Q", size) + b"abc.", "cannot read")
    values = np.zeros(2, np.float32)
    blob = storage_bytes(values, length=size)
    refused(snapshot(G=network("G", buffers={"x": tensor(values, stored(blob))})), f"the storage of G.x .*8 bytes for .* {size}")
    refused(b"\x80\x04Nr\xff\xff\xff\xff.", "a pickle of NoneType")  # Python's unpickler in C would allocate this many references


@pytest.mark.parametrize(
    "options, message",
    [
        ({"strides": (3, 1)}, "reaches to element 8 of a storage of 6"),
        ({"offset": 1}, "reaches to element 7 of a storage of 6"),
        ({"shape": (2, 2**62)}, "reaches to element"),
        ({"strides": (-2, 1)}, "that no array has"),
        ({"offset": -1}, "that no array has"),
        ({"shape": (0, 2)}, "that no array has"),
        ({"shape": (3,)}, "that no array has"),
        ({"shape": (3, 2.0)}, "that no array has"),
        ({"shape": [3, 2]}, "that no array has"),
        ({"shape": (1,) * 9, "strides": (1,) * 9}, "that no array has"),
        ({"storage": EasyDict(a=1)}, "has dict in place of a storage"),
    ],
)
def test_views_outside_of_their_storage_are_refused(refused, options, message):
    values = np.zeros((3, 2), np.float32)
    refused(snapshot(G=network("G", buffers={"x": tensor(values, **options)})), f"G.x .*{message}")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"length": -1}, "given as -1"),
        ({"length": 7}, "24 bytes for a number of elements that is given as 7"),
        ({"extra": b"more"}, "28 bytes"),
        ({"view": ("1", 0, 3)}, "something other than one whole storage"),
        ({"key": "1"}, "something other than one whole storage"),
        ({"little_endian": False}, "big-endian"),
        ({"magic": 1}, "does not begin as torch.save begins"),
        ({"kind": "BFloat16Storage"}, "refuses torch.BFloat16Storage"),
    ],
)
def test_faults_of_a_storage_are_named(refused, options, message):
    values = np.zeros((3, 2), np.float32)
    storage = stored(storage_bytes(values, **options))
    refused(snapshot(G=network("G", buffers={"x": tensor(values, storage)})), f"the storage of G.x cannot be read: .*{message}")


def test_a_truncated_file_is_an_error(refused):
    data = pickled(whole_snapshot()[0])
    for length in [*range(1, 200), *range(200, len(data), 97), len(data) - 1]:
        refused(data[:length], "cannot read")


def test_a_truncated_storage_is_an_error(refused):
    blob = storage_bytes(WEIGHT)
    for length in range(0, len(blob), 7):
        refused(snapshot(G=network("G", buffers={"x": tensor(WEIGHT, stored(blob[:length]))})), "the storage of G.x cannot be read")


def test_a_damaged_file_is_read_or_refused_and_nothing_else(read):
    data = bytearray(pickled(whole_snapshot()[0]))
    rng = np.random.default_rng(1)
    for position in rng.integers(0, len(data), 1000):
        damaged = bytes(data[:position]) + rng.bytes(1) + bytes(data[position + 1 :])
        try:
            read(damaged)
        except ValueError as error:
            assert "cannot read" in str(error)


@pytest.mark.parametrize(
    "value, message",
    [
        (b"", "it is empty"),
        (b"PK\x03\x04 and so on", "zip archive"),
        (b"text\n", "cannot read"),
        (storage_bytes(WEIGHT), "it is a pickle of int"),
        ({"w": tensor(WEIGHT)}, "it has no G, D, G_ema among its entries w"),
        ({"G": network("G"), "D": network("D")}, "it has no G_ema among its entries G, D"),
        (snapshot(D=None), "D is NoneType, not a network"),
        (snapshot(G=EasyDict(state=1)), "G is dict, not a network"),
        (snapshot(G=tensor(WEIGHT)), "G is torch._utils._rebuild_tensor_v2, not a network"),
        (snapshot(G=network("G", modules={"a": WEIGHT.tolist()})), "G.a is list, not a network or a layer"),
        (snapshot(G=network("G", buffers={"a": 1.0})), "G.a is float, not a tensor"),
        (snapshot(G=network("G", kwargs={"a": tensor(WEIGHT)})), "G._init_kwargs holds torch._utils._rebuild_tensor_v2, not a plain value"),
        (snapshot(G=network("G", _buffers=[])), "G has list as its _buffers"),
        (snapshot(G=Called("dnnlib.tflib.network", "Network")), "refuses dnnlib.tflib.network.Network"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_other_files_are_errors_that_say_what_they_are(refused, value, message):
    refused(value, message)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    for path in (tmp_path / "absent.pkl", tmp_path):
        with pytest.raises(ValueError, match=f"cannot read {path}"):
            read_snapshot(path)
