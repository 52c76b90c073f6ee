"""How the studio reads label files: as ids, or as the colours that the studio shows. `read_png.js` does the same."""
import dataclasses

import numpy as np

from oasis_jax.data.labels import DataError, LabelRule, stored_ids
from oasis_jax.sample_labels import class_colours


@dataclasses.dataclass(frozen=True, eq=False)
class FileRule:
    """The rule that converts a label file to classes.

    Greyscale images hold ids. If the model has a palette of its own (data.palette), colour images hold colours, as in its training data.
    If it has none, its classes have the colours that the studio shows and writes to label maps:

    * A palette image holds colours if all colours of its pixels are colours of classes; otherwise its indices are ids. They are also ids
      if all pixels have the same colour and the palette has colours of no class, because most palettes contain black.
    * An RGB image with three equal channels holds ids; any other holds colours.

    Wherever colours are read, a colour of no class is an error.

    Attributes:
        ids: LabelRule for ids, without palette.
        colours: LabelRule for colours; those of the classes come first, in order.
        own: whether the model has a palette of its own.
    """

    ids: LabelRule
    colours: LabelRule
    own: bool

    def facts(self):
        """The rule as JSON values, for a page without a server.

        Returns:
            dict; `count` is the number of classes, `offset` and `map` convert ids to classes, `colours` are rows [r, g, b, class].
        """
        classes = self.colours.table[: len(self.colours.palette), None]
        return {
            "count": self.ids.num_classes,
            "offset": self.ids.offset,
            "map": {str(stored): target for stored, target in self.ids.mapping.items()},
            "colours": np.hstack([self.colours.palette, classes]).tolist(),
            "own": self.own,
        }


def file_rule(model, rule):
    """Makes the FileRule of a family.Model that takes label maps.

    Args:
        model: family.Model.
        rule: LabelRule of its label files, from `sample_labels.label_rule`.
    """
    own = rule.palette is not None
    class_of = {tuple(colour): number for number, colour in enumerate(class_colours(model, rule).tolist())}
    for stored, colour in enumerate(rule.palette.tolist() if own else ()):
        if rule.table[stored] >= 0:  # several ids may have the same class
            class_of.setdefault(tuple(colour), int(rule.table[stored]))
    source = {}
    if not own:
        source = {"palette_source": "the palette of the classes"}
    elif (rule.table[: len(rule.palette)] < 0).any():
        source = {"palette_source": "the part of data.palette that has classes"}
    colours = LabelRule(rule.num_classes, 0, dict(enumerate(class_of.values())), np.array(list(class_of), np.uint8), fixed=True, **source)
    return FileRule(dataclasses.replace(rule, palette=None), colours, own)


def written_ids(rule):
    """The id that the page writes to label files for each class, ints; a LabelRule reads it back as that class.

    A class that no stored id has gets an id of no class: a LabelRule then refuses the file, but a FileRule may read it by its colours.

    Args:
        rule: LabelRule, of which only ids are used.
    """
    free = iter(np.flatnonzero(rule.table < 0).tolist())
    return [stored if stored >= 0 else next(free) for stored in rule.inverse.tolist()]


def classes_of(file, rule):
    """Reads the classes in a label file: int32 (H, W).

    Args:
        file: ImageFile.
        rule: FileRule.

    Raises:
        DataError: an id or colour in the file has no class, or as `stored_ids`; the message names the file.
    """
    chosen = rule.colours if not file.lossy and _holds_colours(file.decode(), rule, f"label map {file.source}") else rule.ids
    return chosen(stored_ids(file, chosen), f"label map {file.source}")


def _holds_colours(image, rule, source):
    """Whether the pixels of an Image are to be read as colours. Raises DataError for an index that the palette lacks."""
    if image.mode not in ("P", "RGB", "RGBA", "LA"):
        return False
    if image.mode != "P":
        rgb = np.asarray(image.convert("RGB"))
        return rule.own or bool((rgb != rgb[..., :1]).any())
    palette, known = list(_triples(image.getpalette() or ())), set(map(tuple, rule.colours.palette.tolist()))
    indices = np.unique(np.asarray(image)).tolist()
    if rule.own and indices[-1] >= len(palette):
        raise DataError(f"{source} holds index {indices[-1]}, but its own palette has {len(palette)} colours: save it with all of them")
    used = {palette[i] if i < len(palette) else None for i in indices}
    return rule.own or used <= known and (len(used) > 1 or known.issuperset(palette))


def _triples(values):
    return zip(*[iter(values)] * 3, strict=True)
