"""Heatmaps of spatially aware generators (EqGAN-SA): centres and widths of seven maps on three levels.

The heatmaps of an image are (7, 3) numbers, one row per map: centre y, centre x and width. The first row is the coarse level, the next two
the middle level, the last four the fine level. Centres are relative to the square [-1, 1]^2, whose corners are the centres of the corner
pixels, with y downwards; they may lie outside. `layers.spatial.render` turns the numbers into maps on the device.
"""
import jax
import numpy as np

LEVELS = {"l1": 1, "l2": 2, "l3": 4}  # number of maps of each level, coarse to fine
NUM_MAPS = sum(LEVELS.values())
FLOOR = 0.01  # added to every map
LARGEST = 1e6  # distance of a centre, and width; 1 / LARGEST is the smallest width: beyond them, numbers on the device would overflow
ALL = "all"  # name of the whole subject: all levels, whose position is that of the coarse centre
PURPOSE = 5  # folded into the key for these random numbers; 0 to 4 are noise and training

# The coarse centre is normal and clamped, the others are uniform in squares around it. Widths are uniform in a range per level.
_DEVIATION = np.array([0.33, 0.33, 0], np.float32)
_LIMIT = 0.75
_SPREAD = np.repeat([0, 0.8, 1.6], list(LEVELS.values()))
_NARROWEST = np.repeat([0.5, 0.1 / 1.4, 0.05], list(LEVELS.values()))
_WIDTHS = np.repeat([0.5, 1 / 1.4, 0.5], list(LEVELS.values()))
_OFFSET = np.stack([-_SPREAD / 2, -_SPREAD / 2, _NARROWEST], axis=-1).astype(np.float32)
_SCALE = np.stack([_SPREAD, _SPREAD, _WIDTHS], axis=-1).astype(np.float32)


def place(normal, uniform, clip=np.clip):
    """Heatmaps (..., 7, 3) from random numbers.

    Args:
        normal: (..., 1, 3) standard normal: the coarse centre; the last number is not used.
        uniform: (..., 7, 3) in [0, 1): the offsets of the other centres from it, and the widths.
        clip: the `clip` function of the library that the arrays belong to.
    """
    return clip(_DEVIATION * normal, -_LIMIT, _LIMIT) + _OFFSET + _SCALE * uniform


def of_key(key):
    """Heatmaps (7, 3) float32 drawn from a JAX key."""
    normal, uniform = jax.random.split(jax.random.fold_in(key, PURPOSE))
    return place(jax.random.normal(normal, (3,))[None], jax.random.uniform(uniform, (3 * NUM_MAPS,)).reshape(NUM_MAPS, 3), jax.numpy.clip)


def formula_of_seed():
    """`of_seed` for programs without this package, as JSON values: a formula with JAX's random numbers, and its constants."""
    formula = (
        f"n, u = jax.random.split(jax.random.fold_in(jax.random.key(seed), {PURPOSE})); "
        f"heatmaps = clip(deviation * jax.random.normal(n, (3,)), -{_LIMIT}, {_LIMIT}) "
        f"+ offset + scale * jax.random.uniform(u, ({3 * NUM_MAPS},)).reshape({NUM_MAPS}, 3)"
    )
    constants = {"deviation": _DEVIATION.tolist(), "offset": _OFFSET.tolist(), "scale": _SCALE.tolist()}
    return {"formula": formula, "purpose": PURPOSE, "limit": _LIMIT, **constants}


def of_seed(seed):
    """Heatmaps (7, 3) float32 drawn from an integer seed, the same on every machine."""
    return np.asarray(of_key(jax.random.key(int(seed))), np.float32)


def explicit(centres, widths):
    """Heatmaps (B, 7, 3) float32 with given centres and widths.

    Args:
        centres: (7, 2) or (B, 7, 2), each (y, x), levels coarse to fine.
        widths: (7,) or (B, 7), or one number for all maps.

    Raises:
        ValueError: shapes do not match, or as in `check`.
    """
    centres = np.asarray(centres, np.float32)
    centres = centres[None] if centres.ndim == 2 else centres
    if centres.ndim != 3 or centres.shape[1:] != (NUM_MAPS, 2):
        raise ValueError(f"centres are {centres.shape}, but should be ({NUM_MAPS}, 2) or (B, {NUM_MAPS}, 2): one (y, x) for each map")
    widths = np.asarray(widths, np.float32)
    if widths.shape not in ((), (NUM_MAPS,), (len(centres), NUM_MAPS)):
        raise ValueError(f"widths are {widths.shape}, but should be one number, ({NUM_MAPS},) or {(len(centres), NUM_MAPS)}")
    widths = np.broadcast_to(widths, (len(centres), NUM_MAPS))
    return check(np.concatenate([centres, widths[..., None]], axis=-1), len(centres))


