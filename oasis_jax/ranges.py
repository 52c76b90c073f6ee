"""Images as bytes, and as floats in [-1, 1]."""
import jax.numpy as jnp
import numpy as np


def normalise(image):
    """Converts uint8 images 0..255 to floats in [-1, 1]."""
    return image.astype(float) / 127.5 - 1


def to_bytes(images):
    """Rounds images in [-1, 1] to uint8; values beyond are clipped."""
    xp = np if isinstance(images, np.ndarray) else jnp
    return xp.round((xp.clip(images, -1, 1) + 1) * 127.5).astype(xp.uint8)
