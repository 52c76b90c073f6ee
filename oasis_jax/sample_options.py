"""The options of the sampling command that say which images to generate: from flags to recipes, before anything is generated."""
import dataclasses
import difflib
import re

from oasis_jax import series
from oasis_jax.files import one_line
from oasis_jax.heatmaps import ALL, maps_of
from oasis_jax.recipes import Recipe

SHEET_COLUMNS = 8  # samples in a row of the contact sheet, if rows do not begin with a label map
FRAMES = 8  # along a path, by default


@dataclasses.dataclass(frozen=True)
class Plan:
    """The images of each label map (all images, for a model without label maps), and how the contact sheet shows them.

    Attributes:
        recipes: list of Recipe.
        cells: rows of the contact sheet, each a list with the number of the image in each cell, or None for an empty cell.
        path_of: if the images are frames along a path, what moves, a name for `heatmaps.maps_of`; the sheet then shows heatmaps and change.
    """

    recipes: list[Recipe]
    cells: list[list[int | None]]
    path_of: str = ""


def make_plan(options, model):
    """The Plan of the options (attributes of `options`).

    Raises:
        ValueError: an option does not fit the model or another option; the message says what to do.
    """
    _refuse_useless(options, model)
    class_names = getattr(model, "class_names", ())
    class_seeds = _class_seeds(options.noise_seed_per_class, class_names)
    resample = tuple(find_class(name, class_names) for name in options.resample_classes)
    if both := set(resample) & set(class_seeds):
        raise ValueError(f"class {min(both)} is both in --resample_classes, to be redrawn, and in --noise_seed_per_class: choose one")
    first = Recipe(
        options.seed,
        class_seeds,
        centres=_points("heatmap_centres", options.heatmap_centres) or None,
        truncation=1.0 if options.truncation is None else options.truncation,
        truncated_rows=options.truncated_rows,
        shifts=_shifts(options.heatmap_shift),
        width_factors=_width_factors(options.heatmap_scale),
    )
    first.heatmaps()  # raises for centres that do not fit
    if options.truncated_rows is not None:
        _check_rows("truncated_rows", [options.truncated_rows - 1], model.num_styles)
    chosen = [name for name in ("interpolate", "path", "style_mixing") if getattr(options, name)]
    if len(chosen) > 1:
        raise ValueError(f"--{chosen[0]} and --{chosen[1]} both say what varies: choose one")
    if options.interpolate:
        return _interpolation(options, series.samples(first, 2, resample))
    if options.path:
        return _path(options, first)
    if options.style_mixing:
        return _mixed_styles(options, first, model.num_styles)
    if not (model.has_noise or model.spatially_aware) and options.count > 1:
        raise ValueError("this model has no noise, so all its samples are equal: ask for one sample")
    numbers, columns = list(range(options.count)), options.count if class_names else SHEET_COLUMNS
    cells = [numbers[first : first + columns] for first in range(0, options.count, columns)]
    return Plan(series.samples(first, options.count, resample), cells)


def find_class(name, class_names):
    """The class of this name or number; raises ValueError naming the nearest names, or the numbers of several classes of one name."""
    called_so = [number for number, each in enumerate(class_names) if each == name]
    if len(called_so) > 1:
        raise ValueError(f"{len(called_so)} classes are called {name!r}: give one of the numbers {', '.join(map(str, called_so))}")
    if called_so:
        return called_so[0]
    if name.isdecimal() and int(name) < len(class_names):
        return int(name)
    nearest = difflib.get_close_matches(name, class_names, n=3, cutoff=0.3) or class_names[:5]
    meant = " or ".join(map(one_line, nearest))
    raise ValueError(f"there is no class {name!r}; did you mean {meant}? Numbers 0..{len(class_names) - 1} work too")


def _refuse_useless(options, model):
    of_classes, of_heatmaps = ("resample_classes", "noise_seed_per_class"), ("heatmap_centres", "heatmap_shift", "heatmap_scale", "path")
    of_styles = ("truncation", "truncated_rows", "style_mixing", "mixed_rows")
    modes = getattr(model, "noise_modes", ())
    with_classes = hasattr(model, "class_names")
    for useful, why, names in (
        (with_classes, "this model has no classes", of_classes),
        (with_classes, "this model generates images of one size", ("size",)),
        (model.has_noise, "this model has no noise", of_classes),
        (model.spatially_aware, "this model was trained without model.spatial_awareness", of_heatmaps),
        (getattr(model, "num_styles", 0), "this model has no styles", of_styles),
        (modes, "this model has no choice of noise", ("noise",)),
    ):
        given = [f"--{name}" for name in names if getattr(options, name) not in (None, "", [])]
        if given and not useful:
            raise ValueError(f"{why}: omit {' and '.join(given)}")
    if options.noise and options.noise not in modes:
        raise ValueError(f"--noise={options.noise} is not one of {', '.join(modes)}")
    for limit, limited in (("truncated_rows", "truncation"), ("mixed_rows", "style_mixing")):
        if getattr(options, limit) not in (None, []) and getattr(options, limited) in (None, []):
            raise ValueError(f"--{limit} says which style rows --{limited} concerns: give both, or neither")
    if not options.path and (given := [f"--{name}" for name in ("path_of", "frames") if getattr(options, name) is not None]):
        raise ValueError(f"{' and '.join(given)} need --path: give it too, or omit them")


