"""Laws of the losses."""
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.oasis import losses
from oasis_jax.oasis.train_step import draw

N = 5
LABELS = np.random.default_rng(0).choice(N, (4, 6, 7), p=(0.1, 0.4, 0.3, 0.2, 0.0))  # class 4 is absent


def normal(seed, shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def test_every_class_present_has_the_same_total_weight():
    weights = losses.class_weights(LABELS, N, dontcare_id=-1)
    totals = [np.sum(weights[LABELS == c]) for c in range(4)]
    np.testing.assert_allclose(totals, LABELS.size / 4, rtol=1e-5)
    np.testing.assert_allclose(np.mean(weights), 1, rtol=1e-5)


def test_dontcare_weighs_nothing_and_does_not_count_as_present():
    weights = losses.class_weights(LABELS, N, dontcare_id=0)
    assert np.all(weights[LABELS == 0] == 0)
    np.testing.assert_allclose([np.sum(weights[LABELS == c]) for c in (1, 2, 3)], LABELS.size / 3, rtol=1e-5)


def test_a_map_of_dontcare_alone_weighs_nothing():
    assert np.all(losses.class_weights(np.zeros((1, 4, 4), int), N, dontcare_id=0) == 0)


def test_groups_count_classes_as_if_each_were_a_batch():
    grouped = losses.class_weights(LABELS, N, groups=2)
    alone = [losses.class_weights(half, N) for half in (LABELS[:2], LABELS[2:])]
    np.testing.assert_allclose(grouped, np.concatenate(alone), rtol=1e-6)
    with pytest.raises(ValueError, match="loss.balance_groups=3 does not divide the batch size 4"):
        losses.class_weights(LABELS, N, groups=3)


def test_cross_entropy_is_the_negative_log_probability_of_the_target():
    logits = normal(0, (*LABELS.shape, N + 1))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(np.take_along_axis(probabilities, LABELS[..., None] + 1, -1)[..., 0])
    np.testing.assert_allclose(losses.cross_entropy(logits, LABELS + 1), expected, atol=1e-5)
    np.testing.assert_allclose(losses.fake_target_loss(logits), -np.log(probabilities[..., losses.FAKE]).mean(), rtol=1e-5)


def test_labelmix_keeps_real_pixels_where_mask_is_one():
    bits = np.array([[1, 0, 1, 0, 1]] * 4)
    mask = losses.labelmix_mask(LABELS, bits)
    np.testing.assert_array_equal(mask, bits[0][LABELS])
    real, fake = normal(0, (*LABELS.shape, 3)), normal(1, (*LABELS.shape, 3))
    mixed = losses.mix(mask, real, fake)
    np.testing.assert_array_equal(mixed[mask == 1], real[mask == 1])
    np.testing.assert_array_equal(mixed[mask == 0], fake[mask == 0])


def test_labelmix_loss_vanishes_for_logits_that_mix_like_their_images():
    mask, real, fake = (LABELS > 1), normal(0, (*LABELS.shape, N)), normal(1, (*LABELS.shape, N))
    assert losses.labelmix_loss(losses.mix(mask, real, fake), real, fake, mask) == 0


def test_labelmix_takes_each_class_of_each_image_with_probability_one_half():
    batch, classes = 400, 8
    every_class_once = np.broadcast_to(np.arange(classes).reshape(1, 2, 4), (batch, 2, 4))
    drawn = np.asarray(draw(0, 3, jnp.asarray(every_class_once), classes, 2).labelmix_mask).reshape(batch, classes)
    assert np.all(np.abs(drawn.mean(0) - 0.5) < 0.11)  # more than four standard deviations
    assert np.all(np.abs(np.corrcoef(drawn.T) - np.eye(classes)) < 0.22)
