"""A model as a function of plain arrays for one image, which a program without this package can create."""
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

IMAGE = "image"  # name of the output
CHECKED_SEED = 0  # the facts hold the first random numbers of this seed, as a check
HEATMAPS = "one row for each map: centre y, centre x (the image is [-1, 1] along both, y downwards), width"


@dataclasses.dataclass(frozen=True)
class Argument:
    """An array that an exported model takes or returns.

    Attributes:
        shape: sizes of the axes; a letter is a size that may be chosen for every image, within `Portable.sizes`.
        dtype: numpy's name of the dtype.
        meaning: description for people.
    """

    shape: tuple[int | str, ...]
    dtype: str
    meaning: str = ""


@dataclasses.dataclass(frozen=True)
class Portable:
    """A model in the form in which it is exported.

    Attributes:
        generate: (variables, {name: array}) -> (H, W, 3), nominally in [-1, 1]; pure.
        arguments: {name: Argument}.
        image: the Argument that is returned, uint8 (H, W, 3).
        sizes: {letter: what it must be a multiple of}.
        facts: JSON values about the model for its users, such as its classes, and what a seed means.
    """

    generate: Callable[[Any, Mapping[str, Any]], Any]
    arguments: Mapping[str, Argument]
    image: Argument
    sizes: Mapping[str, int]
    facts: Mapping[str, Any]

    def described(self, **facts):
        """Everything but the function, as JSON values."""
        return {
            **facts,
            "inputs": {name: dataclasses.asdict(argument) for name, argument in self.arguments.items()},
            "output": {IMAGE: dataclasses.asdict(self.image)},
            "sizes": {letter: {"multiple_of": unit} for letter, unit in self.sizes.items()},
            **self.facts,
        }


def of_inputs(model, **facts):
    """The Portable of a `family.Model` without columns: it takes the arrays of the model's `inputs`, with their names and fixed sizes."""
    inputs, generate = model.inputs([CHECKED_SEED], {}), model.generate
    example = {name: value for name, value in inputs.items() if value is not None}
    missing = dict.fromkeys(inputs.keys() - example.keys())

    def of_arrays(variables, arrays):
        return generate(variables, jax.tree.map(lambda array: array[None], dict(arrays)) | missing)[0]

    arguments = {name: Argument(value.shape[1:], np.dtype(value.dtype).name) for name, value in example.items()}
    return Portable(of_arrays, arguments, Argument((*model.image_size, 3), "uint8"), {}, facts)
