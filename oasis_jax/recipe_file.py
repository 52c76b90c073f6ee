"""`recipe.json`: one image in one file, to be opened by the studio and by `python -m oasis_jax.sample --recipe=recipe.json`.

The file is JSON in UTF-8 with these fields and no others:

    format      1
    model       name of a model of this package, such as "scenes", or path of a checkpoint
    step        of the model: number of updates; may be left out
    image_size  [height, width]
    classes     names of the classes, in order                                   } of models that take label maps
    label_map   base64 of a PNG of image_size whose palette indices are classes  }
    noise       of models with a choice of noise: the one chosen; may be left out
    recipe      how the image is drawn
    made_by     the program that wrote the file; not read

A label map of more than 256 classes is a PNG in grey with 16 bits; a PNG in grey with 8 bits is read too. `recipe` is what
`Recipe.as_json` returns, as in samples.json. All of its fields but the first may be left out:

    seed            integer in 0..2**32-1, like all seeds
    class_seeds     {"class name": seed}
    regions         {"map": base64 of a PNG of image_size, grey with 8 bits, "seeds": [{"seed": 5}, {"seed": 5, "end": 9, "t": 0.25}, ...]}
                    pixels of value k > 0 have the noise of entry k - 1, from seed to end at t; pixels of value 0 have that of the rest
    interpolation   {"seed": 3, "class_seeds": {...}, "t": 0.5}, the second noise, and the position from 0 to 1 on the way to it
    centres         [[y, x]] of the coarse heatmap, which the others follow, or of all 7; the image is [-1, 1] along both
    base_heatmaps   7 of [y, x, width], instead of those of the seeds
    shifts          {"0": [dy, dx], ...} of single heatmaps, 0 to 6
    width_factors   {"0": factor, ...} of single heatmaps
    truncation      psi, and truncated_rows, the number of style rows that it applies to: for models with styles
    style_seeds     {"0": seed, ...} of single style rows

A file may come from anywhere: `read` allocates little before it has checked the contents, and refuses unknown fields.
"""
import dataclasses
import json

import numpy as np

import oasis_jax
from oasis_jax import id_maps, pictures
from oasis_jax.fields import MAX_IDS
from oasis_jax.files import expanded, regular, write_whole
from oasis_jax.heatmaps import NUM_MAPS
from oasis_jax.json_values import checked_object, integer, key_below, mapping, number, parse, several, shown, text
from oasis_jax.noise import NUM_SEEDS
from oasis_jax.recipes import Recipe, unique_names

FORMAT = 1
MAX_BYTES = 8 << 20
_MAX_SIDE, _MAX_STYLES, _LARGE = 1 << 14, 1 << 10, 1e3
_FIELDS = {"format", "model", "step", "image_size", "classes", "label_map", "noise", "recipe", "made_by"}


@dataclasses.dataclass(frozen=True, eq=False)
class RecipeFile:
    """What a recipe.json holds.

    Attributes:
        model: name of a model of this package, or path of a checkpoint.
        image_size: (H, W).
        labels: uint8 or uint16 (H, W) of classes; None for a model that takes no label maps.
        recipe: Recipe.
        class_names: of the model, all different; () for a model without classes.
        step: of the model; None if it is unknown.
        noise: of a model with a choice of noise; None for that of its config.
    """

    model: str
    image_size: tuple[int, int]
    labels: np.ndarray | None
    recipe: Recipe
    class_names: tuple[str, ...] = ()
    step: int | None = None
    noise: str | None = None


def encoded(file, palette=None):
    """Encodes a RecipeFile as bytes for `read`.

    Args:
        file: RecipeFile.
        palette: uint8 (N, 3), colours of the classes in the PNG of the label map; by default `pictures.colours`.
    """
    names = tuple(file.class_names)
    found = {"format": FORMAT, "made_by": f"{__package__} {oasis_jax.__version__}", "model": str(file.model)}
    found |= {"step": int(file.step)} if file.step is not None else {}
    found |= {"image_size": [int(side) for side in file.image_size]}
    if file.labels is not None:
        palette = pictures.colours(len(names)) if palette is None else palette
        found |= {"classes": list(names), "label_map": id_maps.as_text(file.labels, palette)}
    found |= {"noise": file.noise} if file.noise is not None else {}
    found |= {"recipe": file.recipe.as_json(names)}
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False).encode()


def write(target, model, labels, recipe, class_names=(), palette=None, image_size=None, step=None, noise=None):
    """Writes a recipe.json.

    Args:
        target: path, or a binary stream.
        image_size: (H, W), needed only without labels.
        model, labels, recipe, class_names, step, noise: as in RecipeFile.
        palette: as in `encoded`.
    """
    size = tuple(image_size) if labels is None else np.shape(labels)
    data = encoded(RecipeFile(model, size, labels, recipe, tuple(class_names), step, noise), palette)
    target.write(data) if hasattr(target, "write") else write_whole(expanded(target), data)


