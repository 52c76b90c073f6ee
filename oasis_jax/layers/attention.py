"""The attention of a discriminator (GradCAM), and its distance from a generator's heatmaps (EqGAN-SA).

For a feature map A of D and the gradient of a scalar S with respect to A, the weight of a channel is the mean of its gradient over the
image; the attention is the sum over the channels of relu(weight * A). D may return one logit per image or N + 1 logits per pixel: only S
depends on their shape.
"""
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from oasis_jax.heatmaps import LEVELS
from oasis_jax.layers.dtype import wide
from oasis_jax.layers.interpolation import resize


def gradcam(features, gradients):
    """Attention (B, h, w) of features (B, h, w, C) and the gradients with respect to them: ReLU per channel, then the sum over channels."""
    dtype = wide(features.dtype)
    weights = jnp.mean(gradients.astype(dtype), (1, 2), keepdims=True)
    return jnp.sum(jax.nn.relu(lax.stop_gradient(weights) * features.astype(dtype)), axis=-1)


def normalised(attention, size):
    """Resizes attention (B, h, w) to `size` and scales it to 0..1 per image: (B, H, W); 0 for an image whose attention is constant.

    The gradient treats minimum and maximum as constants.
    """
    attention = resize(attention[..., None], size)[..., 0]
    return _divided_by_maximum(attention - lax.stop_gradient(jnp.min(attention, (1, 2), keepdims=True)))


def targets(maps):
    """The target of each level's attention: three (B, H, W), from rendered heatmaps (B, H, W, 7).

    The coarse map is used unchanged; the mean of a finer level's maps is scaled to 0..1 per image.
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


def alignment_loss(attention, target, threshold=0.25, mask=None, groups=1):
    """Mean of the differences |attention - target| above the threshold, or of all differences if at most one is above it.

    Args:
        attention, target: (B, H, W).
        threshold: selects pixels; the selection has no gradient, so small differences have none either.
        mask: (B, H, W) bool, the pixels that count; None counts all.
        groups: number of parts of the batch, a divisor of B; pixels are selected and averaged per part, as if each were on its own device.

    Returns:
        Scalar: the mean over the selected pixels of the global batch, or the mean of the groups' means.
    """
    if groups > 1:
        parts = jax.tree.map(lambda array: array.reshape(groups, -1, *array.shape[1:]), (attention, target, mask))
        return jnp.mean(jax.vmap(lambda attention, target, mask: alignment_loss(attention, target, threshold, mask))(*parts))
    difference = jnp.abs(attention - target)
    counted = jnp.ones_like(difference, bool) if mask is None else mask
    large = counted & (difference > threshold)
    selected = jnp.where(jnp.sum(large) > 1, large, counted)
    return jnp.sum(jnp.where(selected, difference, 0)) / jnp.maximum(jnp.sum(selected), 1)


def attention_maps(features, gradients, blocks, size):
    """Normalised attention of each level, three (B, H, W): the mean over the level's blocks.

    Args:
        features, gradients: {block name: (B, h, w, C)}.
        blocks: for each level, coarse to fine, the names of its blocks.
        size: (H, W).
    """
    return [sum(normalised(gradcam(features[name], gradients[name]), size) for name in names) / len(names) for names in blocks]


@dataclasses.dataclass(frozen=True, eq=False)
class Forward:
    """One forward pass of a discriminator, split at the attended blocks, so that each part can be backpropagated through separately.

    Attributes:
        features: {block name: (B, h, w, C)}, outputs of the attended blocks.
        logits: logits of any shape.
        collections: variables that the pass has updated.
        zeros: zero cotangents of `features`.
        pull_trunk: cotangents of (carry, features) -> cotangents of (image, features).
        pull_head: cotangent of the logits -> (cotangent of the carry,).
    """

    features: dict[str, jax.Array]
    logits: jax.Array
    collections: Any
    zeros: dict[str, jax.Array]
    pull_trunk: Callable
    pull_head: Callable

    def of_carry(self, of_logits):
        """Backpropagates a cotangent of the logits through the head."""
        return self.pull_head(of_logits)[0]

    def of_features(self, of_carry):
        """Backpropagates a cotangent of the carry to the attended features: {block name: (B, h, w, C)}."""
        return self.pull_trunk((of_carry, self.zeros))[1]

    def of_image(self, of_carry, of_features):
        """Backpropagates cotangents of the carry and of the features to the image."""
        return self.pull_trunk((of_carry, of_features))[0]


def forward(trunk, head, image):
    """Runs a discriminator once, and keeps what its backward passes need.

    Args:
        trunk: (image, offsets) -> ((carry, features), collections). `offsets` is {} or {block name: array}, added to the block outputs.
        head: (carry, collections) -> (logits, collections).
        image: (B, H, W, 3).

    Returns:
        Forward.
    """
    shapes = jax.eval_shape(trunk, image, {})[0][1]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    (carry, features), pull_trunk, updated = jax.vjp(trunk, image, zeros, has_aux=True)
    logits, pull_head, collections = jax.vjp(lambda carry: head(carry, updated), carry, has_aux=True)
    return Forward(features, logits, collections, zeros, pull_trunk, pull_head)


def value_and_gradient(passed, loss, align, objective=None, due=None):
    """Computes G's adversarial and alignment losses, and the gradient of their sum with respect to the images, from one pass of D.

    Attention needs the gradient of S with respect to features of D. If S is the adversarial loss, that gradient lies on the path of the
    loss's own backward pass, so the costly part of D, its head, is backpropagated through once. Only the trunk between the finest and the
    coarsest attended block is backpropagated through twice, because the alignment loss adds its gradient there. Any other S needs its own
    backward pass through the head.

    Args:
        passed: Forward of D on the images.
        loss: logits -> scalar adversarial loss.
        align: (features, gradients), both {block name: array} -> scalar weighted loss; the gradients are treated as constants.
        objective: logits -> S; None if S is the adversarial loss, whose scale does not matter.
        due: () bool, whether to compute the alignment loss, which is 0 otherwise; None always computes it.

    Returns:
        (adversarial loss, alignment loss, gradient (B, H, W, 3)).
    """
    value, of_logits = jax.value_and_grad(loss)(passed.logits)
    of_carry = passed.of_carry(of_logits)
    attended = of_carry if objective is None else passed.of_carry(jax.grad(objective)(passed.logits))

    def aligned_features():
        return jax.value_and_grad(align)(passed.features, passed.of_features(attended))

    if due is None:
        aligned, of_features = aligned_features()
    else:
        aligned, of_features = lax.cond(due, aligned_features, lambda: (jnp.zeros_like(value), passed.zeros))
    return value, aligned, passed.of_image(of_carry, of_features)


@jax.custom_vjp
def with_gradient(x, value, gradient):
    """Returns the scalar `value` and declares its gradient with respect to x to be `gradient`."""
    return value


with_gradient.defvjp(lambda x, value, gradient: (value, gradient), lambda gradient, cotangent: (cotangent * gradient, None, None))
