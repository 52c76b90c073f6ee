"""Where the pairs of a data set lie, and what their ids mean."""
import dataclasses
import difflib
import warnings
from collections.abc import Callable

import numpy as np
from etils import epath
from PIL import Image, ImageOps

from oasis_jax.data.labels import DataError, LabelRule, parse_label_map, read_image, read_palette, read_stored_ids

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
SPLITS = ("train", "val")


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """The fields of config.data, typed; the config says what each means. Empty fields take what the layout implies.

    Raises:
        DataError: a field whose value cannot be meant.
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

    def decoded_size(self, split) -> tuple[int, int]:
        """(height, width) that the examples of a split are resized to, before any crop."""
        return tuple(self.resize_size if split == "train" and self.resize_size else self.image_size)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A photo and its label map. Pairs that lie in no files have empty paths."""

    photo: str
    label: str
    name: str


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The pairs of one split, in a fixed order.

    Attributes:
        name: train or val.
        pairs: tuple of Pair, sorted by name.
        rule: what the stored ids mean.
        class_names: one name for each of rule.num_classes classes.
        faults: one line for each file without a partner; the split is fit for use only when empty.
        source: for pairs that lie in no files, i -> (photo uint8 (H, W, 3), stored ids (H, W)).
        label_files: the folder of the label maps, or a pattern where it holds other files too; empty without files.
    """

    name: str
    pairs: tuple[Pair, ...]
    rule: LabelRule
    class_names: tuple[str, ...]
    faults: tuple[str, ...] = ()
    source: Callable[[int], tuple[np.ndarray, np.ndarray]] | None = None
    label_files: str = ""

    def __len__(self):
        return len(self.pairs)

    def subset(self, indices) -> "Split":
        """The split that has only the pairs of these indices, in this order."""
        source = self.source and (lambda i: self.source(indices[i]))
        return dataclasses.replace(self, pairs=tuple(self.pairs[i] for i in indices), source=source)

    def spread(self, count) -> "Split":
        """The subset of `count` pairs from the first to the last at even distances; of fewer pairs some are repeated."""
        return self.subset(np.linspace(0, len(self) - 1, count).astype(int).tolist())

    def read(self, index) -> tuple[Image.Image, np.ndarray]:
        """Pair `index` at full size: photo as RGB Image, stored ids uint8 or uint16 (H, W). Raises DataError if unreadable."""
        if self.source is not None:
            photo, stored = self.source(index)
            return Image.fromarray(photo), stored
        pair = self.pairs[index]
        return read_photo(pair.photo), read_stored_ids(pair.label, self.rule)


def read_photo(path) -> Image.Image:
    """Reads a photo as RGB Image, turned upright as its EXIF says; grey becomes RGB. Raises DataError if unreadable."""
    image = read_image(path)
    if image.format != "JPEG" or image.info.keys() & {"exif", "xmp"}:
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):  # Pillow would clip 16 bit grey at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def open_split(spec, split) -> Split:
    """Lists the pairs of `split` ("train" or "val").

    Raises:
        DataError: the root or a folder is missing or empty, photo and label folders are swapped, or a field of spec is wrong. Files without
            partner do not raise here: they wait in `faults`, for the one report of `check.check_split`.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}: it is train or val")
    if spec.layout == "scenes":
        return _open_scenes(spec, split)
    if spec.layout.startswith("tfds:"):
        from oasis_jax.data.tfds_source import open_tfds  # TensorFlow Datasets is needed by this layout alone

        rule, names = _rule(spec)
        pairs, source = open_tfds(spec, split, rule)
        return Split(split, tuple(Pair("", "", name) for name in pairs), rule, names, source=source)
    if spec.layout not in _LAYOUTS:
        raise DataError(f'data.layout is "{spec.layout}": it is one of {", ".join(_LAYOUTS)}, scenes or tfds:NAME')
    return _open_folders(spec, split, _LAYOUTS[spec.layout](spec, split))


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Folders below the root, what follows the common part of each file name, and N unless spec says otherwise."""

    photos: str
    labels: str
    photo_suffix: str = ""
    label_suffix: str = ""
    num_classes: int = 0


_LAYOUTS = {
    "folders": lambda spec, split: _Layout(getattr(spec, f"{split}_photos"), getattr(spec, f"{split}_labels")),
    "cityscapes": lambda _, split: _Layout(f"leftImg8bit/{split}", f"gtFine/{split}", "_leftImg8bit", "_gtFine_labelIds", 35),
    "ade20k": lambda _, split: _Layout(*(f"{kind}/{_ADE20K[split]}" for kind in ("images", "annotations")), num_classes=151),
    "coco_stuff": lambda _, split: _Layout(f"{split}_img", f"{split}_label", num_classes=183),
}
_ADE20K = {"train": "training", "val": "validation"}


def _rule(spec, num_classes=0, class_names=()):
    """The label rule and the class names; the arguments are what the layout implies where spec is silent."""
    palette, palette_names = read_palette(spec.palette) if spec.palette else (None, ())
    num_classes = spec.num_classes or num_classes or len(palette_names)
    rule = LabelRule(num_classes, spec.label_offset, parse_label_map(spec.label_map), palette)
    names = tuple(spec.class_names or class_names or palette_names)
    if names and len(names) != num_classes:
        raise DataError(f"{len(names)} class names are given for {num_classes} classes: correct data.class_names or data.num_classes")
    return rule, names or tuple(map(str, range(num_classes)))


def _open_scenes(spec, split):
    from oasis_jax.data import scenes

    rule, names = _rule(spec, num_classes=len(scenes.CLASS_NAMES), class_names=scenes.CLASS_NAMES)
    count = spec.scenes_train if split == "train" else spec.scenes_val
    # Splits differ by seed. Scenes are drawn at the size they are used at: nothing is left to resize.
    drawn = scenes.Scenes(count, spec.decoded_size(split), seed=SPLITS.index(split))
    return Split(split, tuple(Pair("", "", f"scene_{i:05d}") for i in range(count)), rule, names, source=drawn.scene)


def _open_folders(spec, split, layout):
    if not spec.root:
        raise DataError("data.root is empty: give the folder of the data set, --config.data.root=/data/mine")
    root = epath.Path(spec.root).expanduser()
    if not root.is_dir():
        raise DataError(f"data.root {root} is no folder: give the folder that holds {layout.photos} and {layout.labels}")
    rule, names = _rule(spec, layout.num_classes)
    photos = _list(root, layout.photos, layout.photo_suffix, "photos")
    labels = _list(root, layout.labels, layout.label_suffix, "label maps")
    _refuse_swapped(root, layout, photos, labels)
    if spec.scene_categories:
        photos, labels = _of_categories(root, spec, split, photos, labels)
    common = sorted(photos.keys() & labels.keys())
    faults = [
        f"photo {photos[key]} has no label map {key}{layout.label_suffix}.* in {root / layout.labels}"
        for key in sorted(photos.keys() - labels.keys())
    ] + [
        f"label map {labels[key]} has no photo {key}{layout.photo_suffix}.* in {root / layout.photos}"
        for key in sorted(labels.keys() - photos.keys())
    ]
    folder = root / layout.labels
    label_files = f"{folder}/*/*{layout.label_suffix}.png" if layout.label_suffix else str(folder)
    return Split(split, tuple(Pair(photos[key], labels[key], key) for key in common), rule, names, tuple(faults), label_files=label_files)


def _of_categories(root, spec, split, photos, labels):
    """Those of the two listings whose image has one of spec.scene_categories in ADE20K's list of all images."""
    if spec.layout != "ade20k":
        raise DataError(f'data.scene_categories is for data.layout "ade20k", not "{spec.layout}": empty it')
    path = root / "sceneCategories.txt"
    try:
        category_of = dict(line.split()[:2] for line in path.read_text().splitlines() if line.strip())
    except (OSError, ValueError) as error:
        mend = "put ADE20K's file there (lines such as ADE_train_00000001 airport_terminal) or empty data.scene_categories"
        raise DataError(f"{path} cannot be read ({error}): {mend}") from error
    known = set(category_of.values())
    unknown = [
        f"{name} (nearest: {', '.join(difflib.get_close_matches(name, known, cutoff=0.0))})"
        for name in spec.scene_categories
        if name not in known
    ]
    if unknown:
        warnings.warn(f"data.scene_categories names what {path} does not hold: {'; '.join(unknown)}", stacklevel=2)
    photos, labels = (
        {key: file for key, file in files.items() if category_of.get(key) in spec.scene_categories} for files in (photos, labels)
    )
    if not photos and not labels:
        raise DataError(f"no image of the {split} split in {root} has one of data.scene_categories in {path}: list other categories")
    return photos, labels


