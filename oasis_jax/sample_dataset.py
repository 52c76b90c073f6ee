"""The data set that the sampling command writes with --as_dataset: pairs of an image and its label map, in folders for training.

    OUTPUT/train/photos/NAME.png    OUTPUT/train/labels/NAME.png    OUTPUT/train.txt    OUTPUT/palette.txt
"""
import dataclasses
import functools
import os
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from oasis_jax import label_mixing, pictures, series
from oasis_jax.data.folders import suffixes_of
from oasis_jax.data.labels import LabelRule
from oasis_jax.data.palette import palette_text
from oasis_jax.files import one_line, write_whole
from oasis_jax.recipes import Recipe
from oasis_jax.sample_labels import (
    TO_TRAIN_ON,
    class_colours,
    find_label_files,
    label_map_reader,
    label_rule,
    move_long_names,
    parse_size,
    refuse_found_again,
    scenes_instead,
)
from oasis_jax.sample_options import find_class, make_plan

PHOTOS, LABELS = "train/photos", "train/labels"  # the defaults of data.train_photos and data.train_labels
TRAIN_LIST, PALETTE = "train.txt", "palette.txt"
_SCENES = 32  # label maps for a model of procedural scenes, if no others are given
_KEPT = 256  # label maps that are cached in memory
_MIRRORED = "_mirrored"  # in the names of pairs
_UNUSED = "unused"  # name, in the palette, of an id that stands for no class

_DRAWING = ("mix", "favour_rare")
_OWN = ("examples", "mirror", *_DRAWING, "label_ids")
_SERIES = {
    "interpolate": "its frames are no examples",
    "path": "its frames are no examples",
    "style_mixing": "its images have no label maps",
    "resample_classes": "it keeps the noise of all other classes, but the images of a data set differ in all",
}


