"""Loss functions of StyleGAN2 (section 6)."""
import jax
import jax.numpy as jnp
from flax import linen as nn


def real_loss(logits):
    """Mean of softplus(-logit): what G minimises on its images, and D on real ones (non-saturating)."""
    return jnp.mean(nn.softplus(-logits))


def fake_loss(logits):
    """Mean of softplus(logit): what D minimises on generated images."""
    return jnp.mean(nn.softplus(logits))


def r1_penalty(discriminate, image):
    """R1: the squared norm of the gradient of D's logits with respect to real images.

    Args:
        discriminate: images -> logits (B,). Their sum is differentiated, since images interact through the minibatch standard deviation.
        image: (B, H, W, 3).

    Returns:
        (B,), not yet multiplied by gamma / 2.
    """
    gradient = jax.grad(lambda image: jnp.sum(discriminate(image)))(image)
    return jnp.sum(jnp.square(gradient), (1, 2, 3))


def path_lengths(synthesise, ws, y):
    """Path lengths |J^T y|, where J is the Jacobian of the images with respect to the styles (StyleGAN2, equation 4).

    Args:
        synthesise: ws -> images (B, H, W, 3).
        ws: (B, num_ws, w_dim); the squared norms of the rows' gradients are averaged.
        y: (B, H, W, 3) standard normal, divided by the side of the image, so that lengths do not depend on the resolution.

    Returns:
        (B,).
    """
    (gradient,) = jax.vjp(synthesise, ws)[1](y)
    return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(gradient), -1), -1))
