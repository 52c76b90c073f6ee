"""The initial state of a studio: a model, the size of its images, and the label maps that it offers."""
import dataclasses
import hashlib
import os

import numpy as np

from oasis_jax import sampling, saved
from oasis_jax.data.image_files import DataError
from oasis_jax.data.labels import LabelRule
from oasis_jax.family import Model
from oasis_jax.sample_labels import label_rule
from oasis_jax.studio.examples import Examples, find_examples
from oasis_jax.studio.file_rule import FileRule, file_rule
from oasis_jax.studio.fitting import fitted
from oasis_jax.studio.image_request import class_names
from oasis_jax.studio.model_facts import model_facts

_OF_PYTHON = "model"  # name, in recipes, of a model that was given as an object


@dataclasses.dataclass(frozen=True)
class Beginning:
    """The initial state of a studio.

    Attributes:
        model: family.Model.
        checkpoint: name of the model in recipes (`saved.reference`).
        size: (H, W) of the images.
        rule: LabelRule of the ids in label files; None for a model without label maps.
        file_rule: FileRule of label files, made from `rule`; None for a model without label maps.
        examples: Examples.
    """

    model: Model
    checkpoint: str
    size: tuple[int, int]
    rule: LabelRule | None
    file_rule: FileRule | None
    examples: Examples

    def facts(self, renderer):
        """The facts that a page needs (`model_facts`); the Renderer must be compiled."""
        return model_facts(self.model, self.checkpoint, self.size, self.examples.names, renderer.previews is not None, self.rule)


def begin_with(given, labels=None, size=None, best=False, changed=None):
    """Loads the model and finds the examples of a studio, and returns them as a Beginning.

    Args:
        given: a run, the folder of a checkpoint or a packed model, the name of a model in the package, or a family.Model.
        labels: examples: a label file, a folder of them or a pattern; or integer classes (H, W) or (B, H, W). By default procedural scenes,
            if the model was trained on them.
        size: (H, W) of the images; by default that of the training images.
        best: take the best checkpoint of a run, not the latest.
        changed: config fields that replace those of the checkpoint when label files are read.

    Raises:
        CheckpointError: there is no such checkpoint.
        DataError, ValueError: labels or size do not fit the model.
    """
    is_path = isinstance(given, str | os.PathLike)
    model = sampling.load(given, best) if is_path else given
    size = _checked_size(model, size)
    rule = label_rule(model, changed) if class_names(model) else None
    of_files = None if rule is None else file_rule(model, rule)
    if labels is not None and rule is None:
        raise ValueError("this model takes no label maps: omit labels (--labels)")
    of_arrays = labels is not None and not isinstance(labels, str | os.PathLike)
    examples = _of_arrays(model, size, labels) if of_arrays else find_examples(model, size, of_files, labels)
    return Beginning(model, saved.reference(given) if is_path else _OF_PYTHON, size, rule, of_files, examples)


def digest(labels):
    """A short hash of `labels` of `begin_with`, by which a page finds the stored work that began with them."""
    if labels is None:
        return ""
    of_path = isinstance(labels, str | os.PathLike)
    array = np.asarray([] if of_path else labels)
    text = f"{labels}" if of_path else f"{array.shape} {array.dtype}"
    return hashlib.sha256(text.encode(errors="surrogateescape") + array.tobytes()).hexdigest()[:16]


def _checked_size(model, size):
    if not size:
        return tuple(model.image_size)
    if not class_names(model):
        raise ValueError("this model generates images of one size: omit size (--size)")
    model.check_size(*size)
    return tuple(size)


def _of_arrays(model, size, labels):
    maps = np.asarray(labels)
    maps = maps[None] if maps.ndim == 2 else maps
    if maps.ndim != 3 or not maps.size or not np.issubdtype(maps.dtype, np.integer):
        raise DataError(f"labels are {maps.dtype} {maps.shape}: give integer classes (H, W) or (B, H, W), a label file or a folder")
    if maps.min() < 0 or maps.max() >= model.num_classes:
        raise DataError(f"labels hold {maps.min()}..{maps.max()}, but the model has classes 0..{model.num_classes - 1}")
    readers = {f"labels {number}": _reader(*fitted(model, each, size)) for number, each in enumerate(maps, 1)}
    return Examples(readers)


def _reader(labels, notice):
    return lambda: (labels, None, notice)
