"""The segmentation nets, and the way they are run, match the published tools: on recipe weights, and ESPNet on its published weights."""
import os
import pathlib

import jax
import numpy as np
import pytest
from goldens import BESIDE, golden_arrays, golden_dir, needs_photos, net_cases, skip_without, stored_groups, thinned, thinning
from recipe import recipe_weights

from oasis_jax.metrics.nets import deeplab, drn, espnet, upernet
from oasis_jax.metrics.nets.weights import read_weights
from oasis_jax.metrics.segmentation import confusion_matrix

PHOTOS = "eval/espnet_camvid_logits"
each_drn, each_upernet, each_deeplab = (
    pytest.mark.parametrize("case", net_cases(net)) for net in ("drn_d_105", "upernet101_ade20k", "deeplabv2_resnet101_msc")
)


def espnet_weights():
    """Path of the published weights: OASIS_ESPNET_WEIGHTS, or a file next to a golden folder. Skips the test if there are none."""
    given = os.environ.get("OASIS_ESPNET_WEIGHTS")
    paths = [pathlib.Path(given)] if given else [folder.parent / "weights" / "espnet_camvid.npz" for folder in (golden_dir(), BESIDE)]
    for path in paths:
        if path.is_file():
            return path
    pytest.skip(f"no weights of ESPNet at {' or '.join(map(str, paths))}: set OASIS_ESPNET_WEIGHTS to their file")


def read(name, segmenter):
    """(golden arrays, variables, the image as a batch)."""
    skip_without(name, "image")
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


def skip_without_any(case, *names):
    """Skips a test if a case stores none of these arrays, whole or thinned."""
    if not any(thinning(key, name) for key in golden_arrays(case) for name in names):
        pytest.skip(f"{case} stores none of {', '.join(names)}")


def assert_maps_close_if_stored(compute, golden, name):
    """Compares the output of `compute`, if the case stores it."""
    if any(thinning(key, name) for key in golden):
        assert_maps_close(compute(), golden, name)


@each_drn
def test_drn_equals_the_published_net(case):
    single = drn.DRNSegmenter()
    skip_without_any(case, "logits", "logsoftmax", "argmax")
    golden, variables, image = read(case, single)
    assert_maps_close_if_stored(lambda: single.logits(variables, image), golden, "logits")
    assert_maps_close_if_stored(lambda: single.log_probabilities(variables, image), golden, "logsoftmax")
    if "argmax" in golden:
        assert_share(single.segment(variables, image, image.shape[1:3])[0], golden["argmax"])


@pytest.mark.slow
@each_drn
def test_drn_equals_the_published_net_at_six_scales(case):
    skip_without(case, "ms_sum", "ms_argmax")
    six = drn.DRNSegmenter(multi_scale=True)
    golden, variables, image = read(case, six)
    total = six.log_probabilities(variables, image)
    assert_maps_close(total, golden, "ms_sum", relative=1e-4)
    assert_share(total.argmax(-1)[0], golden["ms_argmax"])


@pytest.mark.slow
@each_upernet
def test_upernet_equals_the_published_net(case):
    segmenter = upernet.UPerNetSegmenter()
    skip_without_any(case, "logits", "prob", "argmax")
    golden, variables, image = read(case, segmenter)
    assert_maps_close_if_stored(lambda: segmenter.logits(variables, image), golden, "logits")
    segmenter = upernet.UPerNetSegmenter(short_side=min(image.shape[1:3]))
    if upernet.input_size(image.shape[1:3], segmenter.short_side) != image.shape[1:3]:
        pytest.skip(f"the tool would resize {case}: its sides {image.shape[1:3]} are no multiples of 32, or above 1000")
    size = tuple(golden.get("seg_size", image.shape[1:3]))
    if any(thinning(key, "prob") for key in golden):
        probabilities = chw(segmenter.probabilities(variables, image, size))
        expected, step = thinned(golden, "prob")
        np.testing.assert_allclose(probabilities[:, ::step, ::step], expected, rtol=0, atol=5e-4)
    if "argmax" in golden:
        assert_share(segmenter.segment(variables, image, size)[0], golden["argmax"])


