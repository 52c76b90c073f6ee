"""Checks of feature vectors for distances between sets."""
import numpy as np


def as_features(features, images=None):
    """Checks features (N, d) and returns them as float64.

    Args:
        features: (N, d) real array of numpy or JAX, one row per image.
        images: (N,) integers, index of each row's image in the whole set, for messages; None counts the rows.

    Raises:
        ValueError: the array is not (N, d), or a value is NaN or infinite.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not features.shape[1]:
        raise ValueError(f"features have shape {features.shape} instead of (images, dimensions): flatten them to one row per image")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite) if images is None else images[~finite]
        raise ValueError(
            f"features of image {bad[0]} (counted from 0; {len(bad)} such images in this batch) are NaN or infinite: check that image, "
            "and the weights that generated it"
        )
    return features


def check_same_dimensions(a, b):
    """Raises ValueError unless the features of both sets have the same number of dimensions."""
    if a != b:
        raise ValueError(f"features of {a} and of {b} dimensions cannot be compared: take both from the same layer of the same network")
