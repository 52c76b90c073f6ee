"""Alignment of the generator's heatmaps with the attention of StyleGAN2's discriminator (section 6.1)."""
import dataclasses

import jax

from oasis_jax.eqgan.losses import real_loss
from oasis_jax.layers import attention
from oasis_jax.layers.spatial import render

BLOCKS = ("b8", "b16", "b32")  # blocks of D for the coarse, middle and fine level; D for 16x16 images has no b32


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The alignment loss, which rewards G if D's attention follows G's heatmaps.

    Attributes:
        weight: weight of the alignment loss relative to G's adversarial loss.
        groups: number of parts of the batch in each of which the differences above the threshold are averaged (`attention.alignment_loss`).
        threshold: smaller differences are not penalised (`attention.alignment_loss`).
    """

    weight: float = 1.0
    groups: int = 1
    threshold: float = 0.25

    def loss(self, features, gradients, heatmaps, size):
        """The sum of the losses of all levels, times `weight`.

        Args:
            features, gradients: {block: (B, h, w, C)}, outputs of D's blocks, and the gradients with respect to them.
            heatmaps: (B, 7, 3), with which the images were generated.
            size: (H, W).
        """
        maps = _maps(features, gradients, size)
        targets = attention.targets(render(heatmaps, size))[: len(maps)]
        return self.weight * sum(
            attention.alignment_loss(*pair, self.threshold, groups=self.groups) for pair in zip(maps, targets, strict=True)
        )


def attended_forward(discriminator, variables, image):
    """The attention.Forward of a Discriminator on images (B, H, W, 3) in [-1, 1]."""

    def trunk(image, offsets):
        carry, features = discriminator.apply(variables, image, offsets, method="trunk")
        return (carry, {name: features[name] for name in BLOCKS if name in features}), {}

    return attention.forward(trunk, lambda carry, _: (discriminator.apply(variables, carry, method="head"), {}), image)


def attended(discriminator, variables, image):
    """D's attention to images, with G's adversarial loss as GradCAM's scalar: a list with (B, H, W) for each block of BLOCKS that D has."""
    passed = attended_forward(discriminator, variables, image)
    gradients = passed.of_features(passed.of_carry(jax.grad(real_loss)(passed.logits)))
    return _maps(passed.features, gradients, image.shape[1:3])


def _maps(features, gradients, size):
    """Normalised attention of each block of BLOCKS that D has, coarse to fine."""
    return attention.attention_maps(features, gradients, [(name,) for name in BLOCKS if name in features], size)
