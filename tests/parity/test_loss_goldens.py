"""Every loss term and its gradients numerically match the published ones, in float64 and in float32."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published import Comparison, cases_of, cast, nchw, nhwc

from oasis_jax.oasis import losses


@pytest.mark.parametrize("case", cases_of("losses"))
def test_losses_equal_published(case, precision):
    config, comparison = case.config, Comparison(case, precision)
    stored = case.arrays("in/")
    label_map = jnp.asarray(case.label_map(), jnp.int32)
    bits = jnp.asarray(stored["labelmix_bits"])
    fake, real, logits_fake, logits_real, logits_mixed = (
        cast(nhwc(stored[name]), precision) for name in ("fake", "real", "logits_fake", "logits_real", "logits_mixed")
    )
    num_classes = config["semantic_nc"]
    weights = jnp.ones(label_map.shape)
    if not config.get("no_balancing_inloss"):
        weights = losses.class_weights(label_map, num_classes, 0 if config.get("contain_dontcare_label") else -1)
    comparison.check("weight_map", weights)

    loss, gradient = jax.value_and_grad(losses.real_target_loss)(logits_fake, label_map, weights)
    comparison.check("n1_real", loss)
    comparison.check("n1_real_grad", nchw(gradient))
    comparison.check("n1_real_target", np.asarray(label_map) + 1)
    loss, gradient = jax.value_and_grad(losses.fake_target_loss)(logits_fake)
    comparison.check("n1_fake", loss)
    comparison.check("n1_fake_grad", nchw(gradient))
    comparison.check("n1_fake_target", np.full(label_map.shape, losses.FAKE))

    # The published draw overwrites its own result class by class, and so its mask is made in this way. Ours equals it where no pixel
    # was overwritten twice.
    mask = np.array(label_map)
    for id_ in range(num_classes):
        mask[mask == id_] = bits[id_]
    if "labelmix_mask" in comparison.expected:
        comparison.check("labelmix_mask", mask.reshape(comparison.expected["labelmix_mask"].shape))
    ours = np.asarray(losses.labelmix_mask(label_map, jnp.broadcast_to(bits, (len(label_map), num_classes))))
    redrawn = np.isin(np.asarray(label_map), np.flatnonzero(np.asarray(bits[:2]) * [1, 0]))
    np.testing.assert_array_equal(ours[~redrawn], mask[~redrawn])
    mask = jnp.asarray(mask)
    comparison.check("mixed_image", nchw(losses.mix(mask, real, fake)))
    loss, gradients = jax.value_and_grad(losses.labelmix_loss, argnums=(0, 1, 2))(logits_mixed, logits_real, logits_fake, mask)
    comparison.check("labelmix", loss)
    for name, gradient in zip(("mixed", "real", "fake"), gradients, strict=True):
        comparison.check(f"labelmix_grad_{name}", nchw(gradient))
    comparison.finish()
