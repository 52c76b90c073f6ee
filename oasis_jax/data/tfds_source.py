"""Examples from TensorFlow Datasets: any builder with an image feature and, for label maps, a label-map feature."""
import difflib
import functools
import logging
import os
import re
import urllib.parse

import numpy as np
import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import downloader

from oasis_jax.data.columns import decode_photo
from oasis_jax.data.image_files import DataError, open_bytes
from oasis_jax.data.labels import stored_ids
from oasis_jax.files import expanded

RETRIES = 5  # per download; TFDS's default of ten takes minutes without a connection


def open_tfds(spec, split, columns):
    """Opens spec.layout ("tfds:NAME") below spec.root ("" is TFDS's default), and prepares it if the builder can.

    Builders with random access (array_record) are read by index. Others can only be read sequentially, so their records are copied into
    memory once, compressed as stored.

    Pillow decodes photos in the same way as photo files, but without applying their EXIF orientation, which TFDS ignores too.

    Args:
        spec: DataSpec with a "tfds:" layout.
        split: "train" or "val".
        columns: the Columns to read, `Photo` or `LabelMap` (`data.columns`).

    Returns:
        Names of the examples; index -> {column name: array}: "image" uint8 (H, W, 3), "label_map" stored ids, integers (H, W); and the
        paths of the files that hold them.

    Raises:
        DataError: the builder, split or a feature does not exist, or a feature has the wrong type: a photo is an image of 8 or 16 bits, a
            label map is such an image or an integer tensor.
    """
    tfds_split = getattr(spec, f"tfds_{split}_split")
    builder = _builder(spec.layout, spec.root)
    fields = {column.name: {"image": "tfds_image", "label_map": "tfds_label"}[column.name] for column in columns}
    wanted = {name: getattr(spec, field) for name, field in fields.items()}
    known = ", ".join(builder.info.features)
    if absent := {f"data.{fields[name]}": feature for name, feature in wanted.items() if feature not in builder.info.features}:
        given = " and ".join(f'no feature "{feature}"' for feature in absent.values())
        raise DataError(f"{spec.layout} has {given} (it has {known}): correct {' and '.join(absent)}")
    if "image" in wanted:
        _refuse_other_images(builder.info.features[spec.tfds_image], spec)
    if "label_map" in wanted:
        _refuse_other_labels(builder.info.features[spec.tfds_label], spec)
    _prepare(builder, spec.layout, spec.root)  # may download for hours
    try:
        examples = builder.info.splits[tfds_split].num_examples  # known only now; it may also be a part, such as train[:80%]
    except (KeyError, ValueError, AssertionError):
        known = ", ".join(builder.info.splits)
        raise DataError(f'{spec.layout} has no split "{tfds_split}" (it has {known}): correct data.tfds_{split}_split') from None
    if not examples:
        raise DataError(f'the split "{tfds_split}" of {spec.layout} has no examples: correct data.tfds_{split}_split')

    records = _records(spec.layout, spec.root, tfds_split, tuple(wanted.values()))
    named = re.sub(r"[^\w+-]+", "_", tfds_split)  # label maps are saved under these names, and patterns give brackets a meaning
    names = [f"{named}_{i:06d}" for i in range(len(records))]

    def read_column(column, stored, name):
        source = f"{spec.layout} {name}"
        if column.name == "image":
            return np.asarray(decode_photo(open_bytes(stored, source), turn=False))
        feature = builder.info.features[spec.tfds_label]
        if isinstance(feature, tfds.features.Image):  # TFDS would decode 16 bits with OpenCV, and palette images as colours
            return stored_ids(open_bytes(stored, f"{source}, feature {spec.tfds_label},"), column.rule)
        return _ids(feature.decode_example_np(stored), column.rule, f"{source}, feature {spec.tfds_label},")

    def read(index):
        record = records[index]
        return {column.name: read_column(column, record[wanted[column.name]], names[index]) for column in columns}

    return names, read, tuple(map(os.fspath, builder.info.splits[tfds_split].filepaths))


