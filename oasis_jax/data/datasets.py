"""Data sets: their fields, their splits, and where the examples of a split lie."""
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from oasis_jax.data.columns import LabelMap, Photo, make_columns
from oasis_jax.data.labels import DataError, LabelRule, parse_label_map, read_palette

SPLITS = ("train", "val")
PAIRS = ("image", "label_map")  # columns of a data set of photos with label maps


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """The fields of config.data, typed; the config says what each means. Empty fields take what the layout implies.

    Raises:
        DataError: a field has an impossible value.
    """

    layout: str = "folders"
    root: str = ""
    num_classes: int = 0
    dontcare_id: int = 0
    class_names: tuple[str, ...] = ()
    label_offset: int = 0
    label_map: str = ""
    palette: str = ""
    image_size: tuple[int, int] = (256, 256)
    resize_size: tuple[int, ...] = ()
    flip: bool = True
    train_photos: str = "train/photos"
    train_labels: str = "train/labels"
    val_photos: str = "val/photos"
    val_labels: str = "val/labels"
    tfds_train_split: str = "train"
    tfds_val_split: str = "validation"
    tfds_image: str = "image"
    tfds_label: str = "segmentation_label"
    scene_categories: tuple[str, ...] = ()
    scenes_train: int = 512
    scenes_val: int = 32
    cache: bool = False
    workers: int = 0

    def __post_init__(self):
        for name in ("image_size", "resize_size"):
            value = getattr(self, name)
            sides = [side for side in value if isinstance(side, int) and side > 0]
            if (name == "image_size" or value) and (len(value) != 2 or len(sides) != 2):
                raise DataError(f"data.{name} is {value}: give height and width")
        if any(resized < cropped for resized, cropped in zip(self.resize_size, self.image_size, strict=False)):
            raise DataError(f"data.resize_size is {self.resize_size}, too small to crop data.image_size {self.image_size} from")

    @classmethod
    def of_config(cls, data) -> "DataSpec":
        """The DataSpec of the ConfigDict config.data; lists become tuples."""
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in data.items()})

    def decoded_size(self, split) -> tuple[int, int]:
        """(height, width) that the examples of a split are resized to, before any crop."""
        return tuple(self.resize_size if split == "train" and self.resize_size else self.image_size)


@dataclasses.dataclass(frozen=True)
class Example:
    """A name, and the file of each column; no files for examples that are generated or read from TFDS."""

    name: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def source(self, column) -> str:
        """The file of a column for messages; the example's name if there is none."""
        return self.files.get(column, self.name)


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The examples of one split, in a fixed order.

    Attributes:
        name: train or val.
        examples: tuple of Example, sorted by name.
        columns: what an example holds.
        faults: one line per file that belongs to no example; the split may be used only if there are none.
        read_arrays: for examples without files, i -> {column: array}: the photo as uint8 (H, W, 3), stored ids as (H, W).
        label_files: the folder of the label maps, or a pattern if the folder holds other files too; empty without files.
    """

    name: str
    examples: tuple[Example, ...]
    columns: tuple[Photo | LabelMap, ...]
    faults: tuple[str, ...] = ()
    read_arrays: Callable[[int], Mapping[str, np.ndarray]] | None = None
    label_files: str = ""

    def __len__(self):
        return len(self.examples)

    def column(self, name) -> Any:
        """The column of this name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def rule(self) -> LabelRule:
        """The LabelRule of a split with label maps."""
        return self.column("label_map").rule

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names of a split with label maps."""
        return self.column("label_map").class_names

    def subset(self, indices) -> "Split":
        """The split with only the examples of these indices, in this order."""
        read_arrays = self.read_arrays and (lambda i: self.read_arrays(indices[i]))
        return dataclasses.replace(self, examples=tuple(self.examples[i] for i in indices), read_arrays=read_arrays)

    def spread(self, count) -> "Split":
        """A subset of `count` examples, evenly spaced from the first to the last; some are repeated if there are fewer."""
        return self.subset(np.linspace(0, len(self) - 1, count).astype(int).tolist())

    def read(self, index) -> dict[str, Any]:
        """{column: stored value} of an example at full size: RGB Image, ids uint8 or uint16 (H, W). Raises DataError if unreadable."""
        if self.read_arrays is not None:
            arrays = self.read_arrays(index)
            return {column.name: column.from_array(arrays[column.name]) for column in self.columns}
        return {column.name: column.read(self.examples[index].files[column.name]) for column in self.columns}

    def resolved_fields(self) -> dict[str, Any]:
        """The fields of config.data that say how to read label files, without the data set: a checkpoint holds them."""
        if self.column("label_map") is None:
            return {}
        rule = self.rule
        label_map = ",".join(f"{stored}:{class_id}" for stored, class_id in sorted(rule.mapping.items()))
        return {"num_classes": rule.num_classes, "class_names": self.class_names, "label_offset": rule.offset, "label_map": label_map}


def open_split(spec, split, columns=PAIRS) -> Split:
    """Lists the examples of a split.

    Args:
        spec: DataSpec.
        split: "train" or "val".
        columns: names of the columns that an example holds; those that are drawn instead of read are ignored.

    Raises:
        DataError: the root or a folder is missing or empty, photo and label folders are swapped, or a field of spec is wrong. Files that
            belong to no example do not raise here: they are listed in `faults`, for the one report of `check.check_split`.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}: it is train or val")
    if spec.layout == "scenes":
        return _open_scenes(spec, split, columns)
    if spec.layout.startswith("tfds:"):
        from oasis_jax.data.tfds_source import open_tfds  # TensorFlow Datasets is needed by this layout alone

        opened = make_columns(columns, lambda: make_label_column(spec))
        names, read_arrays = open_tfds(spec, split, opened)
        return Split(split, tuple(map(Example, names)), opened, read_arrays=read_arrays)
    from oasis_jax.data.folders import open_folders

    return open_folders(spec, split, columns)


def make_label_column(spec, num_classes=0, class_names=()) -> LabelMap:
    """The label maps' column; `num_classes` and `class_names` are what the layout implies where spec is silent."""
    palette, palette_names = read_palette(spec.palette) if spec.palette else (None, ())
    num_classes = spec.num_classes or num_classes or len(palette_names)
    rule = LabelRule(num_classes, spec.label_offset, parse_label_map(spec.label_map), palette)
    names = tuple(spec.class_names or class_names or palette_names)
    if names and len(names) != num_classes:
        raise DataError(f"{len(names)} class names are given for {num_classes} classes: correct data.class_names or data.num_classes")
    return LabelMap(rule, names or tuple(map(str, range(num_classes))))


def _open_scenes(spec, split, columns):
    from oasis_jax.data import scenes

    opened = make_columns(columns, lambda: make_label_column(spec, len(scenes.CLASS_NAMES), scenes.CLASS_NAMES))
    count = spec.scenes_train if split == "train" else spec.scenes_val
    # Splits differ by seed. Scenes are drawn at the size they are used at: nothing is left to resize.
    drawn = scenes.Scenes(count, spec.decoded_size(split), seed=SPLITS.index(split))
    examples = tuple(Example(f"scene_{i:05d}") for i in range(count))
    return Split(split, examples, opened, read_arrays=lambda i: dict(zip(PAIRS, drawn.scene(i), strict=True)))