def _list(root, folder, suffix, kind):
    """Image files below root/folder whose stem ends in `suffix`: {path relative to the folder, without suffix and ending: path}."""
    base = root / folder
    if not base.is_dir():
        raise DataError(f"{base} is no folder, but the layout wants the {kind} there: correct data.root or data.layout")
    files = {}
    for path in (folder / name for folder, _, names in base.walk() for name in names):
        if path.suffix.lower() not in PHOTO_ENDINGS or not path.stem.endswith(suffix) or path.name.startswith("."):
            continue
        key = path.relative_to(base).with_suffix("").as_posix().removesuffix(suffix)
        if key in files:
            raise DataError(f"{files[key]} and {path} are two {kind} of one name: remove one of them")
        files[key] = str(path)
    if not files:
        wanted = f"*{suffix} with one of the endings {' '.join(PHOTO_ENDINGS)}"
        raise DataError(f"{base} holds no {kind} ({wanted}): correct data.root or data.layout")
    return files


def _refuse_swapped(root, layout, photos, labels):
    """Judges by the first file of each folder: JPEG or colours where ids should be, and a PNG of ids where photos should be."""
    photo, label = (read_header(min(files.values())) for files in (photos, labels))
    if label is None or photo is None:
        return
    label_is_photo = label[0] == "JPEG" or (label[1] == "RGB" and photo[1] != "RGB")
    photo_is_label = photo[0] != "JPEG" and photo[1] in ("1", "L", "P", "I", "I;16", "I;16B")
    if label_is_photo and photo_is_label:
        raise DataError(
            f"photos and label maps are swapped: {root / layout.photos} holds id maps and {root / layout.labels} holds photos. "
            "Exchange data.train_photos with data.train_labels (and the same for val), or rename the folders"
        )


def read_header(path) -> tuple[str, str] | None:
    """Format and mode of an image file, such as ("PNG", "P"), without decoding it; None if it is no image."""
    try:
        with epath.Path(path).open("rb") as file:
            image = Image.open(file)
            return image.format, image.mode
    except OSError:
        return None
