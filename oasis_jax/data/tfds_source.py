"""Examples from TensorFlow Datasets: any builder with an image feature and, for label maps, a label-map feature."""
import numpy as np
import tensorflow_datasets as tfds

from oasis_jax.data.labels import DataError


def open_tfds(spec, split, columns):
    """Opens spec.layout ("tfds:NAME") below spec.root ("" is TFDS's default), and prepares it if the builder can.

    Builders with random access (array_record) are read by index. Others can only be read from front to back, so their records are copied
    into memory once, compressed as stored.

    Args:
        spec: DataSpec with a "tfds:" layout.
        split: "train" or "val".
        columns: the Columns to read, `Photo` or `LabelMap` (`data.columns`).

    Returns:
        Names of the examples, and index -> {column name: array}: "image" uint8 (H, W, 3), "label_map" stored ids, uint8 or uint16 (H, W).

    Raises:
        DataError: the builder, split or a feature does not exist, or the features are not an image and a label map.
    """
    name = spec.layout.removeprefix("tfds:")
    tfds_split = getattr(spec, f"tfds_{split}_split")
    try:
        builder = tfds.builder(name, data_dir=spec.root or None)
        builder.download_and_prepare()
    except (tfds.core.registered.DatasetNotFoundError, AssertionError, OSError) as error:
        raise DataError(
            f"{spec.layout} cannot be opened in {spec.root or 'the default data_dir'} ({error}): correct data.layout or data.root"
        ) from error
    wanted = {column.name: {"image": spec.tfds_image, "label_map": spec.tfds_label}[column.name] for column in columns}
    for feature in wanted.values():
        if feature not in builder.info.features:
            known = ", ".join(builder.info.features)
            raise DataError(f'{spec.layout} has no feature "{feature}" (it has {known}): correct data.tfds_image or data.tfds_label')
    if tfds_split not in builder.info.splits:
        known = ", ".join(builder.info.splits)
        raise DataError(f'{spec.layout} has no split "{tfds_split}" (it has {known}): correct data.tfds_{split}_split')

    def arrays(example):
        by_column = {column.name: example[wanted[column.name]] for column in columns}
        return {c.name: _photo(by_column[c.name]) if c.name == "image" else _ids(by_column[c.name], c.rule, spec) for c in columns}

    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        records = builder.as_data_source(tfds_split)
        read = lambda index: arrays(records[index])  # noqa: E731
    else:
        features = {feature: builder.info.features[feature] for feature in wanted.values()}
        undecoded = dict.fromkeys(features, tfds.decode.SkipDecoding())
        stored = tfds.as_numpy(builder.as_dataset(tfds_split, shuffle_files=False, decoders=undecoded))
        records = [{name: example[name] for name in features} for example in stored]
        read = lambda index: arrays({name: features[name].decode_example_np(value) for name, value in records[index].items()})  # noqa: E731
    return [f"{tfds_split}_{i:06d}" for i in range(len(records))], read


def _photo(image):
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]


def _ids(label, rule, spec):
    """Stored ids of a label feature: (H, W), (H, W, 1), or (H, W, 3), with palette colours or three equal channels."""
    if label.ndim == 3 and label.shape[2] == 3 and rule.palette is not None:
        return rule.stored_of_colours(label, spec.layout)
    if label.ndim == 3:
        if (label != label[..., :1]).any():
            raise DataError(f"{spec.layout} feature {spec.tfds_label} holds colours, not ids: name a palette file in data.palette")
        label = label[..., 0]
    return label
