"""The request of a page: one image with everything that it depends on, so that the server need not store it."""
import dataclasses

import numpy as np

from oasis_jax.heatmaps import NUM_MAPS
from oasis_jax.noise import NUM_SEEDS, Regions, RegionSeed
from oasis_jax.recipes import Recipe
from oasis_jax.studio.framing import FramingError, array_of
from oasis_jax.studio.json_fields import Named, OrNull, Real, Record, Row, Several, Text, Whole

MAX_REGIONS = 63
MAX_PAIRS = 64  # pairs of region and class in one image: rows of the table that programs are compiled for
SEED = Whole(0, NUM_SEEDS - 1)
POSITION = Real(0, 1)
CENTRE = Real(-4, 4)  # centres of a seed may lie outside the image
WIDTH = Real(0.001, 10)
MODEL_ID = Text(16)  # of `model_facts`


@dataclasses.dataclass(frozen=True, eq=False)
class ImageRequest:
    """A request for one image.

    Attributes:
        labels: integer (H, W); None for a model without label maps.
        recipe: Recipe, with regions if there are any.
        box: (top, left, height, width) of the changed part, to be previewed if whole images are slow; None for the exact image.
        tab: name of the browser page; a preview starts from the last exact image of the same page. "" for an image that no preview
            should start from, because the page does not show it.
    """

    labels: np.ndarray | None
    recipe: Recipe
    box: tuple[int, int, int, int] | None = None
    tab: str = ""


def schema(model, size):
    """The Record that checks the header of a request: only fields that apply to the `family.Model`, and images of `size` (H, W)."""
    height, width = size
    of_classes = {"class_seeds": (Named(class_names(model), SEED), {})} if class_names(model) else {}
    end = Record({"seed": SEED, **{name: kind for name, (kind, _) in of_classes.items()}}, {name: {} for name in of_classes})
    box = Record({"top": Whole(0, height - 1), "left": Whole(0, width - 1), "height": Whole(1, height), "width": Whole(1, width)})
    optional = {"end": (OrNull(end), None), "t": (POSITION, 0.0), "preview": (OrNull(box), None), "tab": (Text(), "")}
    optional["model_id"] = (MODEL_ID, "")  # compared in `answers.py`
    if class_names(model):
        region = Record({"seed": SEED, "end": OrNull(SEED), "t": POSITION}, {"end": None, "t": 0.0})
        optional |= of_classes | {"regions": (Several(region, 0, MAX_REGIONS), ())}
    if model.spatially_aware:
        optional["heatmaps"] = (OrNull(Several(Row((CENTRE, CENTRE, WIDTH)), NUM_MAPS, NUM_MAPS)), None)
    if rows := getattr(model, "num_styles", 0):
        optional |= {"truncation": (Real(-2, 2), 1.0), "style_seeds": (Named(tuple(map(str, range(rows))), SEED), {})}
    fields = {"height": Whole(height, height), "width": Whole(width, width), "seed": SEED}
    return Record(fields | {name: kind for name, (kind, _) in optional.items()}, {name: unset for name, (_, unset) in optional.items()})


def class_names(model):
    """The names of a model's classes; () for a model without label maps."""
    return getattr(model, "class_names", ())


def id_dtype(model):
    """The dtype of label maps in messages: uint8 for at most 256 classes, else uint16."""
    return np.dtype(np.uint8 if model.num_classes <= 256 else np.uint16)


def read_request(model, size, header, data):
    """Reads the ImageRequest in a message.

    Args:
        model: family.Model.
        size: (H, W) of its images.
        header: dict of JSON values, in the form of `schema`.
        data: the bytes after the header: the label map, and the map of regions if the header lists any.

    Raises:
        FramingError, ValueError: the message says what is wrong.
    """
    found, names = schema(model, size)(header), class_names(model)
    labels, regions = None, None
    if names:
        labels, data = array_of(data, id_dtype(model), size, "the label map")
        if labels.max() >= model.num_classes:
            raise ValueError(f"the label map holds class {labels.max()}, but the model has classes 0..{model.num_classes - 1}")
        if found["regions"]:
            region_map, data = array_of(data, np.uint8, size, "the map of regions")
            regions = Regions(region_map, tuple(RegionSeed(each["seed"], each["end"], each["t"]) for each in found["regions"]))
        _check_pairs(labels if regions is None else region_map * np.int64(model.num_classes) + labels)
    if len(data):
        raise FramingError(f"the message has {len(data)} bytes after its last array")

    def side(values):
        return values["seed"], {names.index(name): seed for name, seed in values.get("class_seeds", {}).items()}

    recipe = Recipe(
        *side(found),
        end=found["end"] and side(found["end"]),
        t=found["t"],
        base_heatmaps=found.get("heatmaps"),
        truncation=found.get("truncation", 1.0),
        style_seeds={int(row): seed for row, seed in found.get("style_seeds", {}).items()},
        regions=regions,
    )
    box = found["preview"] and tuple(found["preview"][name] for name in ("top", "left", "height", "width"))
    if box and (box[0] + box[2] > size[0] or box[1] + box[3] > size[1]):
        raise ValueError(f"preview is {found['preview']}, which extends beyond the image of {size[0]}x{size[1]}")
    return ImageRequest(labels, recipe, box, found["tab"])


def write_image(model, image):
    """The inverse of `read_request`, for an ImageRequest without box: (header, label map or None, map of regions or None).

    Raises:
        ValueError: the recipe has something that a request cannot express.
    """
    recipe, names = image.recipe, class_names(model)
    if recipe.truncated_rows is not None:
        raise ValueError(f"truncated_rows is {recipe.truncated_rows}, but only all rows can be truncated here: leave it out")

    def side(seed, class_seeds):
        return {"seed": seed} | ({"class_seeds": {names[i]: each for i, each in class_seeds.items()}} if names else {})

    height, width = model.image_size if image.labels is None else image.labels.shape
    end = None if recipe.end is None else side(*recipe.end)
    header = {"height": height, "width": width, **side(recipe.seed, recipe.class_seeds), "end": end, "t": recipe.t}
    labels, region_map = image.labels, None
    if names:
        labels, header["regions"] = labels.astype(id_dtype(model)), []
        if recipe.regions is not None and recipe.regions.seeds:
            header["regions"], region_map = [each._asdict() for each in recipe.regions.seeds], recipe.regions.map
    if model.spatially_aware:
        of_seed = dataclasses.replace(recipe, base_heatmaps=None, centres=None, shifts={}, width_factors={})
        header["heatmaps"] = None if recipe == of_seed else recipe.heatmaps().tolist()
    if getattr(model, "num_styles", 0):
        header |= {"truncation": recipe.truncation, "style_seeds": {str(row): seed for row, seed in recipe.style_seeds.items()}}
    return header, labels, region_map


def _check_pairs(pairs):
    count = np.count_nonzero(np.bincount(pairs.ravel()))
    if count > MAX_PAIRS:
        raise ValueError(f"the image has {count} classes or pairs of region and class, at most {MAX_PAIRS} are computed: merge some")
