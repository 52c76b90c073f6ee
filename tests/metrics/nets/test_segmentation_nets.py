"""Laws of the segmentation nets: their inputs, the meaning of their labels, and how scales are combined. Needs no published weights."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from oasis_jax.metrics.nets import deeplab, drn, espnet, upernet
from oasis_jax.metrics.nets.images import BICUBIC, BILINEAR, resize_images
from oasis_jax.metrics.nets.label_spaces import ADE20K, CAMVID, CITYSCAPES, COCO_STUFF, IGNORED
from oasis_jax.metrics.nets.weights import WeightsError
from oasis_jax.metrics.segmentation import MeanOver, confusion_matrix, mean_iou
from oasis_jax.parallel.mesh import make_mesh, over_batch

RED = np.full((1, 8, 8, 3), (255, 0, 0), np.uint8)


def random_images(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (2, *size, 3)).astype(np.uint8)


def test_sides_that_are_no_multiple_of_eight_are_an_error_that_names_them():
    with pytest.raises(ValueError, match="ESPNet takes heights and widths divisible by 8, not 60x64"):
        jax.eval_shape(espnet.ESPNet().init, jax.random.key(0), jnp.zeros((1, 60, 64, 3)))
    for segmenter in (drn.DRNSegmenter(), drn.DRNSegmenter(multi_scale=True)):
        with pytest.raises(ValueError, match="DRN-D-105 takes heights and widths divisible by 8, not 60x64"):
            segmenter.label_size((60, 64))
        with pytest.raises(ValueError, match="divisible by 8, not 60x64"):
            segmenter.segment({}, random_images((60, 64)), (60, 64))
    assert drn.DRNSegmenter(upsample_to=drn.UPSAMPLED).label_size((60, 64)) == drn.UPSAMPLED


def test_scaled_copies_that_drn_sees_may_have_any_sides(monkeypatch):
    size, seen = (8, 88), []

    def logits(variables, images):
        seen.append(images.shape[1:3])
        outputs, _ = jax.eval_shape(drn.DRN105().init_with_output, jax.random.key(0), jax.ShapeDtypeStruct(images.shape, jnp.float32))
        assert outputs.shape == (2, *(-(-side // 8) for side in images.shape[1:3]), 19)
        return jnp.zeros(outputs.shape).at[..., 3].set(1)

    monkeypatch.setattr(drn, "_logits", logits)
    classes = drn.DRNSegmenter(multi_scale=True).segment({}, random_images(size), size)
    assert any(side % 8 for copy in seen for side in copy)
    np.testing.assert_array_equal(classes, np.full((2, *size), 3))


def test_label_maps_of_another_size_than_the_tool_compares_are_an_error():
    with pytest.raises(ValueError, match="360x480, not 96x128"):
        espnet.ESPNetSegmenter().segment({}, random_images((96, 128)), (96, 128))
    with pytest.raises(ValueError, match="1024x2048, not 64x128"):
        drn.DRNSegmenter(upsample_to=drn.UPSAMPLED).segment({}, random_images((64, 128)), (64, 128))


def test_arrays_of_another_net_are_an_error():
    with pytest.raises(WeightsError, match="another network than ESPNet"):
        espnet.ESPNetSegmenter().variables({"seg.weight": np.zeros((19, 512, 1, 1))})


def test_preprocessing_keeps_or_turns_the_channel_order_as_each_tool_does():
    def first_pixel(net):
        return np.asarray(net.preprocess(RED))[0, 0, 0]

    np.testing.assert_allclose(first_pixel(drn), [(1 - 0.290101) / 0.182954, -0.328081 / 0.186566, -0.286964 / 0.184475], rtol=1e-5)
    np.testing.assert_allclose(first_pixel(upernet), [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-5)
    np.testing.assert_allclose(first_pixel(deeplab), [-104.008, -116.669, 255 - 122.675], rtol=1e-6)
    np.testing.assert_allclose(first_pixel(espnet) * 255, [-110.33 / 72.13, -108.41 / 72.69, (255 - 105.03) / 69.9], rtol=1e-5)


def test_stored_ids_become_classes_and_all_others_are_ignored():
    stored, classes = [-1, 0, 6, 7, 8, 11, 26, 29, 33, 34, 255], [-1, -1, -1, 0, 1, 2, 13, -1, 18, -1, -1]
    np.testing.assert_array_equal(CITYSCAPES.classes(np.array(stored)), classes)
    np.testing.assert_array_equal(ADE20K.classes(np.array([0, 1, 150, 151], np.uint8)), [IGNORED, 0, 149, IGNORED])
    np.testing.assert_array_equal(COCO_STUFF.classes(np.array([0, 181, 182, 255], np.uint8)), [0, 181, IGNORED, IGNORED])
    np.testing.assert_array_equal(CAMVID.classes(np.array([0, 10, 11], np.uint8)), [0, 10, IGNORED])


@pytest.mark.parametrize(
    "labels, num_classes, num_outputs, named",
    [
        (CITYSCAPES, 19, 19, {0: "road", 13: "car", 18: "bicycle"}),
        (ADE20K, 150, 150, {0: "wall", 8: "windowpane", 9: "grass", 149: "flag"}),
        (COCO_STUFF, 182, 182, {11: "street sign", 44: "plate", 90: "hair brush", 91: "banner", 181: "wood"}),
        (CAMVID, 11, 12, {0: "sky", 10: "bicyclist"}),
    ],
)
def test_every_class_has_one_name(labels, num_classes, num_outputs, named):
    assert (labels.num_classes, labels.num_outputs) == (num_classes, num_outputs)
    assert len(set(labels.outputs)) == num_outputs and all(labels.outputs)
    assert {i: labels.class_names[i] for i in named} == named


def test_predicting_void_on_camvid_is_wrong_but_void_is_no_class_of_the_mean():
    target, predicted = CAMVID.classes(np.array([0, 0, 11])), np.array([0, 11, 3])
    confusion = confusion_matrix(target, predicted, CAMVID.num_outputs)
    assert mean_iou(confusion, CAMVID.averaged_over, CAMVID.num_classes) == pytest.approx(0.5 / 11)
    assert mean_iou(confusion, MeanOver.SEEN, CAMVID.num_classes) == 0.5


def test_every_published_tool_averages_by_its_own_rule():
    rules = [labels.averaged_over for labels in (CITYSCAPES, ADE20K, COCO_STUFF)]
    assert rules == [MeanOver.SEEN, MeanOver.ALL, MeanOver.LABELLED]


def test_resized_images_are_those_of_pillow_and_images_of_the_size_wanted_are_left_alone():
    images = random_images((20, 30))
    assert resize_images(images, (20, 30), BICUBIC) is images
    found = resize_images(images, (8, 12), BILINEAR)
    np.testing.assert_array_equal(found[1], np.asarray(Image.fromarray(images[1]).resize((12, 8), BILINEAR)))


def test_images_on_devices_are_resized_to_lie_there_again():
    images, spread = random_images((20, 30)), over_batch(make_mesh(jax.devices()[:1]))
    found = resize_images(jax.device_put(images, spread), (8, 12), BILINEAR)
    assert found.sharding == spread
    np.testing.assert_array_equal(found, resize_images(images, (8, 12), BILINEAR))


def test_drn_upsamples_as_the_transposed_convolution_does():
    logits = np.random.default_rng(0).normal(size=(1, 3, 5, 2)).astype(np.float32)
    triangle = 1 - np.abs(np.arange(16) / 8 - 15 / 16)
    full = np.zeros((8 * 3 + 8, 8 * 5 + 8, 2))
    for y in range(3):
        for x in range(5):
            full[8 * y : 8 * y + 16, 8 * x : 8 * x + 16] += np.outer(triangle, triangle)[..., None] * logits[0, y, x]
    np.testing.assert_allclose(drn.log_probabilities(logits)[0], jax.nn.log_softmax(full[4:-4, 4:-4]), atol=1e-5)


@pytest.mark.parametrize("size", [(16, 24), (40, 48)])
def test_drn_resizes_log_probabilities_as_pillow_resizes_float_channels(size):
    logits = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32) * 10
    maps = np.asarray(drn.log_probabilities(logits))[0]
    expected = [Image.fromarray(maps[:, :, c]).resize(size[::-1], BILINEAR) for c in range(2)]
    np.testing.assert_allclose(drn._resized_log_probabilities(logits, size)[0], np.stack(expected, axis=-1), rtol=1e-5, atol=1e-5)


def test_drn_sums_the_maps_of_six_scales_of_bytes(monkeypatch):
    seen = []
    monkeypatch.setattr(drn, "_logits", lambda variables, images: seen.append(images) or len(seen))
    monkeypatch.setattr(drn, "_resized_log_probabilities", lambda logits, size: np.full(size, logits))
    images = random_images((32, 64))
    total = drn.DRNSegmenter(multi_scale=True).log_probabilities({}, images)
    np.testing.assert_array_equal(total, np.full((32, 64), 1 + 2 + 3 + 4 + 5 + 6))
    for found, size in zip(seen, [(32, 64), (16, 32), (24, 48), (40, 80), (48, 96), (56, 112)], strict=True):
        np.testing.assert_array_equal(found, resize_images(images, size, BICUBIC))


def test_drn_upsampled_sees_images_of_the_size_of_the_labels(monkeypatch):
    seen = []
    monkeypatch.setattr(drn, "_logits", lambda variables, images: seen.append(images))
    monkeypatch.setattr(drn, "_resized_log_probabilities", lambda logits, size: np.zeros((2, *size, 19)))
    images = random_images((32, 64))
    assert drn.DRNSegmenter(upsample_to=(64, 128)).segment({}, images, (64, 128)).shape == (2, 64, 128)
    np.testing.assert_array_equal(seen[0], resize_images(images, (64, 128), BILINEAR))


@pytest.mark.parametrize(
    "image_size, short_side, expected",
    [((256, 256), 256, (256, 256)), ((256, 256), 300, (320, 320)), ((256, 256), 600, (608, 608)), ((200, 800), 300, (256, 1024))],
)
def test_upernet_sees_sides_rounded_up_to_thirty_twos(image_size, short_side, expected):
    assert upernet.input_size(image_size, short_side) == expected


def test_upernet_averages_the_probabilities_of_its_scales(monkeypatch):
    seen = []
    monkeypatch.setattr(upernet, "_logits", lambda variables, images: seen.append(images.shape[1:3]) or len(seen))
    monkeypatch.setattr(upernet, "_resized_probabilities", lambda logits, size: np.full(size, logits, np.float32))
    found = upernet.UPerNetSegmenter(multi_scale=True).probabilities({}, random_images((256, 256)), (32, 40))
    np.testing.assert_array_equal(found, np.full((32, 40), (1 + 2 + 3 + 4 + 5) / 5, np.float32))
    assert seen == [(side, side) for side in (320, 384, 480, 544, 608)]


def test_join_state_names_the_parts_of_upernet():
    assert upernet.join_state({"a": 1}, {"b": 2}) == {"encoder.a": 1, "decoder.b": 2}


def test_espnet_brings_images_to_its_size_first(monkeypatch):
    seen = []
    monkeypatch.setattr(espnet, "_logits", lambda variables, images: seen.append(images.shape) or np.zeros((*images.shape[:3], 12)))
    assert espnet.ESPNetSegmenter().segment({}, random_images((72, 96)), (360, 480)).shape == (2, 360, 480)
    assert seen == [(2, 360, 480, 3)]
