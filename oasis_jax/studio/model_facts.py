"""What a page has to know of a model."""
import os

from oasis_jax import saved
from oasis_jax.family import name_of
from oasis_jax.heatmaps import LEVELS, maps_of
from oasis_jax.sample_labels import class_colours
from oasis_jax.studio.image_request import class_names

_LARGEST_UNIT = 1 << 12


def model_facts(model, checkpoint, size, examples=(), preview=False, rule=None):
    """JSON values on a `family.Model`.

    Args:
        model: family.Model.
        checkpoint: the model as recipes name it: a name of this package, a path, or what only people understand.
        size: (H, W) of the images.
        examples: names of examples.
        preview: whether a part of an image can be computed faster than the whole.
        rule: LabelRule of label files, whose palette gives the classes their colours; by default that of the model.

    Returns:
        dict; `found` says whether the sampling command finds the model that a recipe names, without --checkpoint; colours are [r, g, b]
        in 0..255, `multiple` is what both sides must be multiples of, `levels` are the numbers of the heatmaps of each level, `styles` is
        the number of style rows, and 0 without.
    """
    height, width = size
    return {
        "name": name_of_run(checkpoint),
        "model": checkpoint,
        "found": checkpoint in saved.names() or checkpoint.startswith(("/", "~")),
        "step": int(model.step),
        "family": name_of(model.config),
        "height": height,
        "width": width,
        "multiple": _unit(model),
        "min": [height, width],
        "max": [height, width],
        "classes": _classes(model, rule) if class_names(model) else [],
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


def _classes(model, rule):
    dontcare, colours = model.config.data.get("dontcare_id"), class_colours(model, rule)
    return [
        {"id": number, "name": name, "color": colours[number].tolist(), "dont_care": number == dontcare}
        for number, name in enumerate(class_names(model))
    ]
