"""A model as a function of plain arrays of one image, which a program without this package can make."""
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

IMAGE = "image"  # name of the output
CHECKED_SEED = 0  # the first numbers that it means are among the facts
HEATMAPS = "one row for each map: centre y, centre x (the image is [-1, 1] along both, y downwards), width"


@dataclasses.dataclass(frozen=True)
class Argument:
    """An array that an exported model takes or returns.

    Attributes:
        shape: sides; a letter is one that may be chosen for every image, as `Portable.sizes` says.
        dtype: its name in numpy.
        meaning: for people.
    """

    shape: tuple[int | str, ...]
    dtype: str
    meaning: str = ""


@dataclasses.dataclass(frozen=True)
class Portable:
    """What is exported.

    Attributes:
        generate: (variables, {name: array}) -> (H, W, 3), nominally in [-1, 1]; pure.
        arguments: {name: Argument}.
        image: the Argument that is returned, uint8 (H, W, 3).
        sizes: {letter: what it must be a multiple of}.
        facts: JSON values on the model for who uses it, such as its classes, and what a seed means.
    """

    generate: Callable[[Any, Mapping[str, Any]], Any]
    arguments: Mapping[str, Argument]
    image: Argument
    sizes: Mapping[str, int]
    facts: Mapping[str, Any]

    def described(self, **facts):
        """All of it but the function, as JSON values."""
        return {
            **facts,
            "inputs": {name: dataclasses.asdict(argument) for name, argument in self.arguments.items()},
            "output": {IMAGE: dataclasses.asdict(self.image)},
            "sizes": {letter: {"multiple_of": unit} for letter, unit in self.sizes.items()},
            **self.facts,
        }


def of_inputs(model, **facts):
    """The Portable of a `family.Model` without columns: the arrays of its `inputs` by their own names, in their own sizes."""
    inputs, generate = model.inputs([CHECKED_SEED], {}), model.generate
    example = {name: value for name, value in inputs.items() if value is not None}
    missing = dict.fromkeys(inputs.keys() - example.keys())

    def of_arrays(variables, arrays):
        return generate(variables, jax.tree.map(lambda array: array[None], dict(arrays)) | missing)[0]

    arguments = {name: Argument(value.shape[1:], np.dtype(value.dtype).name) for name, value in example.items()}
    return Portable(of_arrays, arguments, Argument((*model.image_size, 3), "uint8"), {}, facts)
