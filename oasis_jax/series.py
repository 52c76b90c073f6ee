"""Series of recipes: samples, frames of an interpolation or along a path, and grids of mixed styles."""
import dataclasses

import numpy as np

from oasis_jax.heatmaps import maps_of, position
from oasis_jax.recipes import Recipe


def samples(first, count, resample_classes=()):
    """The Recipes of `count` samples; sample k has the noise of the first one's seed + k.

    Args:
        first: Recipe of sample 0.
        count: number of samples.
        resample_classes: the only classes that have the noise of seed + k in sample k; () means all, and also styles and heatmaps.
    """
    seeds = [first.seed + k for k in range(count)]
    if not resample_classes:
        return [dataclasses.replace(first, seed=seed) for seed in seeds]
    others = (dict.fromkeys(resample_classes, seed) for seed in seeds[1:])
    return [first, *(dataclasses.replace(first, class_seeds=first.class_seeds | other) for other in others)]


def interpolation(start, end, count):
    """The Recipes of `count` frames from the noise and heatmaps of the seeds of one Recipe to those of another.

    All else is that of `start`: styles, and heatmaps that were placed by hand, too.
    """
    return [dataclasses.replace(start, end=(end.seed, end.class_seeds), t=float(t)) for t in np.linspace(0, 1, count)]


def path(recipe, name, start, end, count):
    """The Recipes of `count` frames in which heatmaps move on a straight line; all else is fixed.

    Args:
        recipe: Recipe of the image.
        name: what moves, as in `heatmaps.maps_of`. With "all", the coarse centre is on the line, and the others keep their offsets from it.
            With a level, the mean of its centres is on the line, and the other levels stay.
        start, end: (y, x) of the first and of the last frame.
        count: number of frames.
    """
    frames = []
    for at in np.linspace(start, end, count):
        offset = at - position(recipe.heatmaps(), name)
        shifts = {number: tuple((np.asarray(recipe.shifts.get(number, (0, 0))) + offset).tolist()) for number in maps_of(name)}
        frames.append(dataclasses.replace(recipe, shifts=recipe.shifts | shifts))
    return frames


def mixed_styles(recipes, seeds, rows):
    """A grid of style mixing, row by row.

    Args:
        recipes: Recipe of each row of the grid, for noise, heatmaps and the other style rows.
        seeds: seed of each column, for the style rows `rows`.
        rows: numbers of style rows, coarse to fine.

    Returns:
        A list of rows, the first with the seeds of the columns themselves: [[None, column 0, ...], [row 0, row 0 with column 0, ...], ...].
    """
    columns = [dataclasses.replace(recipes[0], seed=seed) for seed in seeds]
    grid = [[recipe, *(dataclasses.replace(recipe, style_seeds=dict.fromkeys(rows, seed)) for seed in seeds)] for recipe in recipes]
    return [[None, *columns], *grid]


def caption(recipe):
    """What distinguishes a recipe from the others of its series, as a short text."""
    text = f"seed {recipe.seed}"
    if recipe.end is not None:
        text = f"t {recipe.t:.2f}"
    elif recipe.class_seeds or recipe.style_seeds:
        text += f" + {', '.join(map(str, dict.fromkeys((recipe.class_seeds | recipe.style_seeds).values())))}"
    return text if recipe.truncation == Recipe(0).truncation else f"{text}, psi {recipe.truncation:g}"