def open_file(path):
    """Reads the RecipeFile of a path (`~` and gs:// work); raises ValueError, naming the file, as `read` does or if it cannot be read."""
    try:
        file = regular(expanded(path))
        if file.stat().length > MAX_BYTES:
            raise ValueError(_too_long(file.stat().length))
        return read(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror or error}): name a recipe.json") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read(data):
    """Reads the bytes of a recipe.json.

    Returns:
        RecipeFile.

    Raises:
        ValueError: anything in it is missing, unknown or out of range; one line that names the field.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(_too_long(len(data)))
    try:
        found = parse(data)
    except ValueError as error:
        raise ValueError(f"it is no recipe.json ({str(error)[:100]})") from None
    if not isinstance(found, dict) or "format" not in found:
        raise ValueError("it is no recipe.json: it lacks the field format")
    if found["format"] != FORMAT or isinstance(found["format"], bool):
        raise ValueError(f"its format is {shown(found['format'])}, but this version of the package reads format {FORMAT}: update it")
    checked_object(found, _FIELDS, {"model", "image_size", "recipe"}, "")
    names, labels, size = (), None, tuple(several((2,), integer(1, _MAX_SIDE))(found["image_size"], "image_size"))
    if ("label_map" in found) != ("classes" in found):
        raise ValueError("label_map and classes belong together: give both, or neither")
    if "label_map" in found:
        names = unique_names(several(range(1, MAX_IDS + 1), text)(found["classes"], "classes"))
        labels = _ids(found["label_map"], "label_map", size)
        if labels.max() >= len(names):
            raise ValueError(f"label_map holds class {labels.max()}, but there are {len(names)} classes (0..{len(names) - 1})")
    return RecipeFile(
        model=text(found["model"], "model"),
        image_size=size,
        labels=labels,
        recipe=checked_recipe(found["recipe"], names, size if names else None),
        class_names=names,
        step=integer(0, 2**53)(found["step"], "step") if "step" in found else None,
        noise=text(found["noise"], "noise") if "noise" in found else None,
    )


def checked_recipe(record, names=(), size=None):
    """Checks a whole record, as in the field `recipe`, and returns its Recipe.

    Args:
        record: JSON value.
        names: of the classes of the model.
        size: (H, W) of the label map; None without one.

    Raises:
        ValueError: as `read`.
    """
    seed, finite, maps = integer(0, NUM_SEEDS - 1), number(-_LARGE, _LARGE), key_below(NUM_MAPS, "heatmap")
    pair, width, t = several((2,), finite), number(0, _LARGE, above=True), number(0, 1)
    class_seeds = mapping(_key_of_class(names), seed)
    side = {"seed": seed, "class_seeds": class_seeds}
    checks = side | {
        "interpolation": _fields(side | {"t": t}, {"seed", "t"}),
        "centres": several((1, NUM_MAPS), pair),
        "base_heatmaps": several((NUM_MAPS,), several((3,), finite)),
        "shifts": mapping(maps, pair),
        "width_factors": mapping(maps, width),
        "style_seeds": mapping(key_below(_MAX_STYLES, "style row"), seed),
        "truncation": finite,
        "truncated_rows": integer(0, _MAX_STYLES),
        "regions": _fields({"map": _region_map(size), "seeds": several(range(256), _region_seed)}, {"map", "seeds"}),
    }
    _fields(checks, {"seed"})(record, "recipe")
    try:
        recipe = Recipe.from_json(record, names)
        recipe.heatmaps()  # raises for parts that do not fit together
    except ValueError as error:
        raise ValueError(f"recipe: {error}") from None
    return recipe


def _fields(checks, needed):
    """Returns the check for an object whose fields each have a check of their own."""

    def check(value, field):
        for name, each in checked_object(value, checks.keys(), needed, field).items():
            checks[name](each, f"{field}.{name}")
        return value

    return check


def _region_seed(value, field):
    seed = integer(0, NUM_SEEDS - 1)
    _fields({"seed": seed, "end": seed, "t": number(0, 1)}, {"seed"})(value, field)
    if ("end" in value) != ("t" in value):
        raise ValueError(f"{field} has only one of end and t: give both, or neither")
    return value


def _region_map(size):
    def check(value, field):
        if size is None:
            raise ValueError(f"{field} needs a label_map: leave out the regions")
        if _ids(value, field, size).dtype != np.uint8:
            raise ValueError(f"{field} is a PNG of 16 bits, but should be grey with 8 bits")

    return check


def _key_of_class(names):
    known = set(names)

    def check(key, field):
        if key not in known:
            raise ValueError(f"{field}: there is no class {shown(key)} among the classes of the model")
        return key

    return check


def _ids(value, field, size):
    try:
        ids = id_maps.from_text(value)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None
    if ids.shape != size:
        raise ValueError("{} is a PNG of {}x{}, but image_size is {}x{}".format(field, *ids.shape, *size))
    return ids


def _too_long(length):
    return f"it has {length} bytes, but a recipe.json has at most {MAX_BYTES}"
