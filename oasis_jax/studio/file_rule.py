"""How label files that people give to the studio are read: as ids, or in the colours that the studio shows. `read_png.js` does the same."""
import dataclasses

import numpy as np

from oasis_jax.data.labels import DataError, LabelRule, stored_ids
from oasis_jax.sample_labels import class_colours


@dataclasses.dataclass(frozen=True, eq=False)
class FileRule:
    """How a label file becomes classes.

    Grey images hold ids. If the model has a palette of its own (data.palette), images in colours hold colours, as in its training data.
    If it has none, its classes have the colours that the studio shows and writes into labels.png:

    * A palette image holds colours if all that its pixels have are colours of classes. Else its indices are ids, and so they are if its
      pixels have one colour alone and its palette has others that no class has: black is a colour of most palettes.
    * An RGB image of three equal channels holds ids, any other holds colours.

    A colour that no class has is an error wherever colours are read.

    Attributes:
        ids: LabelRule of ids, without palette.
        colours: LabelRule of colours; those of the classes come first, in their order.
        own: whether the model has a palette of its own.
    """

    ids: LabelRule
    colours: LabelRule
    own: bool

    def facts(self):
        """The rule as JSON values, for a page without a server.

        Returns:
            dict; `count` is the number of classes, `offset` and `map` lead from ids to them, `colours` are [r, g, b, class].
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
    """The FileRule of a family.Model that takes label maps.

    Args:
        model: family.Model.
        rule: LabelRule of its label files, as `sample_labels.label_rule` gives it.
    """
    own = rule.palette is not None
    class_of = {tuple(colour): number for number, colour in enumerate(class_colours(model, rule).tolist())}
    for stored, colour in enumerate(rule.palette.tolist() if own else ()):
        if rule.table[stored] >= 0:  # several ids may be of one class
            class_of.setdefault(tuple(colour), int(rule.table[stored]))
    source = {}
    if not own:
        source = {"palette_source": "the palette of the classes"}
    elif (rule.table[: len(rule.palette)] < 0).any():
        source = {"palette_source": "the part of data.palette that has classes"}
    colours = LabelRule(rule.num_classes, 0, dict(enumerate(class_of.values())), np.array(list(class_of), np.uint8), fixed=True, **source)
    return FileRule(dataclasses.replace(rule, palette=None), colours, own)


def classes_of(file, rule):
    """The classes in a label file: int32 (H, W).

    Args:
        file: ImageFile.
        rule: FileRule.

    Raises:
        DataError: it holds no ids or colours of classes, or as `stored_ids` does; it names the file.
    """
    chosen = rule.colours if not file.lossy and _holds_colours(file.decode(), rule, f"label map {file.source}") else rule.ids
    return chosen(stored_ids(file, chosen), f"label map {file.source}")


def _holds_colours(image, rule, source):
    """Whether the pixels of an Image are to be read by their colours. Raises DataError for colours that are not there."""
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
