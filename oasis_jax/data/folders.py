"""Data sets in folders: photos and label maps that belong together by their names."""
import dataclasses
import difflib
import warnings

from etils import epath
from PIL import Image

from oasis_jax.data.columns import make_columns
from oasis_jax.data.labels import DataError
from oasis_jax.data.split import Example, Split

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the files of each column are.

    Attributes:
        folders: {column: folder below the root}.
        suffixes: {column: what follows the common part of each file name}.
        num_classes: N unless the data spec gives it.
    """

    folders: dict[str, str]
    suffixes: dict[str, str]
    num_classes: int = 0


def _layout(photos, labels, photo_suffix="", label_suffix="", num_classes=0):
    return Layout({"image": photos, "label_map": labels}, {"image": photo_suffix, "label_map": label_suffix}, num_classes)


_ADE20K = {"train": "training", "val": "validation"}
LAYOUTS = {
    "folders": lambda spec, split: _layout(getattr(spec, f"{split}_photos"), getattr(spec, f"{split}_labels")),
    "cityscapes": lambda _, split: _layout(f"leftImg8bit/{split}", f"gtFine/{split}", "_leftImg8bit", "_gtFine_labelIds", 35),
    "ade20k": lambda _, split: _layout(*(f"{kind}/{_ADE20K[split]}" for kind in ("images", "annotations")), num_classes=151),
    "coco_stuff": lambda _, split: _layout(f"{split}_img", f"{split}_label", num_classes=183),
}


def open_folders(spec, split, columns):
    """The Split of a layout of LAYOUTS; arguments and errors as for `datasets.open_split`."""
    if spec.layout not in LAYOUTS:
        raise DataError(f'data.layout is "{spec.layout}": it is one of {", ".join(LAYOUTS)}, images, scenes or tfds:NAME')
    layout = LAYOUTS[spec.layout](spec, split)
    if not spec.root:
        raise DataError("data.root is empty: give the folder of the data set, --config.data.root=/data/mine")
    root = epath.Path(spec.root).expanduser()
    opened = make_columns(spec, columns, layout.num_classes)
    if not root.is_dir():
        wanted = " and ".join(layout.folders[column.name] for column in opened)
        raise DataError(f"data.root {root} is not a folder: give the folder that holds {wanted}")
    listed = {column.name: _list(root, layout, column) for column in opened}
    if len(opened) > 1:
        _refuse_swapped(root, layout, listed)
    if spec.scene_categories:
        listed = _of_categories(root, spec, split, listed)
    common = sorted(set.intersection(*(set(files) for files in listed.values())))
    label_files = ""
    if "label_map" in listed:
        folder, suffix = root / layout.folders["label_map"], layout.suffixes["label_map"]
        label_files = f"{folder}/*/*{suffix}.png" if suffix else str(folder)
    folders = tuple(str(root / layout.folders[column.name]) for column in opened)
    examples = tuple(Example(key, {name: files[key] for name, files in listed.items()}) for key in common)
    return Split(split, examples, opened, tuple(_without_partner(root, layout, opened, listed)), folders=folders, label_files=label_files)


def _without_partner(root, layout, columns, listed):
    """One line for each file that another column lacks."""
    for column in columns:
        for other in columns:
            for key in sorted(listed[column.name].keys() - listed[other.name].keys()):
                thing, missing = (each.things.removesuffix("s") for each in (column, other))
                folder = root / layout.folders[other.name]
                yield f"{thing} {listed[column.name][key]} has no {missing} {key}{layout.suffixes[other.name]}.* in {folder}"


def _of_categories(root, spec, split, listed):
    """The files whose image has one of spec.scene_categories in ADE20K's list of all images."""
    if spec.layout != "ade20k":
        raise DataError(f'data.scene_categories is for data.layout "ade20k", not "{spec.layout}": empty it')
    path = root / "sceneCategories.txt"
    try:
        category_of = dict(line.split()[:2] for line in path.read_text().splitlines() if line.strip())
    except (OSError, ValueError) as error:
        fix = "put ADE20K's file there (lines such as ADE_train_00000001 airport_terminal) or empty data.scene_categories"
        raise DataError(f"{path} cannot be read ({error}): {fix}") from error
    known = set(category_of.values())
    unknown = [
        f"{name} (nearest: {', '.join(difflib.get_close_matches(name, known, cutoff=0.0))})"
        for name in spec.scene_categories
        if name not in known
    ]
    if unknown:
        warnings.warn(f"data.scene_categories names what {path} does not hold: {'; '.join(unknown)}", stacklevel=2)
    listed = {
        column: {key: file for key, file in files.items() if category_of.get(key) in spec.scene_categories}
        for column, files in listed.items()
    }
    if not any(listed.values()):
        raise DataError(f"no image of the {split} split in {root} has one of data.scene_categories in {path}: list other categories")
    return listed


def is_image_file(path):
    """Whether a pure path is called like an image file; hidden files are not."""
    return path.suffix.lower() in PHOTO_ENDINGS and not path.name.startswith(".")


def image_files(base):
    """Iterator over the paths of all image files below a folder, at any depth, in no order."""
    return (path for folder, _, names in base.walk() for path in (folder / name for name in names) if is_image_file(path))


def _list(root, layout, column):
    """A column's image files: {path relative to its folder, without suffix and ending: path}."""
    base, suffix = root / layout.folders[column.name], layout.suffixes[column.name]
    if not base.is_dir():
        raise DataError(f"{base} is not a folder, but the layout expects the {column.things} there: correct data.root or data.layout")
    files = {}
    for path in image_files(base):
        if not path.stem.endswith(suffix):
            continue
        key = path.relative_to(base).with_suffix("").as_posix().removesuffix(suffix)
        if key in files:
            raise DataError(f"{files[key]} and {path} are two {column.things} of one name: remove one of them")
        files[key] = str(path)
    if not files:
        wanted = f"*{suffix} with one of the endings {' '.join(PHOTO_ENDINGS)}"
        raise DataError(f"{base} holds no {column.things} ({wanted}): correct data.root or data.layout")
    return files


def _refuse_swapped(root, layout, listed):
    """Compares the first file of each folder: JPEG or colours where ids should be, and a PNG of ids where photos should be."""
    photo, label = (_read_header(min(listed[name].values())) for name in ("image", "label_map"))
    if label is None or photo is None:
        return
    label_is_photo = label[0] == "JPEG" or (label[1] == "RGB" and photo[1] != "RGB")
    photo_is_label = photo[0] != "JPEG" and photo[1] in ("1", "L", "P", "I", "I;16", "I;16B")
    if label_is_photo and photo_is_label:
        photos, labels = (root / layout.folders[name] for name in ("image", "label_map"))
        raise DataError(
            f"photos and label maps are swapped: {photos} holds id maps and {labels} holds photos. "
            "Exchange data.train_photos with data.train_labels (and the same for val), or rename the folders"
        )


def _read_header(path):
    """Format and mode of an image file, such as ("PNG", "P"), without decoding it; None if it is no image."""
    try:
        with epath.Path(path).open("rb") as file:
            image = Image.open(file)
            return image.format, image.mode
    except OSError:
        return None
