"""The facts about a model that a page needs."""
import hashlib
import json
import os

from oasis_jax import saved
from oasis_jax.checkpoint import FOLDER
from oasis_jax.family import name_of
from oasis_jax.heatmaps import LEVELS, maps_of
from oasis_jax.sample_labels import class_colours, label_rule
from oasis_jax.studio.file_rule import written_ids
from oasis_jax.studio.image_request import MODEL_ID, class_names

_LARGEST_UNIT = 1 << 12


def model_facts(model, checkpoint, size, examples=(), preview=False, rule=None):
    """The facts about a `family.Model`, as JSON values.

    Args:
        model: family.Model.
        checkpoint: name of the model in recipes: that of a model in this package, a path, or a name for people only.
        size: (H, W) of the images.
        examples: names of examples.
        preview: whether a part of an image can be computed faster than the whole.
        rule: LabelRule of label files, which defines the stored ids of the classes and, if it has a palette, their colours; by default
            that of the model.

    Returns:
        dict. `found`: whether the sampling command finds the model by the name in a recipe, without --checkpoint. Colours: [r, g, b] in
        0..255. `stored`: the ids of the classes in label files. `multiple`: both sides of an image must be multiples of it. `levels`:
        indices of the heatmaps of each level. `styles`: number of style rows, 0 if there are none. `noise_kind`: for recipes of models
        with a choice of noise, the one chosen; else None. `model_id`: text that differs if any other fact does, except examples and
        preview; requests for images name it, and so do answers that hold label maps.
    """
    height, width = size
    facts = {
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
        "noise_kind": getattr(model, "noise", None),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode(errors="replace")).hexdigest()
    shown = {"preview": preview, "examples": [{"name": each} for each in examples]}
    return facts | shown | {"model_id": digest[: MODEL_ID.longest]}


def name_of_run(path):
    """The display name of a checkpoint: that of its run's folder, without the `checkpoints` and step folders inside it."""
    parts = [part for part in os.fspath(path).rstrip("/").split("/") if part]
    if len(parts) > 2 and parts[-2] == FOLDER and parts[-1].isdecimal():
        parts.pop()
    if len(parts) > 1 and parts[-1] == FOLDER:
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
    stored = written_ids(label_rule(model) if rule is None else rule)
    return [
        {"id": number, "name": name, "color": colours[number].tolist(), "dont_care": number == dontcare, "stored": stored[number]}
        for number, name in enumerate(class_names(model))
    ]
