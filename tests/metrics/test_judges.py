"""Weights that are missing or wrong are refused before anything is measured, with the mend."""
import numpy as np
import pytest

from oasis_jax.metrics.judges import SEGMENTERS, load_judges
from oasis_jax.metrics.nets.weights import WeightsError
from oasis_jax.metrics.protocols import PROTOCOLS, Protocol


def test_weights_of_another_network_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", **{"conv.weight": np.zeros((3, 3, 3, 3))})
    with pytest.raises(WeightsError, match="another network than ESPNet: .*missing.*left over: conv.weight"):
        load_judges(Protocol("x", segmenter="espnet"), {"segmenter": str(tmp_path / "other.npz")})


def test_a_segmenter_without_weights_names_the_field():
    with pytest.raises(WeightsError, match="labels images by ESPNet: .*--config.eval.segmenter_weights"):
        load_judges(Protocol("x", segmenter="espnet"))


def test_a_file_with_another_hash_is_not_read(tmp_path):
    (tmp_path / "inception.pth").write_bytes(b"not the published file")
    with pytest.raises(WeightsError, match="inception.pth has sha256 .* is expected"):
        load_judges(Protocol("x", features="inception"), {"inception": str(tmp_path / "inception.pth")})


def test_every_protocol_names_networks_that_exist():
    assert {protocol.segmenter for protocol in PROTOCOLS.values()} <= {"", *SEGMENTERS}
    assert {protocol.features for protocol in PROTOCOLS.values()} <= {"", "inception", "vgg16"}
