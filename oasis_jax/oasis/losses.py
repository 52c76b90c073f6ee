"""Adversarial losses of OASIS (section 5). Means are taken over every pixel of the global batch."""
import jax
import jax.numpy as jnp

FAKE = 0  # target of a generated pixel; class c has target c + 1


def class_weights(label_map, num_classes, dontcare_id=0, groups=1, limit=0.0):
    """Weights pixels by inverse class frequency: omega_c = (B H W) / (K count_c), K the number of classes present.

    Args:
        label_map: (B, H, W) integer, in 0..num_classes-1.
        num_classes: N.
        dontcare_id: class with weight 0 that does not count as present, or -1 for none.
        groups: number of equal groups of consecutive examples in which classes are counted separately; a divisor of B.
        limit: upper limit of the weights; 0 for no limit.

    Returns:
        (B, H, W) float32, or float64 where that is enabled.

    Raises:
        ValueError: groups does not divide B.
    """
    batch = label_map.shape[0]
    if batch % groups:
        raise ValueError(f"loss.balance_groups={groups} does not divide the batch size {batch}")
    # Images are counted one by one, and rows and columns are never flattened: rows may be split over several devices.
    of_image = jnp.sum(label_map[..., None] == jnp.arange(num_classes), axis=(1, 2))
    counts = jnp.sum(of_image.reshape(groups, -1, num_classes), axis=1).astype(float)
    counts = jnp.where(jnp.arange(num_classes) == dontcare_id, 0, counts)
    present = jnp.sum(counts > 0, axis=1, keepdims=True)
    pixels = label_map.size // groups
    weights = jnp.where(counts > 0, pixels / (jnp.maximum(counts, 1) * jnp.maximum(present, 1)), 0)
    if limit:
        weights = jnp.minimum(weights, limit)
    return jax.vmap(lambda of_class, ids: of_class[ids])(jnp.repeat(weights, batch // groups, axis=0), label_map.astype(jnp.int32))


def cross_entropy(logits, target):
    """Per-pixel cross-entropy of logits (..., C) with integer targets (...)."""
    # A masked sum instead of a gather: its gradient is elementwise, not a scatter.
    picked = jnp.sum(jnp.where(target[..., None] == jnp.arange(logits.shape[-1]), logits, 0), axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - picked


def real_target_loss(logits, label_map, weights):
    """mean(omega_t CE(logits, t + 1)): the loss of real pixels for D, and of generated pixels for G.

    Args:
        logits: (B, H, W, N + 1).
        label_map: (B, H, W) integer.
        weights: (B, H, W), or a scalar without class balancing.
    """
    return jnp.mean(weights * cross_entropy(logits, label_map.astype(jnp.int32) + 1))


def fake_target_loss(logits):
    """mean(CE(logits, fake)): the loss of generated pixels for D; unweighted and including don't-care pixels."""
    return jnp.mean(cross_entropy(logits, jnp.full(logits.shape[:-1], FAKE)))


def labelmix_mask(label_map, bits):
    """LabelMix mask M (B, H, W): each class region of an image takes the bit drawn for its class.

    Args:
        label_map: (B, H, W) integer.
        bits: (B, N) of 0 and 1; 1 selects the real pixel.
    """
    pixels = jnp.take_along_axis(bits, label_map.reshape(len(bits), -1).astype(jnp.int32), axis=1)
    return pixels.reshape(label_map.shape)


def mix(mask, real, fake):
    """M real + (1 - M) fake, for a mask (B, H, W) and images or logits (B, H, W, C)."""
    mask = mask[..., None].astype(real.dtype)
    return mask * real + (1 - mask) * fake


def labelmix_loss(logits_mixed, logits_real, logits_fake, mask):
    """mean((D(mix) - mix(D(real), D(fake)))^2), without the factor lambda; all three logits receive gradients."""
    return jnp.mean(jnp.square(logits_mixed - mix(mask, logits_real, logits_fake)))