@pytest.mark.slow  # the test above compares what is computed from the encoder's output
@each_upernet
def test_encoder_of_upernet_equals_the_published_one(case):
    means = [int(number) for number in stored_groups(case, r"enc_mean_c(\d+)")] if case else []
    if not means:
        pytest.skip(f"{case} has no enc_mean_cN")
    golden, variables, image = read(case, upernet.UPerNetSegmenter())
    encoder = {"params": variables["params"]["encoder"]}
    stages = jax.jit(upernet.Encoder().apply)(encoder, upernet.preprocess(image))  # C2 to C5
    for i in means:
        assert_close(np.asarray(stages[i - 2])[0].mean((0, 1)), golden[f"enc_mean_c{i}"])


@each_deeplab
def test_deeplab_equals_the_published_net_at_all_its_scales(case):
    segmenter = deeplab.DeepLabSegmenter()
    skip_without_any(case, "logits_msc", "argmax")
    golden, variables, image = read(case, segmenter)
    assert_maps_close_if_stored(lambda: segmenter.logits(variables, image), golden, "logits_msc")
    if "argmax" in golden:
        assert_share(segmenter.segment(variables, image, image.shape[1:3])[0], golden["argmax"])


@pytest.mark.slow  # the quick test compares the maximum over this scale and the others
@each_deeplab
def test_deeplab_equals_the_published_net_at_one_scale(case):
    skip_without(case, "logits_base")
    golden, variables, image = read(case, deeplab.DeepLabSegmenter())
    base = {"params": variables["params"]["base"]}
    assert_maps_close(jax.jit(deeplab.DeepLabV2().apply)(base, deeplab.preprocess(image)), golden, "logits_base")


@needs_photos(f"{PHOTOS}.npz")
@pytest.mark.parametrize("photo", stored_groups(PHOTOS, r"rgb(\d+)"))
def test_espnet_with_its_published_weights_equals_the_published_net_on_photos(photo):
    golden, segmenter = golden_arrays(PHOTOS), espnet.ESPNetSegmenter()
    variables, image = segmenter.variables(read_weights(espnet_weights())), golden[f"rgb{photo}"][None]
    logits, inputs = chw(segmenter.logits(variables, image)), chw(espnet.preprocess(image))
    patch = golden.get(f"input_patch_{photo}")
    if patch is not None:
        np.testing.assert_allclose(inputs[:, : patch.shape[1], : patch.shape[2]], patch, rtol=0, atol=1e-8)
    for step in stored_groups(PHOTOS, rf"logits_s(\d+)_{photo}"):
        np.testing.assert_allclose(logits[:, :: int(step), :: int(step)], golden[f"logits_s{step}_{photo}"], rtol=0, atol=2e-4)
    patch = golden.get(f"logits_patch_{photo}")
    if patch is not None:
        rows, columns = (slice(first, first + count) for first, count in zip((100, 200), patch.shape[1:], strict=True))
        np.testing.assert_allclose(logits[:, rows, columns], patch, rtol=0, atol=2e-4)
    published, label = golden.get(f"argmax{photo}"), golden.get(f"label{photo}")
    if published is None:
        return
    classes = np.asarray(segmenter.segment(variables, image, published.shape))[0]
    assert_share(classes, published, share=0.9999)
    if label is not None and f"conf{photo}" in golden:
        outputs = len(golden[f"conf{photo}"])
        confusion = confusion_matrix(label, published, outputs)
        np.testing.assert_array_equal(confusion, golden[f"conf{photo}"])
        moved = np.abs(confusion_matrix(label, classes, outputs) - confusion).sum()
        assert moved <= 2 * 1e-4 * label.size
