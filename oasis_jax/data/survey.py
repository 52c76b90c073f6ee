"""What a data set holds, as the check counted it: the table by class, and what a user should know of the files."""
import dataclasses
import os
from collections.abc import Mapping

import numpy as np
from PIL import Image

_ORIENTATION, _UPRIGHT = 0x0112, 1  # in EXIF
_SHOWN = 24  # classes that are all shown; of more, the largest and the rarest
_LARGEST, _RAREST, _NAMED = 10, 8, 10


@dataclasses.dataclass(frozen=True, eq=False)
class Survey:
    """What the check of a split counted.

    Attributes:
        num_examples: number of examples.
        pixels: int64 (num_classes,) pixels of each class, at the stored sizes; None without label maps.
        statistic: int64 array, what the caller's `statistic` measures; at most one example in a thousand exceeds each number. None
            if nothing was asked for.
        images: int64 (num_classes,) examples that hold each class; None without label maps.
        turned: photos that their EXIF turns or mirrors; of local files only.
        slow: {things of a column: files that Pillow decodes, not TensorFlow}; of local files only.
        split: train or val.
        class_names: one for each class; () without label maps.
        dontcare_id: class that gets no loss weight, or -1.
        passed_over: a line for each kind of file that was passed over.
    """

    num_examples: int
    pixels: np.ndarray | None
    statistic: np.ndarray | None
    images: np.ndarray | None = None
    turned: int = 0
    slow: Mapping[str, int] = dataclasses.field(default_factory=dict)
    split: str = "train"
    class_names: tuple[str, ...] = ()
    dontcare_id: int = -1
    passed_over: tuple[str, ...] = ()

    @property
    def rows(self):
        """The table: a dict for each class, {"id", "class", "share of pixels", "images", "note"}, the largest first; the absent last."""
        if self.pixels is None:
            return []
        total = max(int(self.pixels.sum()), 1)
        rows = []
        for number in np.argsort(-self.pixels, kind="stable").tolist():
            marks = (("don't care", number == self.dontcare_id), ("absent", self.pixels[number] == 0))
            row = {"id": number, "class": self.class_names[number], "share of pixels": int(self.pixels[number]) / total}
            rows.append(row | {"images": int(self.images[number]), "note": ", ".join(mark for mark, holds in marks if holds)})
        return rows

    @property
    def notes(self):
        """Lines on classes that are absent, and on files that were turned, are decoded slowly or were passed over."""
        absent = [f"{row['id']} {row['class']}" for row in self.rows if "absent" in row["note"]]
        if absent:
            more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
            yield f"classes that are absent ({len(absent)} of {len(self.pixels)}): {', '.join(absent[:_NAMED])}{more}"
        if self.turned:
            yield f"photos that EXIF turns or mirrors: {self.turned} of {self.num_examples}"
        for things, count in self.slow.items():
            if count:
                yield f"{things} that Pillow decodes, which is slower: {count} of {self.num_examples}"
        yield from self.passed_over

    def as_text(self, whole=False):
        """The table and the notes in plain text; of many classes only the largest and the rarest, unless it shall be `whole`."""
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
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def as_memory(self):
        """What was counted as a JSON value."""
        arrays = {name: getattr(self, name) for name in ("pixels", "statistic", "images")}
        counts = {name: None if array is None else array.tolist() for name, array in arrays.items()}
        return counts | {"turned": self.turned, "slow": dict(self.slow)}


def recalled(memory, **facts):
    """The Survey of a JSON value of `as_memory`; `facts` are its other fields."""
    arrays = {name: memory.get(name) for name in ("pixels", "statistic", "images")}
    counts = {name: None if values is None else np.asarray(values, np.int64) for name, values in arrays.items()}
    return Survey(**counts, turned=memory["turned"], slow=memory["slow"], **facts)


def shortened(rows):
    """Rows of a table, the largest first; of many only the first, None, and the last, with every row that says don't care."""
    if len(rows) <= _SHOWN:
        return rows
    kept = [row for place, row in enumerate(rows) if place < _LARGEST or place >= len(rows) - _RAREST or "don't care" in row["note"]]
    first = sum(place < _LARGEST for place in range(len(rows)))
    return [*kept[:first], None, *kept[first:]]


def is_turned(path):
    """Whether the EXIF of a local image file turns or mirrors it; False if the file cannot be read."""
    try:
        with Image.open(path) as image:
            return image.getexif().get(_ORIENTATION, _UPRIGHT) in range(2, 9)
    except Exception:  # whoever decodes the file reports what is wrong with it
        return False


def way_of(files):
    """How the files of an example are read: (whether its photo is turned, {column: whether Pillow decodes it}); of local files only."""
    from oasis_jax.data.decode import is_decoded_here  # imports TensorFlow

    local = {column: path for column, path in files.items() if "://" not in os.fspath(path)}
    return is_turned(local["image"]) if "image" in local else False, {c: not is_decoded_here(c, path) for c, path in local.items()}
