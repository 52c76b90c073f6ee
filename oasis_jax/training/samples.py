"""Sample grids: samples for a few validation examples, with the seed that reproduces each image."""
import dataclasses

import jax
import numpy as np

from oasis_jax.data.pipeline import eval_batches
from oasis_jax.pictures import colour_label_map, grid, save_ids

EXAMPLES = 4
SEEDS = 3  # samples per example


@dataclasses.dataclass(frozen=True, eq=False)
class SampleGrid:
    """A few validation examples, spread over the split, because neighbouring examples are often frames of one video.

    Attributes:
        split: Split of these examples.
        columns: {column: (EXAMPLES, ...)}, resized to the image size of the model.
    """

    split: object
    columns: dict[str, np.ndarray]

    @classmethod
    def of(cls, split, spec):
        """The examples of a validation split."""
        few = split.spread(min(EXAMPLES, len(split)))
        return cls(few, next(eval_batches(few, spec, len(few))))

    def picture(self, model):
        """The grid, uint8 (H, W, 3): one row per example, with the seed below each sample. `Model.sample` with that seed reproduces it.

        Args:
            model: family.Model, whose variables may be on many devices.
        """
        model = dataclasses.replace(model, variables=jax.device_put(jax.device_get(model.variables)))
        rows, notes = [], []
        for i, example in enumerate(self.split.examples):
            given = {name: self.columns[name][i : i + 1] for name in model.columns}
            # If label maps already vary the images, all rows use the same seeds, which shows the effect of the noise alone.
            seeds = [k if given else i * SEEDS + k for k in range(SEEDS)]
            samples = [model.images(model.inputs([seed], given))[0] for seed in seeds]
            label_maps = [colour_label_map(self.columns["label_map"][i], model.num_classes)] if "label_map" in given else []
            rows.append([*label_maps, self.columns["image"][i], *samples])
            notes.append([*[example.name] * len(label_maps), "" if label_maps else example.name, *(f"seed {seed}" for seed in seeds)])
        captions = [*["label map"] * len(label_maps), "photo", *["sample"] * SEEDS]
        return grid(rows, captions, notes)

    def save_label_maps(self, folder):
        """Writes the stored label maps of the examples."""
        for index, example in enumerate(self.split.examples):
            save_ids(folder / example.name, self.split.read(index)["label_map"])