def _interpolation(options, ends):
    if options.count > 1:
        raise ValueError("--interpolate generates frames from sample 0 to sample 1: leave --count out")
    if options.interpolate == 1:
        raise ValueError("--interpolate=1 is not an interpolation: give 2 frames or more")
    return Plan(series.interpolation(*ends, options.interpolate), [list(range(options.interpolate))])


def _path(options, first):
    if options.count > 1:
        raise ValueError("--path generates frames of sample 0: leave --count out")
    ends, moved = _points("path", options.path), options.path_of or ALL
    if len(ends) != 2:
        raise ValueError(f"--path={','.join(options.path)} has {len(ends)} points: give first and last, such as 0:-0.7,0:0.7")
    if first.centres and moved == ALL:
        raise ValueError("--path and --heatmap_centres both place the coarse centre: omit one, or choose a level with --path_of")
    count = options.frames or FRAMES
    frames = series.path(first, moved, *ends, count)
    for frame in frames:
        frame.heatmaps()  # raises for points that are not finite
    return Plan(frames, [list(range(count))], path_of=moved)


def _mixed_styles(options, first, num_styles):
    if not options.mixed_rows:
        raise ValueError(f"--style_mixing: say with --mixed_rows=4-7 which of the style rows 0 to {num_styles - 1} come from its seeds")
    rows, seeds = _numbers("mixed_rows", options.mixed_rows), _numbers("style_mixing", options.style_mixing)
    _check_rows("mixed_rows", rows, num_styles)
    recipes, cells = [], []
    for row in series.mixed_styles(series.samples(first, options.count), seeds, rows):
        cells.append([None if recipe is None else len(recipes) + number for number, recipe in enumerate(row, -(row[0] is None))])
        recipes += [recipe for recipe in row if recipe is not None]
    return Plan(recipes, cells)


def _check_rows(name, rows, num_styles):
    if wrong := [row for row in rows if row >= num_styles]:
        raise ValueError(f"--{name}: there is no style row {wrong[0]}; this model has {num_styles}, 0 to {num_styles - 1}")


def _class_seeds(entries, class_names):
    pairs = [re.fullmatch(r"(.+)=(\d+)", entry) for entry in entries]
    if not all(pairs):
        raise ValueError(f"--noise_seed_per_class={','.join(entries)}: write class=seed pairs, such as road=3,car=7")
    return {find_class(pair[1], class_names): int(pair[2]) for pair in pairs}


def _points(name, entries):
    """(y, x) pairs from "y:x" texts."""
    try:
        return tuple((float(y), float(x)) for y, x in (entry.split(":") for entry in entries))
    except ValueError:
        raise ValueError(f"--{name}={','.join(entries)}: write y:x pairs, such as 0.2:-0.5") from None


def _shifts(entries):
    """{map: (dy, dx)} from "l1=dy:dx" texts; shifts of one map are added."""
    shifts = {}
    for names, _, text in (entry.partition("=") for entry in entries):
        ((dy, dx),) = _points("heatmap_shift", [text])
        for number in maps_of(names):
            before = shifts.get(number, (0.0, 0.0))
            shifts[number] = (before[0] + dy, before[1] + dx)
    return shifts


def _width_factors(entries):
    """{map: factor} from "l1=factor" texts; factors of one map are multiplied."""
    factors = {}
    for name, _, text in (entry.partition("=") for entry in entries):
        try:
            factor = float(text)
        except ValueError:
            raise ValueError(f"--heatmap_scale={','.join(entries)}: write pairs of heatmaps and factor, such as l1=1.5,6=0.5") from None
        for number in maps_of(name):
            factors[number] = factors.get(number, 1.0) * factor
    return factors


def _numbers(name, entries):
    """Numbers from texts such as "3" and "4-7"."""
    pairs = [re.fullmatch(r"(\d+)(?:-(\d+))?", entry) for entry in entries]
    if not all(pairs):
        raise ValueError(f"--{name}={','.join(entries)}: write numbers and ranges, such as 0,4-7")
    ranges = [(int(pair[1]), int(pair[2] or pair[1])) for pair in pairs]
    if backwards := [f"{first}-{last}" for first, last in ranges if last < first]:
        raise ValueError(f"--{name}={','.join(entries)}: the range {backwards[0]} runs backwards")
    return [number for first, last in ranges for number in range(first, last + 1)]