def with_centres(heatmaps, centres):
    """The same heatmaps with other centres; the widths are kept.

    Args:
        heatmaps: (..., 7, 3).
        centres: (7, 2), each (y, x); or (2,) or (1, 2), the new coarse centre, while the others keep their offsets from it.

    Raises:
        ValueError: the number of centres is neither 1 nor 7, or one is not finite.
    """
    centres = np.asarray(centres, np.float32).reshape(-1, 2)
    if len(centres) not in (1, NUM_MAPS):
        raise ValueError(f"{len(centres)} centres were given: give {NUM_MAPS}, or 1 to move the coarse one, which the others follow")
    if not np.isfinite(centres).all():
        raise ValueError(f"the centres {centres.tolist()} are not all finite numbers")
    heatmaps = np.array(heatmaps, np.float32)
    heatmaps[..., :2] = centres if len(centres) > 1 else heatmaps[..., :2] + centres - heatmaps[..., :1, :2]
    return heatmaps


def maps_of(name):
    """The list of map numbers of a level ("l1", "l2" or "l3"), of "all", or of a single map ("0" to "6").

    Raises:
        ValueError: there is no level or map of this name.
    """
    first = 0
    for level, count in LEVELS.items():
        if name == level:
            return list(range(first, first + count))
        first += count
    if name == ALL:
        return list(range(NUM_MAPS))
    if not (name.isdecimal() and int(name) < NUM_MAPS):
        raise ValueError(f"there are no heatmaps {name!r}: choose {ALL}, {', '.join(LEVELS)} or a map from 0 to {NUM_MAPS - 1}")
    return [int(name)]


def position(heatmaps, name):
    """The position (y, x) of a `name` of `maps_of`: the coarse centre for "all", else the mean of its centres; heatmaps are (7, 3)."""
    return np.asarray(heatmaps)[maps_of(name)[:1] if name == ALL else maps_of(name), :2].mean(0)


def changed(heatmaps, shifts, width_factors):
    """Heatmaps with single maps changed; the others stay the same to the last bit.

    Args:
        heatmaps: (7, 3) float32.
        shifts: {map: (dy, dx)}, added to centres.
        width_factors: {map: factor}, which multiply widths.

    Raises:
        ValueError: there is no such map, a number is not finite, or a factor is not positive.
    """
    if wrong := [number for number in (*shifts, *width_factors) if not 0 <= number < NUM_MAPS]:
        raise ValueError(f"there is no heatmap {wrong[0]}: they are 0 to {NUM_MAPS - 1}")
    heatmaps = np.array(heatmaps, np.float32)
    for number, shift in shifts.items():
        heatmaps[number, :2] += np.asarray(shift, np.float32)
    for number, factor in width_factors.items():
        heatmaps[number, 2] *= np.float32(factor)
    return check(heatmaps[None], 1)[0] if shifts or width_factors else heatmaps


def given(heatmaps, count, spatially_aware):
    """Checks heatmaps (7, 3) or (count, 7, 3) from a user, for `count` images of a model, and returns them as (count, 7, 3) float32.

    Raises:
        ValueError: the model takes no heatmaps, or as in `check`.
    """
    if not spatially_aware:
        raise ValueError("heatmaps were given, but this model was trained without model.spatial_awareness: omit them")
    heatmaps = np.asarray(heatmaps)
    return check(np.broadcast_to(heatmaps, (count, *heatmaps.shape)) if heatmaps.ndim == 2 else heatmaps, count)


def check(heatmaps, batch):
    """Checks heatmaps and returns them as float32.

    Raises:
        ValueError: they are not (batch, 7, 3), a number is not finite, a width is not positive, or one is beyond LARGEST.
    """
    heatmaps = np.asarray(heatmaps, np.float32)
    if heatmaps.shape != (batch, NUM_MAPS, 3):
        raise ValueError(f"heatmaps are {heatmaps.shape}, but should be {(batch, NUM_MAPS, 3)}: centre y, centre x and width of each map")
    if not np.isfinite(heatmaps).all():
        image, number, column = np.argwhere(~np.isfinite(heatmaps))[0]
        what = ("the centre's y", "the centre's x", "the width")[column]
        raise ValueError(f"{what} of map {number} of heatmaps {image} is {heatmaps[image, number, column]}: give a finite number")
    if not (heatmaps[..., 2] > 0).all():
        image, number = np.argwhere(heatmaps[..., 2] <= 0)[0]
        raise ValueError(f"the width of map {number} of heatmaps {image} is {heatmaps[image, number, 2]}, but should be positive")
    if np.abs(heatmaps).max(initial=0) > LARGEST or heatmaps[..., 2].min(initial=1) < 1 / LARGEST:
        raise ValueError(f"heatmaps hold numbers beyond {LARGEST:g}, or widths below {1 / LARGEST:g}: give centres around -1 to 1")
    return heatmaps
