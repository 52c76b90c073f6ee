"""Noise for sampling: vectors from seeds, one per image, class or region, and interpolation between vectors."""
import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NUM_SEEDS = 1 << 32  # seeds from here on would repeat


@dataclasses.dataclass(frozen=True, eq=False)
class RegionNoise:
    """Noise that is constant on given masks or instances, whatever their labels.

    Attributes:
        region_map: (B, H, W) integer in 0..M-1: index of each pixel's vector.
        vectors: (B, M, z_dim).
    """

    region_map: np.ndarray
    vectors: np.ndarray


class RegionSeed(NamedTuple):
    """Noise of a region: that of `seed`, or interpolated (`slerp`) to that of `end`, at t from 0 to 1."""

    seed: int
    end: int | None = None
    t: float = 0.0

    def vector(self, z_dim):
        """(z_dim,) float32."""
        start = noise_vector(self.seed, z_dim)
        return start if self.end is None else slerp(start, noise_vector(self.end, z_dim), self.t)


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """Regions of an image whose noise comes from seeds of their own.

    Attributes:
        map: uint8 (H, W): k > 0 where the noise is that of seeds[k - 1], 0 where it is that of the rest of the image.
        seeds: a tuple of RegionSeed; integers and (seed, end, t) are converted.

    Raises:
        ValueError: the map is not uint8 (H, W) or holds a number without a seed, a seed is out of range, or t is not from 0 to 1.
    """

    map: np.ndarray
    seeds: tuple[RegionSeed, ...]

    def __post_init__(self):
        found = np.array(self.map)  # a copy, which nobody modifies
        if found.dtype != np.uint8 or found.ndim != 2 or not found.size:
            raise ValueError(f"the map of regions is {found.dtype} {found.shape}, but should be uint8 (H, W)")
        seeds = tuple(RegionSeed(seed) if isinstance(seed, int | np.integer) else RegionSeed(*seed) for seed in self.seeds)
        for seed, end, t in seeds:
            check_seed(seed)
            check_position(t)
            if end is not None:
                check_seed(end)
        if found.max() > len(seeds):
            raise ValueError(f"the map of regions holds region {found.max()}, but there are seeds of {len(seeds)}: give one to each")
        found.setflags(write=False)
        seeds = tuple(RegionSeed(int(seed), None if end is None else int(end), float(t)) for seed, end, t in seeds)  # not NumPy's types
        object.__setattr__(self, "map", found)
        object.__setattr__(self, "seeds", seeds)

    def __eq__(self, other):
        return isinstance(other, Regions) and self.seeds == other.seeds and np.array_equal(self.map, other.map)

    def vectors(self, z_dim):
        """One noise vector per region: (len(seeds), z_dim) float32."""
        return np.stack([seed.vector(z_dim) for seed in self.seeds]) if self.seeds else np.zeros((0, z_dim), np.float32)


def check_position(t):
    """Raises ValueError unless t, between two noises, is a number from 0 to 1."""
    if not 0 <= t <= 1:
        raise ValueError(f"t is {t}, but should be a number from 0, the first noise, to 1, the second")


def check_seed(seed):
    """Raises ValueError unless a seed is an integer in 0..2**32-1."""
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < NUM_SEEDS:
        raise ValueError(f"seed {seed!r} is not an integer in 0..{NUM_SEEDS - 1}")


def check_seeds(name, seeds):
    """Raises TypeError, naming the argument `name`, unless seeds is {number: seed}; and ValueError for an invalid seed, as `check_seed`."""
    if not isinstance(seeds, Mapping):
        raise TypeError(f"{name} is {seeds!r}, but should be a dict, number: seed, such as {{7: 5}}")
    for seed in seeds.values():
        check_seed(seed)


def noise_vector(seed, z_dim):
    """Noise vector of a seed: (z_dim,) float32, standard normal, the same on every machine.

    Raises:
        ValueError: seed is not an integer in 0..2**32-1.
    """
    check_seed(seed)
    return _drawn(int(seed), int(z_dim)).copy()


@functools.lru_cache(1024)  # a draw takes half a millisecond, and an edited image draws the same vectors again and again
def _drawn(seed, z_dim):
    return np.asarray(jax.random.normal(jax.random.key(seed), (z_dim,), jnp.float32))


def check_finite(name, values):
    """Raises ValueError, with the `name` of the values, unless all of them are finite numbers."""
    values = np.asarray(values)
    is_numeric = jnp.issubdtype(values.dtype, jnp.number)  # for NumPy itself, bfloat16 is not a number type
    if not is_numeric or not np.isfinite(values).all():
        wrong = values[~np.isfinite(values)].flat[0] if is_numeric else values.dtype
        raise ValueError(f"{name} holds {wrong}, but should hold finite numbers alone")


def class_noise(seed, overrides, num_classes, z_dim):
    """One noise vector per class: from `seed`, or from the class's seed in `overrides`.

    Without overrides, the image equals the one made from the single vector of `seed`. Overrides redraw only their own classes.

    Args:
        seed: integer in 0..2**32-1.
        overrides: {class: seed}.
        num_classes: N.
        z_dim: length of a vector.

    Returns:
        (N, z_dim) float32.

    Raises:
        TypeError: overrides is not a dict, or num_classes is not an integer.
        ValueError: a class is not an integer in 0..N-1, num_classes is below 1, or a seed is out of range.
    """
    check_seeds("overrides", overrides)
    if not isinstance(num_classes, int | np.integer) or isinstance(num_classes, bool):
        raise TypeError(f"num_classes is {num_classes!r}, but should be an integer, the number of classes")
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}, but should be 1 or more")
    vectors = np.tile(noise_vector(seed, z_dim), (num_classes, 1))
    for class_id, class_seed in overrides.items():
        if not isinstance(class_id, int | np.integer) or not 0 <= class_id < num_classes:
            named = f": give its number, model.class_names.index({class_id!r})" if isinstance(class_id, str) else ""
            raise ValueError(f"there is no class {class_id!r} among {num_classes} classes (0..{num_classes - 1}){named}")
        vectors[class_id] = noise_vector(class_seed, z_dim)
    return vectors


def slerp(start, end, t):
    """Spherical interpolation: the direction moves at constant speed along the great circle, and the norm changes linearly.

    Linear interpolation of two normal vectors passes through vectors shorter than any in training. It is used only for vectors that are
    parallel, opposite or zero, between which no unique great circle exists.

    Args:
        start, end: (..., d) of one shape; vectors along the last axis are interpolated separately.
        t: 0 returns start and 1 returns end, both exactly for float32 vectors.

    Returns:
        (..., d) in the dtype of start.
    """
    start, end = np.asarray(start), np.asarray(end)
    a, b = start.astype(np.float64), end.astype(np.float64)
    norm_a, norm_b = (np.linalg.norm(vector, axis=-1, keepdims=True) for vector in (a, b))
    zero = (norm_a == 0) | (norm_b == 0)
    unit_a, unit_b = a / np.where(zero, 1, norm_a), b / np.where(zero, 1, norm_b)
    angle = np.arccos(np.clip(np.sum(unit_a * unit_b, axis=-1, keepdims=True), -1, 1))
    sine = np.sin(angle)
    straight = zero | (sine < 1e-6)
    direction = (np.sin((1 - t) * angle) * unit_a + np.sin(t * angle) * unit_b) / np.where(straight, 1, sine)
    on_sphere = ((1 - t) * norm_a + t * norm_b) * direction
    return np.where(straight, (1 - t) * a + t * b, on_sphere).astype(start.dtype)
