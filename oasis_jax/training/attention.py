"""What the discriminator looks at (GradCAM), and the alignment of it with the generator's heatmaps (EqGAN-SA).

For a feature map A of D and the gradient of a scalar S with respect to it, the weight of a channel is the mean of its gradient over the
image, and the attention is the sum over the channels of relu(weight A). S is G's adversarial loss, or the log-probability of fake, so that
attention is high where D sees fakeness. EqGAN-SA does this with a discriminator of one logit; here D labels pixels.
"""
import dataclasses

import jax
import jax.numpy as jnp
from jax import lax

from oasis_jax.heatmaps import LEVELS
from oasis_jax.models.layers import wide
from oasis_jax.models.spatial import resize

SIDES = ("decoder", "encoder", "both")
OBJECTIVES = ("ce", "fake")


@dataclasses.dataclass(frozen=True)
class Alignment:
    """How G is rewarded for heatmaps that D's attention follows.

    Attributes:
      weight: of the alignment loss beside G's adversarial loss.
      warmup: steps over which the weight rises linearly from 0.
      every: steps from one computation of the loss to the next; it then counts so many times as much.
      side: the features of D attended to, "decoder", "encoder", or "both" for the mean of the two maps.
      objective: S, "ce" for G's adversarial loss, "fake" for the log-probability of fake.
      level_weights: of the coarse, the middle and the fine level.
      threshold: differences up to it are let pass.
      mask_dontcare: leave out the don't-care pixels.
    """

    weight: float = 0.1
    warmup: int = 5000
    every: int = 1
    side: str = "decoder"
    objective: str = "ce"
    level_weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    threshold: float = 0.25
    mask_dontcare: bool = True

    def weight_at(self, step):
        """The weight in a step that computes the loss."""
        return self.weight * self.every * jnp.minimum(1.0, (step + 1) / max(self.warmup, 1))


def attended_blocks(side, num_blocks):
    """For each level, coarse to fine, the blocks of D whose outputs have the resolution of G's first, second and third block.

    Returns:
      Three tuples of names: one name, or two for the side "both".
    """
    pairs = [(f"decoder_{i}", f"encoder_{num_blocks - 2 - i}") for i in range(len(LEVELS))]
    return [pair if side == "both" else (pair[SIDES.index(side)],) for pair in pairs]


def gradcam(features, gradients):
    """Attention (B, h, w) for features (B, h, w, C) and gradients with respect to them: relu on every channel, then the sum."""
    dtype = wide(features.dtype)
    weights = jnp.mean(gradients.astype(dtype), (1, 2), keepdims=True)
    return jnp.sum(jax.nn.relu(lax.stop_gradient(weights) * features.astype(dtype)), axis=-1)


def normalised(attention, size):
    """Attention (B, h, w) resized and stretched to 0..1 in every image, (B, H, W); 0 where an image's is constant.

    The minimum and the maximum are constants for the gradient.
    """
    attention = resize(attention[..., None], size)[..., 0]
    return _divided_by_maximum(attention - lax.stop_gradient(jnp.min(attention, (1, 2), keepdims=True)))


def targets(maps):
    """What the attention of each level should be: three (B, H, W), of rendered heatmaps (B, H, W, 7).

    The coarse map as it is; the mean of a finer level's maps, stretched to 0..1.
    """
    result, first = [], 0
    for count in LEVELS.values():
        mean = jnp.mean(maps[..., first : first + count], axis=-1)
        result.append(mean if count == 1 else _divided_by_maximum(mean - jnp.min(mean, (1, 2), keepdims=True)))
        first += count
    return result


def _divided_by_maximum(x):
    highest = lax.stop_gradient(jnp.max(x, (1, 2), keepdims=True))
    return jnp.where(highest > 0, x, 0) / jnp.where(highest > 0, highest, 1)


def alignment_loss(attention, target, threshold=0.25, mask=None):
    """Mean of the differences |attention - target| that exceed the threshold, or of all where none or one does.

    Args:
      attention, target: (B, H, W).
      threshold: the selection of pixels has no gradient, so that small differences have none.
      mask: (B, H, W) boolean, the pixels that count, or None for all.

    Returns:
      Scalar: the mean runs over the selected pixels of the global batch together.
    """
    difference = jnp.abs(attention - target)
    counted = jnp.ones_like(difference, bool) if mask is None else mask
    large = counted & (difference > threshold)
    selected = jnp.where(jnp.sum(large) > 1, large, counted)
    return jnp.sum(jnp.where(selected, difference, 0)) / jnp.maximum(jnp.sum(selected), 1)


def attention_maps(features, gradients, blocks, size):
    """Normalised attention of each level, three (B, H, W), for {name: array} of features and gradients and the names of each level."""
    return [sum(normalised(gradcam(features[name], gradients[name]), size) for name in names) / len(names) for names in blocks]


def value_and_gradient(discriminator, variables, image, adversarial, objective, align, blocks, mutable, due=None):
    """G's adversarial and alignment loss of images, and the gradient of their sum, with one forward of D.

    Attention needs the gradient of S with respect to features of D. Where S is the adversarial loss, that loss's own backward pass comes by
    there: the costly part of D, its fine decoder blocks, is passed back once. What is passed back twice lies between the finest attended
    block and the coarsest, because the alignment loss joins the gradient there. Another S has a backward pass of its own down to there.

    Args:
      discriminator: Discriminator.
      variables: of D; nothing is differentiated with respect to them.
      image: (B, H, W, 3).
      adversarial: logits -> scalar loss.
      objective: logits -> S, or None if S is the adversarial loss, whose scale does not matter.
      align: (features, gradients), both {name: array} -> scalar loss, weighted; constant with respect to the gradients.
      blocks: names of the blocks to attend to.
      mutable: collections of D that its forward in training mode updates.
      due: () boolean, whether to compute the alignment loss, which is 0 otherwise; None does without asking.

    Returns:
      (adversarial loss, alignment loss, gradient (B, H, W, 3), updated collections).
    """

    def trunk(image, offsets):
        (carry, features), updated = discriminator.apply(variables, image, offsets, train=True, mutable=mutable, method="trunk")
        return (carry, {name: features[name] for name in blocks}), updated

    def head(carry):
        return discriminator.apply({**variables, **updated}, carry, train=True, mutable=mutable, method="head")

    shapes = jax.eval_shape(trunk, image, {})[0][1]
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    (carry, features), pull_trunk, updated = jax.vjp(trunk, image, nothing, has_aux=True)
    logits, pull_head, updated = jax.vjp(head, carry, has_aux=True)
    loss, of_logits = jax.value_and_grad(adversarial)(logits)
    (of_carry,) = pull_head(of_logits)
    (attended,) = (of_carry,) if objective is None else pull_head(jax.grad(objective)(logits))

    def aligned_features():
        return jax.value_and_grad(align)(features, pull_trunk((attended, nothing))[1])

    if due is None:
        aligned, of_features = aligned_features()
    else:
        aligned, of_features = lax.cond(due, aligned_features, lambda: (jnp.zeros_like(loss), nothing))
    return loss, aligned, pull_trunk((of_carry, of_features))[0], updated


@jax.custom_vjp
def with_gradient(x, value, gradient):
    """The scalar `value`, whose gradient with respect to x is declared to be `gradient`."""
    return value


with_gradient.defvjp(lambda x, value, gradient: (value, gradient), lambda gradient, cotangent: (cotangent * gradient, None, None))
