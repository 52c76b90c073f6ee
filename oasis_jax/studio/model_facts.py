"""What a page has to know of a model."""
import os

import numpy as np

from oasis_jax import pictures
from oasis_jax.family import name_of
from oasis_jax.heatmaps import LEVELS, maps_of
from oasis_jax.sample_labels import label_rule
from oasis_jax.studio.image_request import class_names

_LARGEST_UNIT = 1 << 12


def model_facts(model, name, size, examples=(), preview=False):
    """JSON values on a `family.Model`.

    Args:
        model: family.Model.
        name: that people know it by.
        size: (H, W) of the images.
        examples: names of examples.
        preview: whether a part of an image can be computed faster than the whole.

    Returns:
        dict; colours are [r, g, b] in 0..255, `multiple` is what both sides must be multiples of, `levels` are the numbers of the heatmaps
        of each level, `styles` is the number of style rows, and 0 without.
    """
    height, width = size
    return {
        "name": name,
        "step": int(model.step),
        "family": name_of(model.config),
        "height": height,
        "width": width,
        "multiple": _unit(model),
        "min": [height, width],
        "max": [height, width],
        "classes": _classes(model) if class_names(model) else [],
        "labels": bool(class_names(model)),
        "noise": model.has_noise,
        "spatial": model.spatially_aware,
        "isotropic": getattr(model, "isotropic", False),
        "levels": [maps_of(level) for level in LEVELS],
        "styles": getattr(model, "num_styles", 0),
        "preview": preview,
        "examples": [{"name": each} for each in examples],
    }


def name_of_run(path):
    """What people call a checkpoint: its run's folder, without those of checkpoints."""
    parts = [part for part in os.fspath(path).rstrip("/").split("/") if part]
    while len(parts) > 1 and (parts[-1] == "checkpoints" or parts[-1].isdecimal()):
        parts.pop()
    return parts[-1].encode(errors="replace").decode() if parts else os.fspath(path)


def _unit(model):
    if not class_names(model):
        return model.image_size[0]
    unit = 1
    while unit < _LARGEST_UNIT:
        try:
            model.check_size(unit, unit)
            break
        except ValueError:
            unit *= 2
    return unit


def _classes(model):
    dontcare, colours = model.config.data.get("dontcare_id"), _colours(model)
    return [
        {"id": number, "name": name, "color": colours[number].tolist(), "dont_care": number == dontcare}
        for number, name in enumerate(class_names(model))
    ]


def _colours(model):
    """uint8 (N, 3): those of the run's palette where it has the class, else those of the project's pictures."""
    colours, rule = pictures.colours(model.num_classes), label_rule(model)
    if rule.palette is not None:
        stored = np.arange(min(len(rule.palette), len(rule.table)))
        for row in stored[::-1][rule.table[stored[::-1]] >= 0]:  # of several stored ids, the first gives the colour
            colours[rule.table[row]] = rule.palette[row]
    return colours
