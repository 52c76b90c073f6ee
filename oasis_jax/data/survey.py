"""What the check counted in a data set: a table of its classes, and what users should know about the files."""
import dataclasses

import numpy as np

from oasis_jax.files import one_line

_ARRAYS = ("pixels", "statistic", "images", "largest")
_SHOWN = 24  # up to this many classes are all shown; of more, only the largest and the rarest
_LARGEST, _RAREST, _NAMED = 10, 8, 10


@dataclasses.dataclass(frozen=True, eq=False)
class Survey:
    """Counts from the check of a split.

    Attributes:
        num_examples: number of examples.
        pixels: int64 (num_classes,) pixels of each class, at the stored sizes; None without label maps.
        statistic: int64 array, a high quantile of the caller's `statistic`: at most one example in a thousand exceeds each number.
            None if no statistic was requested.
        images: int64 (num_classes,) number of examples that contain each class; None without label maps.
        largest: int64 array, the maximum of each number of the statistic over all examples; None if none was requested.
        notes: one line for each thing that users should know about the files but that is not a fault.
        split: train or val.
        class_names: one for each class; () without label maps.
        dontcare_id: class that gets no loss weight, or -1.
    """

    num_examples: int
    pixels: np.ndarray | None
    statistic: np.ndarray | None
    images: np.ndarray | None = None
    largest: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    split: str = "train"
    class_names: tuple[str, ...] = ()
    dontcare_id: int = -1

    @property
    def rows(self):
        """The table: a dict for each class, {"id", "class", "share of pixels", "images", "note"}, the largest first, absent ones last."""
        if self.pixels is None:
            return []
        total = max(int(self.pixels.sum()), 1)
        rows = []
        for number in np.argsort(-self.pixels, kind="stable").tolist():
            marks = (("don't care", number == self.dontcare_id), ("absent", self.pixels[number] == 0))
            row = {"id": number, "class": one_line(self.class_names[number]), "share of pixels": int(self.pixels[number]) / total}
            rows.append(row | {"images": int(self.images[number]), "note": ", ".join(mark for mark, holds in marks if holds)})
        return rows

    @property
    def remarks(self):
        """Yields a line about absent classes, if there are any, and the notes on files."""
        absent = [f"{row['id']} {row['class']}" for row in self.rows if "absent" in row["note"]]
        if absent:
            more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
            yield f"classes that are absent ({len(absent)} of {len(self.pixels)}): {', '.join(absent[:_NAMED])}{more}"
        yield from map(one_line, self.notes)

    def as_text(self, whole=False):
        """The table and the remarks in plain text; of many classes only the largest and the rarest, unless `whole`."""
        lines = [f"{self.split}: {self.num_examples} examples"]
        rows = [row for row in self.rows if whole or "absent" not in row["note"]]
        if rows:
            width = max(len(row["class"]) for row in rows)
            lines.append(f"  {'id':>5}  {'class':{width}}  {'pixels':>9}  {'images':>7}")
            for row in rows if whole else shortened(rows):
                if row is None:
                    lines.append(f"  {'...':>5}")
                    continue
                share = f"{100 * row['share of pixels']:.3f} %"
                lines.append(f"  {row['id']:5}  {row['class']:{width}}  {share:>9}  {row['images']:7}  {row['note']}".rstrip())
        return "\n".join([*lines, *(f"  {remark}" for remark in self.remarks)])

    def as_memory(self):
        """Returns the counts as a JSON value."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return {name: None if array is None else array.tolist() for name, array in arrays.items()}


def recalled(memory, **facts):
    """Returns the Survey of a JSON value from `as_memory`; `facts` are its other fields."""
    arrays = {name: memory.get(name) for name in _ARRAYS}
    return Survey(**{name: None if values is None else np.asarray(values, np.int64) for name, values in arrays.items()}, **facts)


def shortened(rows):
    """Returns the rows of a table, largest first. If there are many: the first, None, and the last, including every don't-care row."""
    if len(rows) <= _SHOWN:
        return rows
    kept = [row for place, row in enumerate(rows) if place < _LARGEST or place >= len(rows) - _RAREST or "don't care" in row["note"]]
    return [*kept[:_LARGEST], None, *kept[_LARGEST:]]
