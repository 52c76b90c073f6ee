"""The sets of images that are measured: real photos, samples of a generator, and a folder of another system's images.

Each source has `identity` (a JSON value: all that its images and targets depend on), `description` (for progress bars), `names` (one per
image), `notes` (for the report), `batches(start, stop, batch_size)` (an iterator of `metrics.metric.Batch` over images start..stop-1) and
`image(index)` (uint8 (H, W, 3)).
"""
import dataclasses
import functools
import hashlib
import itertools
import os
from typing import Any

import numpy as np
from etils import epath

from oasis_jax import sampling
from oasis_jax.data.columns import read_photo
from oasis_jax.data.image_files import DataError, open_image
from oasis_jax.data.labels import resize_label_map
from oasis_jax.data.listing import IMAGE_ENDINGS, is_hidden, is_image_name
from oasis_jax.data.split import stamp
from oasis_jax.files import compared, expanded, one_line, told_apart
from oasis_jax.metrics.metric import Batch, as_bytes, hash_weights
from oasis_jax.metrics.nets.label_spaces import IGNORED
from oasis_jax.metrics.protocols import PROTOCOLS
from oasis_jax.parallel.mesh import put_batch, replicate
from oasis_jax.pictures import CONTACT_SHEET


@dataclasses.dataclass(frozen=True, eq=False)
class Targets:
    """The targets of a segmenter: the label maps of a split as classes of the segmenter, at the size at which its tool compares them.

    Attributes:
        split: Split.
        space: LabelSpace of the segmenter.
        size: (h, w).

    Raises:
        DataError: a class of the split combines several classes of the segmenter, or the segmenter knows none of the classes.
    """

    split: Any
    space: Any
    size: tuple[int, int]

    def __post_init__(self):
        _ = self.table

    @functools.cached_property
    def table(self):
        """(N,) int32: the segmenter's class of each class of the split, or IGNORED."""
        rule, table = self.split.rule, []
        for number in range(rule.num_classes):
            stored = np.flatnonzero(rule.table == number)
            found = np.unique(self.space.classes(stored)) if len(stored) else [IGNORED]
            if len(found) > 1:
                raise DataError(
                    f"class {number} is made of stored ids {stored[:5].tolist()}, which the segmenter of this protocol tells apart: "
                    "choose another protocol, or correct data.label_map"
                )
            table.append(found[0])
        if all(entry == IGNORED for entry in table):
            raise DataError("the segmenter of this protocol knows none of the classes: choose another, or correct data.label_offset")
        return np.asarray(table, np.int32)

    def __call__(self, indices, label_maps):
        """(B, h, w) int32 targets of the examples of these indices; `label_maps` (B, H, W) are used if they have this size."""
        if label_maps.shape[1:] != tuple(self.size):
            label_maps = np.stack([resize_label_map(self._classes(index), self.size) for index in indices])
        return self.table[label_maps]

    def _classes(self, index):
        labels_alone = dataclasses.replace(self.split, columns=(self.split.column("label_map"),))
        source = self.split.examples[index].source("label_map")
        return self.split.rule(labels_alone.read(index)["label_map"], f"label map {source}")


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """The examples of a split that are evaluated, and the targets of a segmenter for them.

    Attributes:
        split: Split.
        spec: DataSpec; its image_size is that of the evaluation.
        count: number of examples, from the first on.
        targets: Targets, or None.
    """

    split: Any
    spec: Any
    count: int
    targets: Targets | None = None

    @property
    def identity(self):
        """All that the photos, label maps and targets depend on."""
        examples = self.split.examples[: self.count]
        files = [[example.name, *(stamp(path) for path in example.files.values())] for example in examples]
        files += [stamp(path) for path in self.split.archives]
        meaning = hashlib.sha256(self.split.rule.identity).hexdigest() if self.split.column("label_map") else ""
        targets = self.targets and [list(self.targets.size), self.targets.table.tolist()]
        read = self.spec.identity, self.split.drawn_size
        return [self.split.name, *read, meaning, hashlib.sha256(repr(files).encode()).hexdigest(), self.count, targets]

    @property
    def identity_of_labels(self):
        """What images generated for the examples depend on: `identity`; without label maps, only the image size."""
        return self.identity if self.split.column("label_map") else list(self.spec.image_size)

    @property
    def names(self):
        """Names of the examples."""
        return [example.name for example in self.split.examples[: self.count]]

    def batches(self, indices, batch_size, first, columns=None):
        """Batches over the examples of these indices.

        Args:
            indices: indices of the examples, possibly repeated. If there are no columns to read, only their number matters.
            batch_size: examples per batch.
            first: index of the first image in its set.
            columns: names of the columns to read; None reads all.

        Yields:
            ({column: array}, Batch without images).
        """
        from oasis_jax.data.pipeline import eval_batches  # imports TensorFlow

        if columns is not None and not any(self.split.column(name) for name in columns):
            batches = itertools.repeat({}, -(-len(indices) // batch_size))
        else:
            batches = eval_batches(self.split.subset(indices), self.spec, batch_size, columns)
        for begin, columns_of_batch in zip(range(0, len(indices), batch_size), batches, strict=True):
            padded = list(indices[begin : begin + batch_size])
            count = len(padded)
            padded += padded[-1:] * (batch_size - count)
            label_map = columns_of_batch.get("label_map")
            targets = self.targets and self.targets(padded, label_map)
            yield columns_of_batch, Batch(None, label_map, targets, first + begin, count)

    def label_map(self, index):
        """(H, W) integer classes of an example, at spec.image_size."""
        from oasis_jax.data.pipeline import eval_batches

        return next(eval_batches(self.split.subset([index]), self.spec, 1, ("label_map",)))["label_map"][0]


class Photos:
    """The photos of a split, fitted to `spec.image_size` by their column.

    Args:
        examples: Examples.
    """

    description = "real photos"
    notes = ()

    def __init__(self, examples):
        self.examples = examples

    @property
    def identity(self):
        return {"photos": self.examples.identity}

    @property
    def names(self):
        return self.examples.names

    def batches(self, start, stop, batch_size):
        for columns, batch in self.examples.batches(range(start, stop), batch_size, start):
            batch.images = columns["image"]
            yield batch

    def image(self, index):
        split = self.examples.split
        return split.column("image").fit(split.read(index)["image"], self.examples.spec.image_size)


class Samples:
    """Images of a generator: num_samples in total, or samples of a split's examples, where image k * count + i is sample k of example i.

    Image j has the seed noise_seed + j. `oasis_jax.load(...).sample` reproduces it from this seed, and from the example's label map if the
    model takes one.

    Args:
        model: family.Model.
        examples: Examples.
        protocol: Protocol; defines num_samples or samples_per_label, noise_seed and whether images are rounded.
        mesh: of this process's devices.
        description: for progress bars.

    Raises:
        DataError: the model has other classes than the split, takes label maps but the protocol has num_samples, or takes none and
            generates another size.
    """

    def __init__(self, model, examples, protocol, mesh, description="generated"):
        self.model, self.examples, self.protocol, self.mesh = model, examples, protocol, mesh
        self.description, self.notes = description, []
        takes_labels = "label_map" in model.columns
        if takes_labels and protocol.num_samples:
            fitting = ", ".join(other.name for other in PROTOCOLS if not other.num_samples)
            raise DataError(
                f"protocol {protocol.name} generates {protocol.num_samples} images regardless of the examples, but this model generates "
                f"images from label maps: choose a protocol without num_samples, such as {fitting}"
            )
        num_classes = examples.split.rule.num_classes if takes_labels else 0
        if num_classes and model.num_classes != num_classes:
            raise DataError(f"the checkpoint has {model.num_classes} classes, the data {num_classes}: use the config of its run")
        if model.image_size != tuple(examples.spec.image_size):
            trained, asked = ("x".join(map(str, size)) for size in (model.image_size, examples.spec.image_size))
            if not takes_labels:
                raise DataError(f"the model generates {trained} only, not {asked}: omit data.image_size, or choose a protocol of its size")
            self.notes.append(f"the model was trained on {trained} and generates {asked} here")

    @functools.cached_property
    def identity(self):
        return {
            "samples": self.examples.identity_of_labels,
            "weights": hash_weights(self.model.variables),
            "generator": repr(self.model.generate),
            "noise": [self.protocol.noise_seed, self.protocol.rounded],
        }

    @property
    def names(self):
        if self.protocol.num_samples:
            return [f"sample_{j:06d}" for j in range(self.protocol.num_samples)]
        names = self.examples.names
        return [f"{name} #{k}" if k else name for k in range(self.protocol.samples_per_label) for name in names]

    def batches(self, start, stop, batch_size):
        indices = [number % self.examples.count for number in range(start, stop)]
        for columns, batch in self.examples.batches(indices, batch_size, start, columns=("label_map",)):
            images = self.generate(columns, self.protocol.noise_seed + batch.first + np.arange(batch_size))
            images = (images.clip(-1, 1) + 1) / 2  # in [0, 1], as evaluation networks expect
            batch.images = as_bytes(np.asarray(images)) if self.protocol.rounded else images
            yield batch

    def image(self, index):
        example = index % self.examples.count
        given = {"label_map": self.examples.label_map(example)[None]} if "label_map" in self.model.columns else {}
        return self.model.images(self.model.inputs([self.protocol.noise_seed + index], given))[0]

    def generate(self, columns, seeds):
        """float32 (B, H, W, 3) in [-1, 1] on the devices, for the columns of a batch and B seeds."""
        inputs = self.model.inputs([int(seed) for seed in seeds], columns)
        return sampling.generate(self.model.generate, self._variables, put_batch(inputs, self.mesh)).astype(np.float32)

    @functools.cached_property
    def _variables(self):
        return replicate(self.model.variables, self.mesh)


class Folder:
    """Images of any other system in one folder: any number of them, or each named like the photo or the label map of its example.

    Args:
        path: folder; a contact sheet and hidden files in it are ignored. Images of another size than `spec.image_size` are fitted
            to it as photos are.
        examples: Examples. If they have label maps, there must be an image for each; otherwise there may be any number of images.

    Raises:
        DataError: there is no such folder or no image in it, examples have no image, or several share one; the message names them.
    """

    description = "generated"

    def __init__(self, path, examples):
        self.path, self.examples = expanded(path), examples
        spec = examples.spec
        if not self.path.is_dir():
            raise DataError(f"--images={path} is not a folder: name the folder of the generated images")
        names = sorted(file.name for file in self.path.iterdir())
        found = [self.path / name for name in names if is_image_name(name) and not is_hidden(name) and name != CONTACT_SHEET]
        self.notes, self.files = [], found
        if examples.split.column("label_map"):
            files = {compared(file.stem): file for file in found}
            if len(files) < len(found):
                twice = next(file for file in found if files[compared(file.stem)] != file)
                both = " and ".join(map(one_line, told_apart(str(twice), str(files[compared(twice.stem)]))))
                raise DataError(f"{both} are two images with the same name: remove one of them")
            self._match(files)
        elif not found:
            raise DataError(f"there are no images in {path}: it must hold {', '.join(IMAGE_ENDINGS)} files, not in subfolders")
        sizes = _sizes(self.files)
        if sizes != {tuple(spec.image_size)}:
            listed = ", ".join(f"{height}x{width}" for height, width in sorted(sizes)[:3])
            done = f"{'cropped and ' if self._photo.crop else ''}resized to {spec.image_size[0]}x{spec.image_size[1]}"
            self.notes.append(f"images of {listed} were {done} by Pillow (bicubic)")

    def _match(self, files):
        """Assigns a file to each example by name; `files` is {stem: path}."""
        path, count = self.path, self.examples.count
        self.files, missing = [], []
        for example in self.examples.split.examples[:count]:
            stems = [compared(epath.Path(path).stem) for path in example.files.values()] or [example.name.rsplit("/", 1)[-1]]
            file = next((files[stem] for stem in stems if stem in files), None)
            self.files.append(file)
            if file is None:
                missing.append(stems[0])
        if missing:
            lacking, held = (", ".join(map(one_line, names[:3])) for names in (missing, list(files)))
            raise DataError(
                f"{len(missing)} of {count} examples have no image in {path}, the first: {lacking}. Images must be named "
                f"like the photos or the label maps; the folder holds {held or 'no images'}"
            )
        if len(set(self.files)) < count:
            shared = next(file for file in self.files if self.files.count(file) > 1)
            raise DataError(f"{shared} is named like several label maps in different subfolders: evaluate one subfolder at a time")
        if len(files) > count:
            self.notes.append(f"{len(files) - count} images of {path} belong to no label map and were ignored")

    @property
    def identity(self):
        files = [[file.name, *stamp(os.fspath(file))[1:]] for file in self.files]
        return {"folder": str(self.path), "files": files, "fitting": self._photo.fitting, "labels": self.examples.identity_of_labels}

    @property
    def _photo(self):
        return self.examples.split.column("image")

    @property
    def names(self):
        return self.examples.names if self.examples.split.column("label_map") else [file.name for file in self.files]

    def batches(self, start, stop, batch_size):
        for _, batch in self.examples.batches(range(start, stop), batch_size, start, columns=("label_map",)):
            images = [self.image(index) for index in range(batch.first, batch.first + batch.count)]
            batch.images = np.stack(images + images[-1:] * (batch_size - batch.count))
            yield batch

    def image(self, index):
        return self._photo.fit(read_photo(self.files[index]), self.examples.spec.image_size)


def _sizes(files):
    """{(H, W)} of image files; raises DataError with one line for each that cannot be read."""
    sizes, faults = set(), []
    for file in files:
        try:
            sizes.add(open_image(file).size)
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n  ".join([f"{len(faults)} of {len(files)} images cannot be evaluated:", *map(one_line, faults)]))
    return sizes
