"""The VGG19 features of the perceptual ablation, on random weights: nothing is downloaded."""
import numpy as np
import pytest

from oasis_jax.metrics.nets.weights import WeightsError, read_weights
from oasis_jax.oasis.perceptual import load_features

WIDTHS = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256, 16: 256, 19: 512, 21: 512, 23: 512, 25: 512, 28: 512}


@pytest.fixture(scope="module")
def weights():
    rng, arrays, channels = np.random.default_rng(0), {}, 3
    for layer, width in WIDTHS.items():
        arrays[f"features.{layer}.weight"] = rng.normal(0, (2 / (9 * channels)) ** 0.5, (width, channels, 3, 3)).astype(np.float32)
        arrays[f"features.{layer}.bias"] = np.zeros(width, np.float32)
        channels = width
    return arrays


def test_features_are_five_levels_with_the_published_weights(weights, tmp_path):
    np.savez(tmp_path / "vgg19.npz", **weights)
    features = load_features(tmp_path / "vgg19.npz")
    image = np.random.default_rng(1).uniform(-1, 1, (1, 32, 48, 3)).astype(np.float32)
    taken = features(image)
    assert [weight for weight, _ in taken] == [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1]
    expected = [(1, 32, 48, 64), (1, 16, 24, 128), (1, 8, 12, 256), (1, 4, 6, 512), (1, 2, 3, 512)]
    assert [feature.shape for _, feature in taken] == expected
    assert all(feature.min() >= 0 and np.isfinite(feature).all() for _, feature in taken)


def test_missing_entries_are_named(weights, tmp_path):
    np.savez(tmp_path / "part.npz", **{name: array for name, array in weights.items() if name != "features.28.bias"})
    with pytest.raises(ValueError, match=r"lacks features\.28\.bias"):
        load_features(tmp_path / "part.npz")


def test_file_that_is_no_npz_is_an_error_and_is_not_unpickled(tmp_path):
    (tmp_path / "vgg19.pth").write_bytes(b"\x80\x04not an npz")
    with pytest.raises(ValueError, match="give an .npz with torchvision's weights"):
        load_features(tmp_path / "vgg19.pth")


@pytest.mark.parametrize("damage", ["cut", "flipped", "method", "npy", "empty"])
def test_a_file_that_was_not_copied_whole_is_an_error_that_names_it(tmp_path, damage):
    path = tmp_path / "vgg19.npz"
    np.savez(path, a=np.zeros(1000), b=np.ones(1000))
    data = bytearray(path.read_bytes())
    method = bytearray(data)
    for header, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):  # an unknown kind of compression
        method[data.index(header) + place] = 1
    data[2000] ^= 255
    contents = {"cut": data[:5000], "flipped": data, "method": method, "empty": b""}
    with open(path, "wb") as file:
        np.save(file, np.zeros(3)) if damage == "npy" else file.write(contents[damage])
    with pytest.raises(ValueError, match=r"loss.vgg_weights=.*vgg19\.npz cannot be read"):
        load_features(path)
    with pytest.raises(WeightsError, match=r"vgg19\.npz is not an .npz of plain arrays"):
        read_weights(path)
