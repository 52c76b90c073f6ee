"""Pairs from TensorFlow Datasets: any builder with an image feature and a label-map feature."""
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from oasis_jax.data.labels import DataError, resize_label_map
from oasis_jax.data.resize import resize_photo


def open_tfds(spec, split, rule):
    """Opens spec.layout ("tfds:NAME"), which must be prepared below spec.root ("" is TFDS's own folder) or be able to prepare itself.

    Builders whose files allow random access (array_record) are read by index. The others can only be read from front to back, so they are
    copied into memory once, already resized to the size that the split is used at.

    Returns:
        Names of the examples, and index -> (photo uint8 (H, W, 3), stored ids uint8 or uint16 (H, W)).

    Raises:
        DataError: the builder, split or a feature does not exist, or the features are no image and label map.
    """
    name = spec.layout.removeprefix("tfds:")
    tfds_split = getattr(spec, f"tfds_{split}_split")
    try:
        builder = tfds.builder(name, data_dir=spec.root or None)
        builder.download_and_prepare()
    except (tfds.core.registered.DatasetNotFoundError, AssertionError, OSError) as error:
        raise DataError(f"{spec.layout} cannot be opened in {spec.root or 'the default data_dir'} ({error}): correct them") from error
    for feature in (spec.tfds_image, spec.tfds_label):
        if feature not in builder.info.features:
            known = ", ".join(builder.info.features)
            raise DataError(f'{spec.layout} has no feature "{feature}" (it has {known}): correct data.tfds_image or data.tfds_label')
    if tfds_split not in builder.info.splits:
        known = ", ".join(builder.info.splits)
        raise DataError(f'{spec.layout} has no split "{tfds_split}" (it has {known}): correct data.tfds_{split}_split')

    def pair(example):
        return _photo(example[spec.tfds_image]), _ids(example[spec.tfds_label], rule, spec)

    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        records = builder.as_data_source(tfds_split)
        read = lambda index: pair(records[index])  # noqa: E731
        count = len(records)
    else:
        size = spec.decoded_size(split)
        copies = [_resized(*pair(example), size, f"{name} {tfds_split} {i}") for i, example in enumerate(_in_order(builder, tfds_split))]
        read, count = copies.__getitem__, len(copies)
    return [f"{tfds_split}_{i:06d}" for i in range(count)], read


def _in_order(builder, split):
    return tfds.as_numpy(builder.as_dataset(split, shuffle_files=False))


def _resized(photo, ids, size, name):
    if photo.shape[:2] != ids.shape:
        raise DataError(f"{name} has a photo of {photo.shape[:2]} but a label map of {ids.shape} (height, width): correct data.tfds_label")
    return resize_photo(Image.fromarray(photo), size), resize_label_map(ids, size)


def _photo(image):
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]


def _ids(label, rule, spec):
    """Stored ids of a label feature: (H, W), (H, W, 1), or (H, W, 3), which is a palette's colours or three equal channels."""
    if label.ndim == 3 and label.shape[2] == 3 and rule.palette is not None:
        return rule.stored_of_colours(label, spec.layout)
    if label.ndim == 3:
        if (label != label[..., :1]).any():
            raise DataError(f"{spec.layout} feature {spec.tfds_label} holds colours, not ids: name a palette file in data.palette")
        label = label[..., 0]
    return label
