"""The sets of images that are measured: real photos, what a generator makes of their label maps, and a folder of another system's images.

Each source has `identity` (a JSON value: all that its images and targets depend on), `names` (one for each image), `batches(start, stop,
batch_size)` (an iterator of `Batch` over images start..stop-1) and `image(index)` (uint8 (H, W, 3)).
"""
import dataclasses
import functools
import hashlib
import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from PIL import Image

from oasis_jax.data.datasets import read_photo
from oasis_jax.data.labels import DataError, read_stored_ids, resize_label_map
from oasis_jax.data.pipeline import eval_batches
from oasis_jax.data.resize import resize_photo
from oasis_jax.heatmaps import of_seed
from oasis_jax.metrics.image_set import Batch, as_bytes
from oasis_jax.metrics.nets.label_spaces import IGNORED
from oasis_jax.noise import noise_vector
from oasis_jax.training.sharding import put_batch, replicated

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


@dataclasses.dataclass(frozen=True, eq=False)
class Targets:
    """What a segmenter should find: the label maps of a split as classes of the segmenter, at the size at which its tool compares them.

    Attributes:
        split: Split.
        space: LabelSpace of the segmenter.
        size: (h, w).

    Raises:
        DataError: the split's classes are not those that the segmenter knows.
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
        """(B, h, w) int32 for the pairs of these indices, whose label maps (B, H, W) are taken where they have the right size."""
        if label_maps.shape[1:] != tuple(self.size):
            label_maps = np.stack([resize_label_map(self._classes(index), self.size) for index in indices])
        return self.table[label_maps]

    def _classes(self, index):
        pair, split = self.split.pairs[index], self.split
        stored = split.source(index)[1] if split.source else read_stored_ids(pair.label, split.rule)
        return split.rule(stored, f"label map {pair.label or pair.name}")


class Photos:
    """The photos of a split, resized to `spec.image_size` by Pillow (bicubic).

    Args:
        split, spec: Split and DataSpec.
        targets: Targets, or None.
        count: how many pairs.
    """

    def __init__(self, split, spec, targets, count):
        self.split, self.spec, self.targets, self.count = split, spec, targets, count

    @property
    def identity(self):
        return {"photos": _identity(self.split, self.spec, self.count), "targets": _targets_identity(self.targets)}

    @property
    def names(self):
        return [pair.name for pair in self.split.pairs[: self.count]]

    def batches(self, start, stop, batch_size):
        for indices, batch in label_batches(self.split, self.spec, range(start, stop), batch_size):
            targets = self.targets and self.targets(indices, batch["label_map"])
            yield Batch(batch["image"], batch["label_map"], targets, int(batch["mask"].sum()))

    def image(self, index):
        return resize_photo(self.split.read(index)[0], self.spec.image_size)

    def label_map(self, index):
        """(H, W) integer classes of pair `index`."""
        return label_map_of(self.split, self.spec, index)


class Samples:
    """Images of a generator for the label maps of a split: image k * count + i is sample k of label map i.

    Image j has the noise and the heatmaps of seed noise_seed + j: `oasis_jax.load(...).sample(labels, seed=noise_seed + j)` shows it again.

    Args:
        model: sampling.Model.
        split, spec, targets, count: as Photos takes them.
        protocol: Protocol; gives samples_per_label, noise_seed and whether images are rounded.
        mesh: of this process's devices.

    Raises:
        DataError: the model has other classes than the split.
    """

    def __init__(self, model, split, spec, targets, count, protocol, mesh):
        self.model, self.split, self.spec, self.targets, self.count = model, split, spec, targets, count
        self.protocol, self.mesh, self.notes = protocol, mesh, []
        if model.num_classes != split.rule.num_classes:
            raise DataError(f"the checkpoint has {model.num_classes} classes, the data {split.rule.num_classes}: use the config of its run")
        if model.image_size != tuple(spec.image_size):
            trained, asked = ("x".join(map(str, size)) for size in (model.image_size, spec.image_size))
            self.notes.append(f"the model was trained on {trained} and generates {asked} here")

    @functools.cached_property
    def identity(self):
        weights = hashlib.sha256()
        for leaf in jax.tree.leaves(jax.device_get(self.model.variables)):
            weights.update(np.ascontiguousarray(leaf))
        return {
            "samples": _identity(self.split, self.spec, self.count),
            "weights": weights.hexdigest(),
            "generator": repr(self.model.generator),
            "noise": [self.protocol.samples_per_label, self.protocol.noise_seed, self.protocol.rounded],
            "targets": _targets_identity(self.targets),
        }

    @property
    def names(self):
        names = [pair.name for pair in self.split.pairs[: self.count]]
        return [f"{name} #{k}" if k else name for k in range(self.protocol.samples_per_label) for name in names]

    def batches(self, start, stop, batch_size):
        pairs = [number % self.count for number in range(start, stop)]
        for number, (indices, batch) in enumerate(label_batches(self.split, self.spec, pairs, batch_size)):
            images = self.generate(batch["label_map"], start + number * batch_size + np.arange(batch_size))
            if self.protocol.rounded:
                images = as_bytes(np.asarray(images))
            targets = self.targets and self.targets(indices, batch["label_map"])
            yield Batch(images, batch["label_map"], targets, int(batch["mask"].sum()))

    def image(self, index):
        labels = label_map_of(self.split, self.spec, index % self.count)
        return self.model.sample(labels, seed=self.protocol.noise_seed + index)[0]

    def generate(self, label_map, images):
        """float32 (B, H, W, 3) in [0, 1] on the devices, for label maps (B, H, W) and the numbers of the images (B,)."""
        generator = self.model.generator
        batch = {"label_map": np.asarray(label_map, np.int32)}
        seeds = [self.protocol.noise_seed + int(image) for image in images]
        if generator.z_dim:
            batch["noise"] = np.stack([noise_vector(seed, generator.z_dim) for seed in seeds])
        if generator.spatially_aware:
            batch["heatmaps"] = np.stack([of_seed(seed) for seed in seeds])
        return _generate(generator, self._variables, **put_batch(batch, self.mesh))

    @functools.cached_property
    def _variables(self):
        # By way of the host: in training they lie on the devices of all processes.
        return jax.device_put(jax.device_get(self.model.variables), replicated(self.mesh))


@functools.partial(jax.jit, static_argnums=0)
def _generate(generator, variables, label_map, noise=None, heatmaps=None):
    return (generator.apply(variables, label_map, noise, heatmaps).astype(jnp.float32) + 1) / 2


class Folder:
    """Images of any other system in one folder, each called like the photo or the label map of its pair.

    Args:
        path: folder; images of another size than `spec.image_size` are resized by Pillow (bicubic).
        split, spec, targets, count: as Photos takes them.

    Raises:
        DataError: no such folder, pairs without image, or one image for several pairs, naming them.
    """

    def __init__(self, path, split, spec, targets, count):
        self.path, self.split, self.spec, self.targets, self.count = epath.Path(path).expanduser(), split, spec, targets, count
        if not self.path.is_dir():
            raise DataError(f"--images={path} is no folder: name the folder of the generated images")
        found = sorted(file for file in self.path.iterdir() if file.suffix.lower() in IMAGE_ENDINGS)
        files = {file.stem: file for file in found}
        if len(files) < len(found):
            twice = next(file for file in found if files[file.stem] != file)
            raise DataError(f"{twice} and {files[twice.stem]} differ in their ending only: remove one of them")
        self.files, missing = [], []
        for pair in split.pairs[:count]:
            stems = [epath.Path(text).stem for text in (pair.photo, pair.label) if text] or [pair.name.rsplit("/", 1)[-1]]
            file = next((files[stem] for stem in stems if stem in files), None)
            self.files.append(file)
            if file is None:
                missing.append(stems[0])
        if missing:
            raise DataError(
                f"{len(missing)} of {count} label maps have no image in {path}, the first: {', '.join(missing[:3])}. Images must be called "
                f"like the photos or the label maps; the folder holds {', '.join(list(files)[:3]) or 'no images'}"
            )
        if len(set(self.files)) < count:
            shared = next(file for file in self.files if self.files.count(file) > 1)
            raise DataError(f"{shared} is called like several label maps of different subfolders: evaluate one subfolder at a time")
        sizes = {Image.open(io.BytesIO(file.read_bytes())).size[::-1] for file in self.files}
        self.notes = [] if len(files) == count else [f"{len(files) - count} images of {path} belong to no label map and were left out"]
        if sizes != {tuple(spec.image_size)}:
            listed = ", ".join(f"{height}x{width}" for height, width in sorted(sizes)[:3])
            self.notes.append(f"images of {listed} were resized to {spec.image_size[0]}x{spec.image_size[1]} by Pillow (bicubic)")

    @property
    def identity(self):
        stats = [[file.name, file.stat().length, file.stat().mtime] for file in self.files]
        labels = _identity(self.split, self.spec, self.count)
        return {"folder": str(self.path), "files": stats, "labels": labels, "targets": _targets_identity(self.targets)}

    @property
    def names(self):
        return [pair.name for pair in self.split.pairs[: self.count]]

    def batches(self, start, stop, batch_size):
        for indices, batch in label_batches(self.split, self.spec, range(start, stop), batch_size):
            images = np.stack([self.image(index) for index in indices])
            targets = self.targets and self.targets(indices, batch["label_map"])
            yield Batch(images, batch["label_map"], targets, int(batch["mask"].sum()))

    def image(self, index):
        return resize_photo(read_photo(self.files[index]), self.spec.image_size)


def label_batches(split, spec, pairs, batch_size):
    """Batches of `eval_batches` over the pairs of these indices, each with its indices; the last repeats the last pair."""
    batches = eval_batches(split.subset(pairs), spec, batch_size)
    for first, batch in zip(range(0, len(pairs), batch_size), batches, strict=True):
        indices = list(pairs[first : first + batch_size])
        yield indices + indices[-1:] * (batch_size - len(indices)), batch


def label_map_of(split, spec, index):
    """(H, W) integer classes of pair `index`, at spec.image_size."""
    return next(eval_batches(split.subset([index]), spec, 1))["label_map"][0]


def _targets_identity(targets):
    return targets and [list(targets.size), targets.table.tolist()]


def _identity(split, spec, count):
    def stamp(path):
        if not path:
            return None
        stat = epath.Path(path).stat()
        return [path, stat.length, stat.mtime]

    rule = split.rule
    files = [[pair.name, stamp(pair.photo), stamp(pair.label)] for pair in split.pairs[:count]]
    meaning = hashlib.sha256(rule.table.tobytes() + (b"" if rule.palette is None else rule.palette.tobytes())).hexdigest()
    return [split.name, repr(spec), meaning, hashlib.sha256(repr(files).encode()).hexdigest(), count]
