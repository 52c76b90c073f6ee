"""Data sets in folders: photos and label maps that are paired by their names."""
import dataclasses
import difflib
import os
import warnings

from oasis_jax.data.columns import make_columns
from oasis_jax.data.image_files import DataError, open_image
from oasis_jax.data.labels import stored_ids
from oasis_jax.data.listing import IMAGE_ENDINGS, list_images
from oasis_jax.data.partners import without_partner
from oasis_jax.data.split import Example, Split
from oasis_jax.data.text import read_lines
from oasis_jax.files import compared, expanded, one_line, told_apart

_FIRST = 10  # files of each folder that are read to detect swapped folders


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the files of each column are.

    Attributes:
        folders: {column: folder below the root}.
        suffixes: {column: what follows the common part of each file name}.
        fields: {column: the config field that names its folder}; empty if the layout fixes the folders.
        num_classes: number of classes, unless the data spec sets it.
        optional: whether the suffix is ignored in a folder where no name has it.
    """

    folders: dict[str, str]
    suffixes: dict[str, str]
    fields: dict[str, str] = dataclasses.field(default_factory=dict)
    num_classes: int = 0
    optional: bool = False


@dataclasses.dataclass(frozen=True)
class Column:
    """The files that were found for a column.

    Attributes:
        things: what its files are called in messages, in the plural.
        folder: where they are.
        suffix: what follows the common part of their names.
        files: {common part of the path below the folder: path}.
        others: the same for files that are not read as images.
        faults, notes: as in `Split`.
    """

    things: str
    folder: str
    suffix: str
    files: dict[str, str]
    others: dict[str, str]
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def _layout(photos, labels, photo_suffix="", label_suffix="", **fields):
    return Layout({"image": photos, "label_map": labels}, {"image": photo_suffix, "label_map": label_suffix}, **fields)


def _of_fields(spec, split):
    fields = {"image": f"{split}_photos", "label_map": f"{split}_labels"}
    folders = (getattr(spec, field) for field in fields.values())
    named = {column: f"data.{field}" for column, field in fields.items()}
    return _layout(*folders, spec.photo_suffix, spec.label_suffix, fields=named, optional=True)


_ADE20K = {"train": "training", "val": "validation"}
LAYOUTS = {
    "folders": _of_fields,
    "cityscapes": lambda _, split: _layout(f"leftImg8bit/{split}", f"gtFine/{split}", "_leftImg8bit", "_gtFine_labelIds", num_classes=35),
    "ade20k": lambda _, split: _layout(*(f"{kind}/{_ADE20K[split]}" for kind in ("images", "annotations")), num_classes=151),
    "coco_stuff": lambda _, split: _layout(f"{split}_img", f"{split}_label", num_classes=183),
}


def suffixes_of(data):
    """How the names of photos and of label maps of a data set end, as fields of config.data, {field: suffix}, without empty ones."""
    if data.layout not in LAYOUTS:
        return {}
    fields = {"image": "photo_suffix", "label_map": "label_suffix"}
    if data.layout == "folders":
        suffixes = {column: data.get(field, "") for column, field in fields.items()}  # older configs lack the fields
    else:
        suffixes = LAYOUTS[data.layout](data, "val").suffixes
    return {fields[column]: suffix for column, suffix in suffixes.items() if suffix}


def open_folders(spec, split, columns):
    """Opens a split of one of the LAYOUTS; arguments, result and errors as for `datasets.open_split`."""
    if spec.layout not in LAYOUTS:
        raise DataError(f'data.layout is "{spec.layout}": it must be one of {", ".join(LAYOUTS)}, images, scenes or tfds:NAME')
    layout = LAYOUTS[spec.layout](spec, split)
    if not spec.root:
        raise DataError("data.root is empty: give the folder of the data set, --config.data.root=/data/mine")
    root = expanded(spec.root)
    opened = make_columns(spec, columns, layout.num_classes)
    if not root.is_dir():
        layouts = (LAYOUTS[spec.layout](spec, each) for each in ("train", "val"))  # the same message for both splits: printed once
        wanted = dict.fromkeys(each.folders[column.name] for each in layouts for column in opened)
        raise DataError(f"data.root {root} is not a folder: give the folder that holds {', '.join(wanted)}")
    found, wrong = {}, []
    for column in opened:
        try:
            found[column.name] = _list(root, layout, column)
        except DataError as error:
            wrong.append(str(error))
    if wrong:
        raise DataError("\n".join(dict.fromkeys([*wrong, *(fault for column in found.values() for fault in column.faults)])))
    if len(opened) > 1:
        rules = [column.rule for column in opened if column.name == "label_map"]
        _refuse_swapped(found["image"], found["label_map"], *rules)
    listed = {name: column.files for name, column in found.items()}
    faults = [fault for column in found.values() for fault in column.faults]
    if spec.scene_categories:
        listed = _of_categories(root, spec, split, listed)
    common = sorted(set.intersection(*map(set, listed.values())))
    if len(opened) > 1:
        columns = [dataclasses.replace(found[name], files=files) for name, files in listed.items()]
        fields = ("data.photo_suffix", "data.label_suffix") if layout.optional else ()
        faults += without_partner(*columns, fields, lambda: _other_split(root, spec, split, opened))
    label_files = ""
    if label_maps := found.get("label_map"):
        suffix = label_maps.suffix
        pattern = f"**/*{suffix}.*" if layout.optional else f"*/*{suffix}.png"
        label_files = f"{label_maps.folder}/{pattern}" if suffix else label_maps.folder
    return Split(
        split,
        tuple(Example(key, {name: files[key] for name, files in listed.items()}) for key in common),
        opened,
        tuple(faults),
        notes=tuple(note for column in found.values() for note in column.notes),
        label_files=label_files,
    )


def _of_categories(root, spec, split, listed):
    """Returns only the files whose image has one of spec.scene_categories in ADE20K's list of images."""
    if spec.layout != "ade20k":
        raise DataError(f'data.scene_categories is for data.layout "ade20k", not "{spec.layout}": empty it')
    path = root / "sceneCategories.txt"
    wanted = "the name of an image and its category in each line, such as ADE_train_00000001 airport_terminal"
    lines = [(number, line, line.split()) for number, line in read_lines(path, "the list of data.scene_categories,", wanted)]
    for number, line, words in lines:
        if len(words) < 2:
            raise DataError(f'{path} line {number} is "{line}": write {wanted}')
    category_of = {words[0]: words[1] for _, _, words in lines}
    known = set(category_of.values())
    unknown = [
        f"{name} (nearest: {', '.join(difflib.get_close_matches(name, known, cutoff=0.0))})"
        for name in spec.scene_categories
        if name not in known
    ]
    if unknown:
        warnings.warn(f"data.scene_categories has names that {path} does not contain: {'; '.join(unknown)}", stacklevel=2)
    listed = {
        column: {key: file for key, file in files.items() if category_of.get(key) in spec.scene_categories}
        for column, files in listed.items()
    }
    if not any(listed.values()):
        raise DataError(f"no image of the {split} split in {root} has one of data.scene_categories in {path}: list other categories")
    return listed


