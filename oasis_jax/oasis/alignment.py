"""Alignment of the generator's heatmaps with the attention of OASIS's U-Net discriminator."""
import dataclasses

import jax
import jax.numpy as jnp

from oasis_jax.heatmaps import LEVELS
from oasis_jax.layers import attention
from oasis_jax.oasis import losses

SIDES = ("decoder", "encoder", "both")


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Settings of the alignment loss, which rewards G if D's attention follows G's heatmaps.

    Attributes:
        weight: weight of the alignment loss relative to G's adversarial loss.
        warmup: number of updates of G over which the weight rises linearly from 0.
        every: interval in steps at which the loss is computed; its weight is multiplied by this number.
        side: features of D whose attention is used: "decoder", "encoder", or "both" for the mean of the two attention maps.
        objective: the scalar S of GradCAM: "ce", G's adversarial loss, or "fake", the log-probability of the fake class.
        level_weights: weights of the coarse, middle and fine level.
        threshold: smaller differences are not penalised (`attention.alignment_loss`).
        mask_dontcare: exclude don't-care pixels.
    """

    weight: float = 0.1
    warmup: int = 5000
    every: int = 1
    side: str = "decoder"
    objective: str = "ce"
    level_weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    threshold: float = 0.25
    mask_dontcare: bool = True

    def weight_at(self, count):
        """The weight in the update of G after `count` updates of G, if that computes the loss."""
        return self.weight * self.every * jnp.minimum(1.0, (count + 1) / max(self.warmup, 1))


def attended_blocks(side, num_blocks):
    """The blocks of D whose outputs have the resolution of G's first, second and third block.

    Args:
        side: one of SIDES.
        num_blocks: R.

    Returns:
        For each level, coarse to fine, a tuple of block names: one name, or two for "both".
    """
    pairs = [(f"decoder_{i}", f"encoder_{num_blocks - 2 - i}") for i in range(len(LEVELS))]
    return [pair if side == "both" else (pair[SIDES.index(side)],) for pair in pairs]


def attended_forward(discriminator, variables, image, blocks, mutable):
    """The attention.Forward of a Discriminator in training mode.

    Args:
        discriminator: Discriminator.
        variables: variables of D; not differentiated.
        image: (B, H, W, 3) in [-1, 1].
        blocks: result of `attended_blocks`.
        mutable: collections that the pass updates.
    """
    names = sum(blocks, ())

    def trunk(image, offsets):
        (carry, features), updated = discriminator.apply(variables, image, offsets, train=True, mutable=mutable, method="trunk")
        return (carry, {name: features[name] for name in names}), updated

    def head(carry, updated):
        return discriminator.apply({**variables, **updated}, carry, train=True, mutable=mutable, method="head")

    return attention.forward(trunk, head, image)


def attended(discriminator, variables, image, label_map, dontcare_id, mutable, side="decoder"):
    """D's attention to images (B, H, W, 3) in [-1, 1], with G's adversarial loss as GradCAM's scalar: three (B, H, W), coarse to fine."""
    blocks = attended_blocks(side, discriminator.num_blocks)
    weights = losses.class_weights(label_map, discriminator.num_classes, dontcare_id)
    passed = attended_forward(discriminator, variables, image, blocks, mutable)
    of_logits = jax.grad(losses.real_target_loss)(passed.logits, label_map, weights)
    return attention.attention_maps(passed.features, passed.of_features(passed.of_carry(of_logits)), blocks, image.shape[1:3])