def refuse_flags(options):
    """Raises ValueError, with how to fix it, for flags that do not fit together, whatever the model."""
    given = [f"--{name}" for name in _OWN if getattr(options, name)]
    if given and not options.as_dataset:
        raise ValueError(f"{' and '.join(given)}: only a data set has this; give --as_dataset too")
    if not options.as_dataset:
        return
    for name, why in _SERIES.items():
        if getattr(options, name):
            raise ValueError(f"--as_dataset and --{name}: {why}; omit one of them")
    if drawing := [f"--{name}" for name in _DRAWING if getattr(options, name) and not options.examples]:
        raise ValueError(f"with {' and '.join(drawing)} label maps are drawn: say how many pairs you want, --examples=N")
    if options.examples and options.count > 1:
        raise ValueError("--examples is the number of all pairs, --count that of the pairs of each label map: omit one of them")


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set that is ready to be written: its options and label files have been checked.

    Attributes:
        model: family.Model that takes label maps.
        names: of the pairs, without ending.
        recipes: of the pairs.
        labels: yields the label map (H, W) of each pair, classes of the model, and its fields in samples.json.
        stored: uint8 or uint16 (N,), the id that each class is written as.
        rule: LabelRule by which the written label maps are read; that of the training data, unless they hold classes instead of its ids.
        size: (H, W).
    """

    model: Any
    names: list[str]
    recipes: list[Recipe]
    labels: Callable[[], Iterator]
    stored: np.ndarray
    rule: LabelRule
    size: tuple[int, int]

    def write(self, output):
        """Writes all but samples.json to a folder; returns the records of its images. Raises OSError."""
        records, rows, notes, listed = [], [], [], []
        for name, recipe, (labels, fields) in zip(tqdm(self.names, "sampling", unit="pair"), self.recipes, self.labels(), strict=True):
            image = self.model.images(self.model.inputs([recipe], {"label_map": np.ascontiguousarray(labels)[None]}))[0]
            photo, written = f"{PHOTOS}/{name}.png", f"{LABELS}/{name}.png"
            pictures.save_png(output / photo, image)
            pictures.save_png(output / written, self.stored[labels])
            records.append({"file": photo, "labels": written} | fields | recipe.as_json(self.model.class_names))
            listed.append(f"{photo} {written}\n")
            if len(rows) < pictures.SHEET_ROWS:
                rows.append([pictures.colour_label_map(labels, self.model.num_classes), image])
                notes.append([name, series.caption(recipe)])
        write_whole(output / TRAIN_LIST, os.fsencode("".join(listed)))
        write_whole(output / PALETTE, self.palette().encode())
        pictures.save_png(output / pictures.CONTACT_SHEET, pictures.grid(rows, notes=notes))
        return records

    def palette(self):
        """The text of a palette file: line i has the colour and the name of id i of the label maps; first those of `rule.palette`."""
        names, of_classes, rule = self.model.class_names, class_colours(self.model).tolist(), self.rule
        colours = [] if rule.palette is None else rule.palette.tolist()
        taken = {tuple(colour) for colour in colours}
        free = {int(self.stored[i]): colour for i, colour in enumerate(of_classes) if self._is_written(i) and tuple(colour) not in taken}
        taken.update(map(tuple, of_classes))
        spare = (colour for packed in range(1 << 24) if (colour := (packed >> 16, packed >> 8 & 255, packed & 255)) not in taken)
        count = max([len(colours), *(int(self.stored[i]) + 1 for i in range(len(names)) if self._is_written(i))])
        colours += [free[i] if i in free else next(spare) for i in range(len(colours), count)]
        return palette_text(colours, [names[class_id] if class_id >= 0 else _UNUSED for class_id in rule.table[:count].tolist()])

    def _is_written(self, class_id):
        return self.rule.table[self.stored[class_id]] == class_id

    def training_flags(self, output):
        """Flags for the training command to read the folder, and real pairs by the same rule, without those that name the real pairs."""
        rule, names = self.rule, tuple(self.model.class_names)
        mapping = ",".join(f"{stored}:{class_id}" for stored, class_id in rule.mapping.items())
        flags = {"root": str(output), "num_classes": rule.num_classes, "label_offset": rule.offset, "label_map": mapping}
        if rule.palette is not None or names != tuple(map(str, range(len(names)))):  # by default, classes have these names
            flags["class_names"] = ",".join(names) if all(re.fullmatch(r"[A-Za-z][\w -]*", name) for name in names) else repr(names)
        if rule.palette is not None:
            flags["palette"] = str(output / PALETTE)
        data = self.model.config.data
        if data.dontcare_id != 0:
            flags["dontcare_id"] = data.dontcare_id
        for field, suffix in suffixes_of(data).items():  # of the real pairs: names without them are accepted too
            flags[field] = suffix
        return [f"--config.data.{name}={value}" for name, value in flags.items()]

    def told(self, output):
        """The message at the end of the command."""
        command = shlex.join(["python", "-m", "oasis_jax.main", "--config=custom", *self.training_flags(output)])
        told = (
            f"{len(self.names)} pairs of {PHOTOS} and {LABELS}, {TRAIN_LIST}, {PALETTE}, {pictures.CONTACT_SHEET} and samples.json are in "
            f"{output}; to train on them, with real pairs to validate:\n"
            f"  {command} --config.data.val_photos=/DIR --config.data.val_labels=/DIR --workdir=RUN"
        )
        if self.rule.identity == label_rule(self.model).identity:
            return told
        last = self.rule.num_classes - 1
        told = (
            f"{told}\nThe real label maps must hold classes 0..{last} too: label files like those that the model was trained on hold other "
            "ids, which would be read as wrong classes"
        )
        possible = (label_rule(self.model).inverse >= 0).all()
        return f"{told}. For those, write the data set without --label_ids=classes" if possible else told


def prepare(model, options):
    """The Dataset of the options (attributes of `options`), which must have passed `refuse_flags`.

    Raises:
        DataError: label files cannot be used.
        ValueError: an option does not fit the model, the label maps or another option; the message says what to do.
    """
    if "label_map" not in model.columns:
        raise ValueError("this model takes no label maps, so its images have none: omit --as_dataset")
    first = make_plan(options, model).recipes[0]
    size = parse_size(options.size) if options.size else model.image_size
    model.check_size(*size)
    sources, read = _sources(model, options, size)
    pixels = _count_pixels(read, len(sources), model.num_classes)
    stored, rule = _ids(model, options, pixels.any(0))
    if options.examples:
        mixing = _mixing(model, options, read, pixels)
        seeds = range(options.seed, options.seed + options.examples)
        names, labels = [f"example_{seed:06}" for seed in seeds], functools.partial(_drawn, model, sources, mixing, seeds)
    else:
        kinds = (False, True) if options.mirror else (False,)
        takes = [(i, mirrored) for i in range(len(sources)) for mirrored in kinds for _ in range(options.count)]
        counted = (k for _ in range(len(sources) * len(kinds)) for k in range(options.count))
        names = [f"{sources[i][0]}{_MIRRORED * mirrored}_{k}" for (i, mirrored), k in zip(takes, counted, strict=True)]
        labels = functools.partial(_in_order, sources, read, takes)
    names = [re.sub(r"\s", "_", name) for name in names]  # blanks separate the columns of the train list
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two pairs would be called {one_line(twice)}: rename one of the label files, or give them in two calls")
    if options.labels:
        files = [fields["label_file"] for _, fields in sources]
        written = [f"{folder}/{name}.png" for folder in (PHOTOS, LABELS) for name in names]
        refuse_found_again(options.labels, options.output, files, [*written, pictures.CONTACT_SHEET])
    return Dataset(model, names, series.samples(first, len(names)), labels, stored, rule, size)


def _sources(model, options, size):
    """[(name, fields of its record)] of the label maps to use, and the function that reads each by its number."""
    if not options.labels:
        maps = scenes_instead(model, size, _SCENES, TO_TRAIN_ON)
        return [(name, {"scene": name}) for name in maps], list(maps.values()).__getitem__
    files, faults = find_label_files(options.labels)
    if not options.examples:
        move_long_names(files, faults, f"{_MIRRORED * options.mirror}_{options.count - 1}.png")
    changed = options.config and options.config.data
    read = label_map_reader(model, files, size, changed, chosen=bool(options.size), faults=faults)
    paths = list(files.values())
    return [(name, {"label_file": str(path)}) for name, path in files.items()], functools.lru_cache(_KEPT)(lambda i: read(paths[i]))


def _count_pixels(read, count, num_classes):
    """int64 (n, N): pixels of each class in each of n label maps at the size of the images."""
    numbers = tqdm(range(count), "counting classes", unit="file", leave=False)
    return np.stack([np.bincount(read(i).ravel(), minlength=num_classes) for i in numbers])


def _ids(model, options, present):
    """The ids (N,) that the classes are written as, and the LabelRule that reads them; raises ValueError if a class has no id.

    It is the rule of the training data, which reads real label maps too, unless classes are wanted and it writes other ids.
    """
    rule = label_rule(model)
    if options.label_ids == "classes" and (rule.inverse != np.arange(model.num_classes)).any():
        rule = LabelRule(model.num_classes)
    if (missing := np.flatnonzero(present & (rule.inverse < 0))).size:
        raise ValueError(
            f"class {missing[0]} ({one_line(model.class_names[missing[0]])}) has no id in label files of the training data "
            f"(data.label_offset={rule.offset}, data.label_map={model.config.data.label_map}): give --label_ids=classes"
        )
    kind = np.uint8 if rule.inverse.max() < 256 else np.uint16
    return np.maximum(rule.inverse, 0).astype(kind), rule


def _mixing(model, options, read, pixels):
    """The Mixing of the options; raises ValueError for classes that cannot be pasted."""
    dontcare = model.config.data.dontcare_id
    pixels = np.where(np.arange(model.num_classes) == dontcare, 0, pixels)
    classes = tuple(dict.fromkeys(find_class(name, model.class_names) for name in options.mix))
    for class_id in classes:
        name = one_line(model.class_names[class_id])
        if class_id == dontcare:
            raise ValueError(f"--mix: class {class_id} ({name}) is don't-care, which is never pasted: leave it out")
        if not pixels[:, class_id].any():
            known = ", ".join(one_line(model.class_names[i]) for i in np.flatnonzero(pixels.any(0)))
            raise ValueError(f"--mix: none of the label maps holds class {class_id} ({name}): leave it out; they hold {known}")
    if classes and len(pixels) == 1 and not options.mirror:
        raise ValueError("--mix pastes from other label maps, but there is only one: give more with --labels, or add --mirror")
    if options.favour_rare and not pixels.any():
        raise ValueError("--favour_rare: all label maps are don't-care throughout: give others with --labels")
    return label_mixing.Mixing(read, pixels, options.mirror, classes, options.favour_rare)


def _drawn(model, sources, mixing, seeds):
    for seed in seeds:
        drawn = mixing.draw(seed)
        fields = sources[drawn.source][1] | ({"mirrored": True} if drawn.mirrored else {})
        if drawn.pasted:
            fields = fields | {"pasted": [
                sources[each.source][1] | {"class": model.class_names[each.class_id]} | ({"mirrored": True} if each.mirrored else {})
                for each in drawn.pasted
            ]}
        yield drawn.labels, fields


def _in_order(sources, read, takes):
    for i, mirrored in takes:
        labels = read(i)
        yield (labels[:, ::-1], sources[i][1] | {"mirrored": True}) if mirrored else (labels, sources[i][1])
