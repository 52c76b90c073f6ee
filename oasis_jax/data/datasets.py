"""Data sets: their fields, and how their splits are opened."""
import dataclasses
from typing import Any

from oasis_jax.data.columns import make_columns
from oasis_jax.data.columns import read_photo as read_photo
from oasis_jax.data.folders import LAYOUTS, open_folders
from oasis_jax.data.labels import DataError
from oasis_jax.data.photos import open_photos
from oasis_jax.data.split import Example, Split
from oasis_jax.files import expanded

SPLITS = ("train", "val")
PAIRS = ("image", "label_map")  # columns of a data set of photos with label maps
_READ = ("layout", "image_size", "fit", "tfds_train_split", "tfds_val_split", "tfds_image", "tfds_label", "scene_categories")


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """The typed fields of config.data, which `oasis_jax/fields.py` explains. Empty fields take the values that the layout implies.

    Raises:
        DataError: a field has an impossible value.
    """

    layout: str = "folders"
    root: str = ""
    val_root: str = ""
    num_classes: int = 0
    dontcare_id: int = 0
    class_names: tuple[str, ...] = ()
    label_offset: int = 0
    label_map: str = ""
    palette: str = ""
    palette_colours: tuple[str, ...] = ()
    image_size: tuple[int, int] = (256, 256)
    resize_size: tuple[int, ...] = ()
    fit: str = "resize"
    flip: bool = True
    train_photos: str = "train/photos"
    train_labels: str = "train/labels"
    val_photos: str = "val/photos"
    val_labels: str = "val/labels"
    photo_suffix: str = ""
    label_suffix: str = ""
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
        if self.workers < 0:
            raise DataError(f"data.workers is {self.workers}: give the number of threads, or 0 for one per core")
        if self.fit not in ("resize", "crop"):
            raise DataError(f'data.fit is "{self.fit}": it must be resize or crop')

    @classmethod
    def of_config(cls, data) -> "DataSpec":
        """The DataSpec of the ConfigDict config.data; lists become tuples. Configs of older checkpoints lack some fields."""
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in data.items()})

    @property
    def identity(self) -> list[Any]:
        """What photos and label maps depend on, besides what their Split says."""
        return [getattr(self, name) for name in _READ]

    def decoded_size(self, split) -> tuple[int, int]:
        """(height, width) that the examples of a split are resized to, before any crop."""
        return tuple(self.resize_size if split == "train" and self.resize_size else self.image_size)


def open_split(spec, split, columns=PAIRS) -> Split:
    """Lists the examples of a split.

    Args:
        spec: DataSpec.
        split: "train" or "val".
        columns: names of the columns that an example holds; those that are drawn instead of read are ignored.

    Raises:
        DataError: the root or a folder is missing or empty, photo and label folders are swapped, or a field of spec is wrong. Files that
            belong to no example do not raise here: they are listed in `faults`, which `check.check_split` reports all together.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}: it must be train or val")
    if spec.layout == "scenes":
        return _open_scenes(spec, split, columns)
    if spec.layout.startswith("tfds:"):
        from oasis_jax.data.tfds_source import open_tfds  # TensorFlow Datasets is needed by this layout alone

        opened = make_columns(spec, columns)
        names, read_arrays, files = open_tfds(spec, split, opened)
        return Split(split, tuple(map(Example, names)), opened, read_arrays=read_arrays, archives=files)
    if spec.layout == "images":
        if "label_map" in columns:
            raise DataError(
                f'data.layout "images" has only photos, but config.family needs label maps: set data.layout to {", ".join(LAYOUTS)}, '
                "scenes or tfds:NAME"
            )
        return open_photos(spec, split, columns)
    return open_folders(spec, split, columns)


def searched_folders(spec, columns=PAIRS) -> list[str]:
    """Returns the folders of both splits that are searched for images, whether they exist or not; arguments as for `open_split`."""
    if spec.layout == "images":
        return [str(expanded(root)) for root in (spec.root, spec.val_root) if root]
    if spec.layout not in LAYOUTS or not spec.root:
        return []
    root, layouts = expanded(spec.root), [LAYOUTS[spec.layout](spec, split) for split in SPLITS]
    return [str(root / folder) for layout in layouts for column, folder in layout.folders.items() if column in columns]


def _open_scenes(spec, split, columns):
    from oasis_jax.data import scenes

    opened = make_columns(spec, columns, len(scenes.CLASS_NAMES), scenes.CLASS_NAMES)
    count = spec.scenes_train if split == "train" else spec.scenes_val
    # Splits differ by seed. Scenes are drawn at the size at which they are used, so that nothing is resized.
    size = spec.decoded_size(split)
    drawn = scenes.Scenes(count, size, seed=SPLITS.index(split))
    examples = tuple(Example(f"scene_{i:05d}") for i in range(count))
    return Split(split, examples, opened, read_arrays=lambda i: dict(zip(PAIRS, drawn.scene(i), strict=True)), drawn_size=size)
