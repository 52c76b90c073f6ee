"""Weights that are missing or wrong are refused before anything is measured, and the message says what to provide."""
import numpy as np
import pytest

from oasis_jax.evaluation import networks
from oasis_jax.evaluation.networks import SEGMENTERS, load_networks
from oasis_jax.metrics.nets.weights import WeightsError
from oasis_jax.metrics.protocols import PROTOCOLS, Protocol
from oasis_jax.oasis import family


def test_weights_of_another_network_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", **{"conv.weight": np.zeros((3, 3, 3, 3))})
    with pytest.raises(WeightsError, match="another network than ESPNet: .*missing.*left over: conv.weight"):
        load_networks(Protocol("x", segmenter="espnet"), {"segmenter": str(tmp_path / "other.npz")})


def test_a_segmenter_without_weights_names_the_field():
    with pytest.raises(WeightsError, match="segments images with ESPNet: .*--config.eval.segmenter_weights"):
        load_networks(Protocol("x", segmenter="espnet"))


def test_a_file_with_another_hash_is_not_read(tmp_path):
    (tmp_path / "inception.pth").write_bytes(b"not the published file")
    with pytest.raises(WeightsError, match="inception.pth has sha256 .* is expected"):
        load_networks(Protocol("x", features="inception"), {"inception": str(tmp_path / "inception.pth")})


def test_every_network_gets_its_own_weights_and_the_images_spread_over_the_devices(monkeypatch, tmp_path):
    class Segmenter:
        def label_size(self, image_size):
            return str(image_size)

        def variables(self, state):
            return "of the segmenter", *state

        def segment(self, variables, images, label_size):
            return [*variables, images]

    monkeypatch.setitem(networks._FEATURES, "vgg16", (lambda path: path, lambda variables, images: (variables, images), 3, 16, "digest"))
    monkeypatch.setitem(networks.SEGMENTERS, "espnet", Segmenter())
    np.savez(tmp_path / "a.npz", name=np.zeros(1))
    files = {"vgg16": "of vgg", "segmenter": str(tmp_path / "a.npz")}
    found = load_networks(Protocol("x", features="vgg16", segmenter="espnet"), files, lambda v: v, lambda images: "spread")
    images = np.zeros((1, 4, 6, 3))
    assert found.extract(images) == ("of vgg", "spread")
    assert found.segment(images).tolist() == ["of the segmenter", "name", "spread"]
    assert (found.dimensions, found.least_side) == (3, 16)
    assert found.sha256["vgg16"] == "digest" and len(found.sha256["segmenter"]) == 64


def test_every_protocol_names_networks_that_exist():
    assert {protocol.segmenter for protocol in (*PROTOCOLS, *family.protocols)} <= {"", *SEGMENTERS}
    assert {protocol.features for protocol in (*PROTOCOLS, *family.protocols)} <= {"", "inception", "vgg16"}