def _builder(layout, root):
    """Returns the builder of a layout. It reads only data that are already there, and downloads nothing."""
    name = layout.removeprefix("tfds:")
    try:
        return tfds.builder(name, data_dir=str(expanded(root)) if root else None)
    except tfds.core.registered.DatasetNotFoundError as error:  # its own message lists all builders
        nearest = ", ".join(difflib.get_close_matches(name.split("/")[0], tfds.list_builders(with_community_datasets=False), cutoff=0))
        place = root or "the default data_dir"
        missing = f"there is no TFDS builder {name}, and no prepared data for it in {place}"
        raise DataError(f"{missing}: correct data.layout; did you mean {nearest}?") from error
    except Exception as error:  # from the builder, or a package that it needs
        raise _unopened(layout, root, error) from error


def _prepare(builder, layout, root):
    """Downloads and prepares the data if they are not there yet; TFDS prints a message and shows progress."""
    downloader.MAX_RETRIES = RETRIES
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it would warn of every retry
    try:
        builder.download_and_prepare()
    except requests.exceptions.RequestException as error:
        host = urllib.parse.urlsplit(error.request.url).hostname if error.request else "its source"
        raise DataError(
            f"{layout} is not in {root or 'the default data_dir'}, and could not be downloaded from {host} ({type(error).__name__}): check "
            "the connection of this machine, or give the folder of prepared data in data.root"
        ) from error
    except Exception as error:  # from the builder, its source on the web, or a package that it needs
        raise _unopened(layout, root, error) from error


def _unopened(layout, root, error):
    reason = " ".join(str(error).split())
    reason = f"{reason[:300]}{'...' * (len(reason) > 300)}"
    return DataError(f"{layout} cannot be opened in {root or 'the default data_dir'} ({reason}): correct data.layout or data.root")


@functools.lru_cache(maxsize=1)  # if one split is used for training and validation, it is copied once
def _records(layout, root, tfds_split, features):
    """Returns a sequence of {feature: value as stored}; an image is stored as the bytes of a file."""
    builder = _builder(layout, root)
    images = {name for name, feature in builder.info.features.items() if isinstance(feature, tfds.features.Image)}
    undecoded = dict.fromkeys(images | set(features), tfds.decode.SkipDecoding())
    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        return builder.as_data_source(split=tfds_split, decoders=undecoded)
    stored = tfds.as_numpy(builder.as_dataset(split=tfds_split, shuffle_files=False, decoders=undecoded))
    return [{name: example[name] for name in features} for example in stored]


def _refuse_other_images(feature, spec):
    """Raises DataError unless the feature is an image that Pillow decodes: TFDS stores float images as bits in PNG files."""
    if not isinstance(feature, tfds.features.Image) or feature.np_dtype not in (np.uint8, np.uint16) or len(feature.shape) != 3:
        raise DataError(f'{spec.layout} feature "{spec.tfds_image}" is {feature}, not an image of 8 or 16 bits: correct data.tfds_image')


def _refuse_other_labels(feature, spec):
    """Raises DataError unless the feature is an image of 8 or 16 bits, or a tensor of integers, (H, W) or (H, W, channels)."""
    wide = feature.np_dtype == np.uint16 and feature.shape[-1:] != (1,)  # Pillow would reduce them to 8 bits
    images = isinstance(feature, tfds.features.Image) and feature.np_dtype in (np.uint8, np.uint16) and len(feature.shape) == 3 and not wide
    tensors = type(feature) is tfds.features.Tensor and np.dtype(feature.np_dtype).kind in "uib" and len(feature.shape) in (2, 3)
    if not images and not tensors:
        raise DataError(
            f'{spec.layout} feature "{spec.tfds_label}" is {feature}, not a label map (an image of 8 or 16 bits, or a tensor of integers): '
            "correct data.tfds_label"
        )


def _ids(label, rule, source):
    """Returns integer ids (H, W) of an array (H, W) or (H, W, channels): ids, three equal channels or palette colours; ignores alpha."""
    label = label.astype(np.uint8 if label.dtype == bool else np.int64 if label.dtype == np.uint64 else label.dtype, copy=False)
    if label.ndim == 3 and label.shape[2] >= 3 and rule.palette is not None:
        return rule.stored_of_colours(label[..., :3], source)
    if label.ndim == 3:
        colours = label[..., : 1 if label.shape[2] < 3 else 3]
        if (colours != colours[..., :1]).any():
            raise DataError(f"{source} holds colours, not ids: name a palette file in data.palette")
        label = colours[..., 0]
    return label
