"""Pairs from TensorFlow Datasets: any builder with an image feature and a label-map feature."""
import numpy as np
import tensorflow_datasets as tfds

from oasis_jax.data.labels import DataError


def open_tfds(spec, split, rule):
    """Opens spec.layout ("tfds:NAME"), which must be prepared below spec.root ("" is TFDS's own folder) or be able to prepare itself.

    Builders whose files allow random access (array_record) are read by index. The others can only be read from front to back, so they are
    copied into memory once, as they are stored: compressed.

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
        features = {feature: builder.info.features[feature] for feature in (spec.tfds_image, spec.tfds_label)}
        undecoded = dict.fromkeys(features, tfds.decode.SkipDecoding())
        stored = tfds.as_numpy(builder.as_dataset(tfds_split, shuffle_files=False, decoders=undecoded))
        records = [{name: example[name] for name in features} for example in stored]
        read = lambda index: pair({name: features[name].decode_example_np(value) for name, value in records[index].items()})  # noqa: E731
        count = len(records)
    return [f"{tfds_split}_{i:06d}" for i in range(count)], read


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