def _list(root, layout, column):
    """Lists the folder of a column (`data.columns`) and returns its files as a Column."""
    base, suffix = root / layout.folders[column.name], layout.suffixes[column.name]
    field = layout.fields.get(column.name)
    named = f"{field}={layout.folders[column.name]}: " if field else ""
    fix = f"correct {field}, or data.root" if field else "correct data.root, or data.layout"
    if not base.is_dir():
        raise DataError(f"{named}{base} is not a folder, but the {column.things} are expected there: {fix}")
    listed = list_images(base)
    notes, faults = list(listed.notes(base)), list(listed.faults)
    stems = {path: os.path.splitext(path)[0] for path in listed.files}
    if layout.optional and not any(stem.endswith(suffix) for stem in stems.values()):
        suffix = ""
    chosen = {path: compared(stem.removesuffix(suffix)) for path, stem in stems.items() if stem.endswith(suffix)}
    if layout.optional and len(chosen) < len(stems):
        notes.append(f"skipped in {base}: {len(stems) - len(chosen)} image files whose names do not end in {suffix}")
    files = {}
    for path, key in chosen.items():
        if key in files:
            both = " and ".join(told_apart(files[key], listed.files[path]))
            faults.append(f"{both} are two {column.things} with the same name: remove one of them")
        else:
            files[key] = listed.files[path]
    if not files:
        wanted = f"*{suffix} with one of the endings {' '.join(IMAGE_ENDINGS)}"
        wrong = f"{named}{base} holds no {column.things} ({wanted}): {fix}"
        raise DataError("\n  ".join(map(one_line, [wrong, *faults, *notes])))
    others = {compared(os.path.splitext(path)[0].removesuffix(suffix)): full for path, full in listed.others.items()}
    return Column(column.things, str(base), suffix, files, others, tuple(faults), tuple(notes))


def _other_split(root, spec, split, columns):
    """Returns a Column for each of `columns` (`data.columns`) in the other split; None if one cannot be listed: that split reports it."""
    layout = LAYOUTS[spec.layout](spec, "val" if split == "train" else "train")
    try:
        return [_list(root, layout, column) for column in columns]
    except DataError:
        return None


def _refuse_swapped(photos, label_maps, rule):
    """Raises DataError if, of the first files of each Column, no label map holds class ids but all photos do."""
    if _all_hold_classes(label_maps, rule, wanted=False) and _all_hold_classes(photos, rule, wanted=True):
        raise DataError(
            f"photos and label maps are swapped: {photos.folder} holds id maps and {label_maps.folder} holds photos. "
            "Exchange data.train_photos with data.train_labels (and the same for val), or rename the folders"
        )


def _all_hold_classes(column, rule, wanted):
    """Whether all (`wanted` False: none) of the first files of a Column hold class ids. Files that are not images are ignored."""
    images = 0
    for path in sorted(column.files.values())[:_FIRST]:
        holds = _holds_classes(path, rule)
        if holds is not None and holds != wanted:
            return False
        images += holds is not None
    return images > 0


def _holds_classes(path, rule):
    """Whether a file is a label map in which every id has a class; None if it is not an image, which the check will report."""
    try:
        file = open_image(path)
    except DataError:
        return None
    try:
        rule(stored_ids(file, rule))
    except DataError:
        return False
    return True
