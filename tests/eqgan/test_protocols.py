"""Laws of EqGAN-SA's protocols: the evaluation supports them, and every data set has a default one."""
import pytest

from configs import default
from oasis_jax.eqgan.protocols import PROTOCOLS, default_protocol
from oasis_jax.evaluation.networks import make_metrics
from oasis_jax.metrics import protocols


def test_they_are_of_samples_in_all_need_no_label_maps_and_hide_no_other_protocol():
    for protocol in PROTOCOLS:
        assert protocol.num_samples and protocol.rounded and not protocol.segmenter and not protocol.diversity_maps
        assert any("x1000" in name for metric in make_metrics(protocol) for name in metric.higher_is_better)
    names = [protocol.name for protocol in (*PROTOCOLS, *protocols.PROTOCOLS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("layout", "num_samples"), [("folders", 50_000), ("tfds:lsun/cat", 50_000), ("scenes", 0)])
def test_the_full_protocol_is_established_for_all_data_but_scenes(layout, num_samples):
    config = default.shared()
    config.data.layout = layout
    protocol = protocols.find_protocol(default_protocol(config), PROTOCOLS)
    assert protocol.num_samples == num_samples and not protocol.max_images
    assert (protocol.features, protocol.split) == (("inception", "train") if num_samples else ("", "val"))
