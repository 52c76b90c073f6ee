"""The segmentation nets and the ways they are run equal the published tools: on recipe weights, and ESPNet on its own."""
import jax
import numpy as np
import pytest
from goldens import golden_arrays, golden_dir, needs, needs_photos, thinned
from recipe import recipe_weights

from oasis_jax.metrics.nets import deeplab, drn, espnet, upernet
from oasis_jax.metrics.nets.weights import read_weights
from oasis_jax.metrics.segmentation import confusion_matrix

ESPNET_WEIGHTS = golden_dir().parent / "weights" / "espnet_camvid.npz"


def needs_net(name, *arrays):
    """Mark of a test that needs outputs of a net, and the manifest of its weights."""
    return needs(f"{name}.npz", f"{name}.manifest.json", arrays=arrays)


def case(name, segmenter):
    """(golden arrays, variables, the image as a batch)."""
    golden = golden_arrays(name)
    return golden, segmenter.variables(recipe_weights(name)), golden["image"][None]


def chw(batch):
    """The one example of a batch (1, H, W, C), as the goldens store it."""
    return np.asarray(batch)[0].transpose(2, 0, 1)


def assert_close(found, expected, relative=2e-5):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= relative * np.abs(expected).max()


def assert_maps_close(found, golden, name, relative=2e-5):
    """Compares an output (1, H, W, C) with the stored one (C, H, W), which may be thinned."""
    expected, step = thinned(golden, name)
    assert_close(chw(found)[:, ::step, ::step], expected, relative)


def assert_share(found, expected, share=0.999):
    assert found.shape == expected.shape
    assert np.mean(np.asarray(found) == expected) >= share


@needs_net("eval/drn_d_105")
def test_drn_equals_the_published_net():
    single = drn.DRNSegmenter()
    golden, variables, image = case("eval/drn_d_105", single)
    assert_maps_close(single.logits(variables, image), golden, "logits")
    assert_maps_close(single.log_probabilities(variables, image), golden, "logsoftmax")
    assert_share(single.segment(variables, image, (64, 128))[0], golden["argmax"])


@needs_net("eval/drn_d_105", "ms_sum", "ms_argmax")
def test_drn_equals_the_published_net_at_six_scales():
    six = drn.DRNSegmenter(multi_scale=True)
    golden, variables, image = case("eval/drn_d_105", six)
    total = six.log_probabilities(variables, image)
    assert_maps_close(total, golden, "ms_sum", relative=1e-4)
    assert_share(total.argmax(-1)[0], golden["ms_argmax"])


@needs_net("eval/upernet101_ade20k")
def test_upernet_equals_the_published_net():
    segmenter = upernet.UPerNetSegmenter(short_side=192)
    golden, variables, image = case("eval/upernet101_ade20k", segmenter)
    assert_maps_close(segmenter.logits(variables, image), golden, "logits")
    size = tuple(golden["seg_size"])
    probabilities = chw(segmenter.probabilities(variables, image, size))
    expected, step = thinned(golden, "prob")
    np.testing.assert_allclose(probabilities[:, ::step, ::step], expected, rtol=0, atol=5e-4)
    assert_share(segmenter.segment(variables, image, size)[0], golden["argmax"])


@needs_net("eval/upernet101_ade20k", *(f"enc_mean_c{i}" for i in range(2, 6)))
def test_encoder_of_upernet_equals_the_published_one():
    golden, variables, image = case("eval/upernet101_ade20k", upernet.UPerNetSegmenter(short_side=192))
    encoder = {"params": variables["params"]["encoder"]}
    stages = jax.jit(upernet.Encoder().apply)(encoder, upernet.preprocess(image))
    for i, stage in enumerate(stages, start=2):
        assert_close(np.asarray(stage)[0].mean((0, 1)), golden[f"enc_mean_c{i}"])


@needs_net("eval/deeplabv2_resnet101_msc")
def test_deeplab_equals_the_published_net_at_all_its_scales():
    segmenter = deeplab.DeepLabSegmenter()
    golden, variables, image = case("eval/deeplabv2_resnet101_msc", segmenter)
    assert_maps_close(segmenter.logits(variables, image), golden, "logits_msc")
    assert_share(segmenter.segment(variables, image, image.shape[1:3])[0], golden["argmax"])


@needs_net("eval/deeplabv2_resnet101_msc", "logits_base")
def test_deeplab_equals_the_published_net_at_one_scale():
    golden, variables, image = case("eval/deeplabv2_resnet101_msc", deeplab.DeepLabSegmenter())
    base = {"params": variables["params"]["base"]}
    assert_maps_close(jax.jit(deeplab.DeepLabV2().apply)(base, deeplab.preprocess(image)), golden, "logits_base")


@pytest.mark.skipif(not ESPNET_WEIGHTS.is_file(), reason="no weights of ESPNet beside the golden cases")
@needs_photos("eval/espnet_camvid_logits.npz")
def test_espnet_with_its_published_weights_equals_the_published_net_on_photos():
    golden, segmenter = golden_arrays("eval/espnet_camvid_logits"), espnet.ESPNetSegmenter()
    variables = segmenter.variables(read_weights(ESPNET_WEIGHTS))
    for i in range(2):
        photo, label = golden[f"rgb{i}"][None], golden[f"label{i}"]
        np.testing.assert_allclose(chw(espnet.preprocess(photo))[:, :8, :8], golden[f"input_patch_{i}"], rtol=0, atol=1e-8)
        logits = chw(segmenter.logits(variables, photo))
        np.testing.assert_allclose(logits[:, ::8, ::8], golden[f"logits_s8_{i}"], rtol=0, atol=2e-4)
        np.testing.assert_allclose(logits[:, 100:116, 200:216], golden[f"logits_patch_{i}"], rtol=0, atol=2e-4)
        classes = np.asarray(segmenter.segment(variables, photo, label.shape))[0]
        assert_share(classes, golden[f"argmax{i}"], share=0.9999)
        confusion = confusion_matrix(label, golden[f"argmax{i}"], 12)
        np.testing.assert_array_equal(confusion, golden[f"conf{i}"])
        moved = np.abs(confusion_matrix(label, classes, 12) - confusion).sum()
        assert moved <= 2 * 1e-4 * label.size
