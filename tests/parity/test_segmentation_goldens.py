"""The segmentation nets and the ways they are run equal the published tools: on recipe weights, and ESPNet on its own."""
import jax
import numpy as np
import pytest
from goldens import golden_dir
from recipe import recipe_weights

from oasis_jax.metrics.nets import deeplab, drn, espnet, upernet
from oasis_jax.metrics.nets.weights import read_weights
from oasis_jax.metrics.segmentation import confusion_matrix

FOLDER = golden_dir() / "eval"
ESPNET_WEIGHTS = golden_dir().parent / "weights" / "espnet_camvid.npz"
pytestmark = pytest.mark.skipif(not (FOLDER / "drn_d_105.npz").is_file(), reason="the golden set at hand has no segmentation nets")


def stored(name):
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def case(name, segmenter):
    """(golden arrays, variables, the image as a batch)."""
    golden = stored(name)
    return golden, segmenter.variables(recipe_weights(FOLDER / f"{name}.manifest.json")), golden["image"][None]


def chw(batch):
    """The one example of a batch (1, H, W, C), as the goldens store it."""
    return np.asarray(batch)[0].transpose(2, 0, 1)


def assert_close(found, expected, relative=2e-5):
    assert np.abs(found - expected).max() <= relative * np.abs(expected).max()


def assert_share(found, expected, share=0.999):
    assert np.mean(np.asarray(found) == expected) >= share


def test_drn_equals_the_published_net_at_one_scale_and_at_six():
    golden, variables, image = case("drn_d_105", drn.DRNSegmenter())
    single, six = drn.DRNSegmenter(), drn.DRNSegmenter(multi_scale=True)
    assert_close(chw(single.logits(variables, image)), golden["logits"])
    assert_close(chw(single.log_probabilities(variables, image))[:, ::4, ::4], golden["logsoftmax_s4"])
    assert_share(single.segment(variables, image, (64, 128))[0], golden["argmax"])
    total = six.log_probabilities(variables, image)
    assert_close(chw(total)[:, ::4, ::4], golden["ms_sum_s4"], relative=1e-4)
    assert_share(total.argmax(-1)[0], golden["ms_argmax"])


def test_upernet_equals_the_published_net():
    segmenter = upernet.UPerNetSegmenter(short_side=192)
    golden, variables, image = case("upernet101_ade20k", segmenter)
    assert_close(chw(segmenter.logits(variables, image))[:, ::2, ::2], golden["logits_s2"])
    size = tuple(golden["seg_size"])
    probabilities = chw(segmenter.probabilities(variables, image, size))
    np.testing.assert_allclose(probabilities[:, ::8, ::8], golden["prob_s8"], rtol=0, atol=5e-4)
    assert_share(segmenter.segment(variables, image, size)[0], golden["argmax"])
    encoder = {"params": variables["params"]["encoder"]}
    stages = jax.jit(upernet.Encoder().apply)(encoder, upernet.preprocess(image))
    for i, stage in enumerate(stages, start=2):
        assert_close(np.asarray(stage)[0].mean((0, 1)), golden[f"enc_mean_c{i}"])


def test_deeplab_equals_the_published_net():
    segmenter = deeplab.DeepLabSegmenter()
    golden, variables, image = case("deeplabv2_resnet101_msc", segmenter)
    assert_close(chw(segmenter.logits(variables, image)), golden["logits_msc"])
    assert_share(segmenter.segment(variables, image, image.shape[1:3])[0], golden["argmax"])
    base = {"params": variables["params"]["base"]}
    assert_close(chw(jax.jit(deeplab.DeepLabV2().apply)(base, deeplab.preprocess(image)))[:, ::2, ::2], golden["logits_base_s2"])


@pytest.mark.skipif(not ESPNET_WEIGHTS.is_file(), reason="no weights of ESPNet beside the golden cases")
def test_espnet_with_its_published_weights_equals_the_published_net_on_photos():
    golden, segmenter = stored("espnet_camvid_logits"), espnet.ESPNetSegmenter()
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
