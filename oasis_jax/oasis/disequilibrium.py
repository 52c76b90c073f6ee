"""Disequilibrium indicator for OASIS's discriminator, the analogue of DI in `metrics.equilibrium`; this project's own definition.

With l(p) = log softmax(D(image))_fake at pixel p,

    DI_seg = mean over the classes c of [mean of l over the pixels of c in generated images - the same in real images].

Its scale differs from that of DI: the two must never share a column of a table.
"""
import jax
import jax.numpy as jnp
import numpy as np

from oasis_jax.metrics.equilibrium import gaps

DI_SEG_FORMULA = "DI_seg = mean_c [ mean_{p in c} log p_fake(generated) - mean_{p in c} log p_fake(real) ]"


def log_fake_probability(logits):
    """Logits (B, H, W, N + 1), channel 0 the fake class, -> log-probability (B, H, W) that a pixel is fake."""
    return logits[..., 0] - jax.nn.logsumexp(logits, axis=-1)


def di_seg_of_batch(real, generated, label_map, num_classes, dontcare_id=-1):
    """DI_seg of one batch as a JAX scalar, for the curve of a training run; 0 if every pixel is don't-care.

    It is noisier than DI_seg on a validation split, and its images are cropped and mirrored as in training.

    Args:
        real, generated: (B, H, W) from `log_fake_probability`.
        label_map: (B, H, W) integer in 0..num_classes-1.
        num_classes: N.
        dontcare_id: class to exclude, or -1.
    """
    classes = jnp.where(jnp.arange(num_classes) == dontcare_id, -1, jnp.arange(num_classes))
    belongs = label_map[..., None] == classes
    count = jnp.sum(belongs, axis=(0, 1, 2))
    by_class = jnp.sum(jnp.where(belongs, (generated - real)[..., None], 0), axis=(0, 1, 2)) / jnp.maximum(count, 1)
    return jnp.sum(by_class) / jnp.maximum(jnp.sum(count > 0), 1)


def di_seg(real, generated, dontcare_id=-1):
    """DI_seg from ClassMeans of `log_fake_probability`, with equal weight for every class that occurs; NaN if none does.

    Args:
        real, generated: ClassMeans of photos, and of images generated for their label maps.
        dontcare_id: class to exclude, or -1.

    Raises:
        ValueError: the sets differ in size.
    """
    by_class = gaps(real, generated)
    counted = (real.count > 0) & (np.arange(len(by_class)) != dontcare_id)
    return float(by_class[counted].mean()) if counted.any() else float("nan")
