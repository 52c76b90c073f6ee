"""The examples of one split of a data set, in a fixed order."""
import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from etils import epath

from oasis_jax.data.columns import LabelMap, Photo
from oasis_jax.data.labels import LabelRule
from oasis_jax.data.palette import as_field


@dataclasses.dataclass(frozen=True)
class Example:
    """An example's name and the file of each column; no files if it is generated, or read from TFDS or a zip."""

    name: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def source(self, column) -> str:
        """Returns the file of a column, or the example's name if there is none, for messages."""
        return self.files.get(column, self.name)

    @functools.cached_property
    def stamps(self) -> dict[str, tuple]:
        """{path: (size, date)} of the files when this property was first used, which the check does before it reads them.

        A file that cannot be read has ("", "").
        """
        return {path: _stamp(path) for path in self.files.values()}


def _stamp(path):
    try:
        return tuple(stamp(path)[1:])
    except OSError:  # a file that cannot be read is a fault, and results with faults are never stored
        return "", ""


def stamp(path):
    """[path, size, date] of a file: results computed from the file stay valid until one of them changes."""
    if "://" not in str(path):
        return [path, *size_and_date(os.stat(path))]
    stat = epath.Path(path).stat()
    return [path, stat.length, stat.mtime]


def size_and_date(stat):
    """Size and date of a local file, from its os.stat_result. The date is in nanoseconds: a file can be written twice in a second."""
    return stat.st_size, stat.st_mtime_ns


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The examples of one split, in a fixed order.

    Attributes:
        name: train or val.
        examples: tuple of Example, sorted by name.
        columns: what an example holds.
        faults: one line per file that belongs to no example; the split may be used only if there are none.
        read_arrays: for examples without files, i -> {column: array}: the photo as uint8 (H, W, 3), stored ids as (H, W).
        drawn_size: (H, W) at which procedural examples are drawn; () if examples are read.
        archives: files that `read_arrays` reads from: a zip, or those of a TFDS builder.
        notes: one line for each thing that users should know about the files but that is not a fault.
        label_files: the folder of the label maps, or a pattern if the folder holds other files too; empty without files.
    """

    name: str
    examples: tuple[Example, ...]
    columns: tuple[Photo | LabelMap, ...]
    faults: tuple[str, ...] = ()
    read_arrays: Callable[[int], Mapping[str, np.ndarray]] | None = None
    drawn_size: tuple[int, ...] = ()
    archives: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
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

    def stamps(self) -> dict[str, tuple]:
        """`Example.stamps` of all files that the examples are read from."""
        archives = {path: _stamp(path) for path in self.archives}
        return archives | {path: found for example in self.examples for path, found in example.stamps.items()}

    def subset(self, indices) -> "Split":
        """Returns a split with only the examples at these indices, in this order."""
        read_arrays = self.read_arrays and (lambda i: self.read_arrays(indices[i]))
        return dataclasses.replace(self, examples=tuple(self.examples[i] for i in indices), read_arrays=read_arrays)

    def shuffled(self) -> "Split":
        """Returns the split in a fixed random order, which depends only on the number of examples."""
        return self.subset(np.random.default_rng(0).permutation(len(self)).tolist())

    def spread(self, count) -> "Split":
        """Returns a subset of `count` examples, evenly spaced from the first to the last; some are repeated if there are fewer."""
        return self.subset(np.linspace(0, len(self) - 1, count).astype(int).tolist())

    def read(self, index) -> dict[str, Any]:
        """{column: stored value} of an example at full size: RGB Image, integer ids (H, W). Raises DataError if it is unreadable."""
        if self.read_arrays is not None:
            arrays = self.read_arrays(index)
            return {column.name: column.from_array(arrays[column.name]) for column in self.columns}
        return {column.name: column.read(self.examples[index].files[column.name]) for column in self.columns}

    def resolved_fields(self) -> dict[str, Any]:
        """Returns the fields of config.data that say how to read label files without the data set; checkpoints store them."""
        if self.column("label_map") is None:
            return {}
        rule = self.rule
        label_map = ",".join(f"{stored}:{class_id}" for stored, class_id in sorted(rule.mapping.items()))
        fields = {"num_classes": rule.num_classes, "class_names": self.class_names, "label_offset": rule.offset, "label_map": label_map}
        return fields | {"palette_colours": as_field(rule.palette)}
