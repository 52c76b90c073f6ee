"""Examples that the page offers: label maps from files, or procedural scenes with their photos."""
import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from oasis_jax.data.image_files import DataError, open_image
from oasis_jax.files import one_line
from oasis_jax.sample_labels import find_label_files, unseen_scenes
from oasis_jax.studio.file_rule import classes_of
from oasis_jax.studio.fitting import fitted
from oasis_jax.studio.image_request import class_names

MAX_EXAMPLES = 500  # in the page's list
_SCENES = 12
_LEAST_SIDE = 16  # of a scene


class Example(NamedTuple):
    """A label map, integer (H, W) of the images; a photo, uint8 (H, W, 3), or None; and the notice of `fitting.fitted`, or None."""

    labels: np.ndarray
    photo: np.ndarray | None
    notice: str | None = None


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples by name, read on request.

    Attributes:
        readers: {name: function without arguments that returns the values of an Example}. Names are only looked up, never used as paths.
    """

    readers: Mapping[str, Callable[[], tuple]]

    @property
    def names(self):
        """All names, in order."""
        return list(self.readers)

    def read(self, name):
        """The Example of this name; raises DataError if there is none, or its file cannot be used."""
        if name not in self.readers:
            raise DataError(f"there is no example {name[:100]!r}")
        return Example(*self.readers[name]())


def find_examples(model, size, rule, labels=None):
    """Finds the Examples for a model.

    Args:
        model: family.Model.
        size: (H, W) of the images, which label maps are resized to.
        rule: FileRule of label files; None for a model without label maps.
        labels: a file, folder or pattern of label files; None for procedural scenes, if the model was trained on them.

    Raises:
        DataError: there are no such files.
    """
    if labels:
        files, faults = find_label_files(labels)
        if faults:
            raise DataError("\n  ".join(["label files cannot be used:", *map(one_line, faults)]))
        return Examples({_shown(name): _file_reader(model, path, rule, size) for name, path in list(files.items())[:MAX_EXAMPLES]})
    scenes = unseen_scenes(model, size, _SCENES) if class_names(model) and min(size) >= _LEAST_SIDE else None
    return Examples({} if scenes is None else {f"scene {number + 1}": _scene_reader(scenes, number) for number in range(_SCENES)})


def _shown(name):
    return os.fsencode(name).decode(errors="replace")


def _file_reader(model, path, rule, size):
    def read():
        labels, notice = fitted(model, classes_of(open_image(path), rule), size)
        return labels, None, notice

    return read


def _scene_reader(scenes, number):
    return lambda: scenes.scene(number)[::-1]
