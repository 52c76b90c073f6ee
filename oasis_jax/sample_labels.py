"""The label maps of the sampling command: which files they are, how they are read, and to what size they are resized."""
import dataclasses
import functools
import os
import re
import sys

import numpy as np
from ml_collections import ConfigDict, config_dict
from tqdm import tqdm

from oasis_jax import pictures
from oasis_jax.data.labels import DataError, LabelRule, parse_label_map, read_label_map, resize_label_map
from oasis_jax.data.listing import IMAGE_ENDINGS, Listing, is_hidden, list_images
from oasis_jax.data.palette import palette_of, palette_of_run
from oasis_jax.data.scenes import CLASS_NAMES, Scenes
from oasis_jax.files import LONGEST_NAME, expanded, one_line

_NOTICED = 0.02  # relative difference of aspect ratios above which a message is printed
_UNSEEN = 1  # seed of the scenes of validation
TO_TRAIN_ON = 2  # seed of scenes in neither split, so that networks trained on them can be validated
_UNITS = [1 << power for power in range(8)]  # the sides of an image must be multiples of one of these


def label_fields():
    """ConfigDict of the fields that say how label files are read; where they are None, those of the checkpoint hold."""
    kinds = {"label_map": str, "label_offset": int, "palette": str}
    return ConfigDict({"data": {name: config_dict.placeholder(kind) for name, kind in kinds.items()}})


def parse_size(text):
    """(H, W) of "HxW"; raises ValueError for other texts."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise ValueError(f"--size={text}: write height and width, such as 256x512")
    return int(found[1]), int(found[2])


def find_label_files(given):
    """Finds the label files that --labels names, and those that cannot be used: ({name: path}, faults).

    The files are sorted; a name is the path below the folder, without the ending.

    Args:
        given: a file; a folder, whose image files are found at any depth; or a pattern such as 'gtFine/val/*/*_labelIds.png', with ** for
            any depth. Hidden files are skipped.

    Returns:
        The files, and one line for each file that cannot be read or has the same name as another.

    Raises:
        DataError: there are neither files nor faults.
    """
    path, found, listed = expanded(given), {}, Listing({}, {})
    if path.is_dir():
        listed = list_images(path)
        missing = f"in {path}: it holds no {', '.join(IMAGE_ENDINGS)}"
    elif _is_file(path):
        listed, missing = Listing({path.name: str(path)}, {}), ""
    elif "*" in os.fspath(given):
        listed, missing = _matching(path), f"match {given}"
    else:
        missing = f"at {path}: {'it is neither a file nor a folder' if path.exists() else 'there is no such file or folder'}"
    faults = list(listed.faults)
    for below, file in sorted(listed.files.items()):
        name = os.path.splitext(below)[0]
        if name in found:
            faults.append(f"{found[name]} and {file} are two label maps of one name, and so would be their samples: name one of them")
        else:
            found[name] = file
    if not faults and not found:
        raise DataError(one_line(f"no label files {missing}"))
    return found, faults


def move_long_names(label_files, faults, ending):
    """Moves label files to the faults (both as from `find_label_files`) if the names of their images would be too long with `ending`."""
    longest = LONGEST_NAME - len(ending)
    for name in [name for name in label_files if len(os.fsencode(os.path.basename(name))) > longest]:
        faults.append(f"{label_files.pop(name)} has too long a name for those of its samples ({longest} bytes and .png): shorten it")


def refuse_found_again(given, output, label_files, images):
    """Raises DataError if --labels would find images of the output as label maps, or if the output holds label maps.

    Args:
        given, output: --labels and --output.
        label_files: paths of the label files.
        images: paths of the images below the output.
    """
    path = expanded(given)
    if "://" in os.fspath(given) + os.fspath(output):
        return
    output, elsewhere = os.path.realpath(expanded(output)), "choose an --output elsewhere"
    if inside := next((file for file in label_files if os.path.realpath(file).startswith(output.rstrip("/") + "/")), None):
        raise DataError(f"--output={output} holds label maps of --labels={given}, such as {inside}: {elsewhere}")
    if path.is_file():
        return
    base, pattern = (path, "**/*") if path.is_dir() else _split_pattern(path)
    expression = _expression(pattern)
    inner = os.path.relpath(output, os.path.realpath(base))
    if inner != "." and any(map(is_hidden, inner.split("/"))):  # so is a path that is not below the base, "../.."
        return
    if again := next((image for image in images if expression.fullmatch(os.path.normpath(os.path.join(inner, image)))), None):
        raise DataError(f"--labels={given} would find samples in --output={output}, such as {again}, as label maps: {elsewhere}")


def _is_file(path):
    """Whether a path is a regular file. epath also accepts a pipe, from which reading would never end without a writer."""
    return path.is_file() if "://" in os.fspath(path) else os.path.isfile(path)


def _matching(pattern):
    """The Listing of the image files that match a pattern. Folders in which nothing can match are not searched."""
    base, rest = _split_pattern(pattern)
    if not base.is_dir():
        return Listing({}, {})
    steps = rest.split("/")
    folders = [_expression("/".join(steps[:depth]) + "/") for depth in range(1, len(steps))]
    file = _expression(rest)

    def wanted(below):
        return any(folder.fullmatch(below) for folder in folders) if below.endswith("/") else file.fullmatch(below)

    listed = list_images(base, wanted)
    return dataclasses.replace(listed, files={below: path for below, path in listed.files.items() if wanted(below)})


def _split_pattern(pattern):
    """The deepest folder without * of a pattern, and the rest of the pattern below it, a text."""
    base = next(parent for parent in pattern.parents if "*" not in os.fspath(parent) or parent.is_dir())
    rest = pattern.relative_to(base).as_posix()
    return base, f"{rest}/*" if rest.split("/")[-1] == "**" else rest  # ** at the end means all files below, as in a shell


def _expression(pattern):
    """A compiled expression for the paths that match a pattern; only * and ** are special."""
    return re.compile(re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*"), re.DOTALL)


def label_map_subjects(model, label_files, size, changed=None, chosen=True, faults=()):
    """Checks label files, and yields the subjects of `sample_all`: (name, fields of the record, batch of one label map, its picture).

    Arguments and errors as in `label_map_reader`.
    """
    read = label_map_reader(model, label_files, size, changed, chosen, faults)

    def subject(name, path):
        labels = read(path)
        return name, {"label_file": str(path)}, {"label_map": labels[None]}, [pictures.colour_label_map(labels, model.num_classes)]

    return (subject(*item) for item in label_files.items())


def label_map_reader(model, label_files, size, changed=None, chosen=True, faults=()):
    """Checks label files; returns the function that reads one of them: path -> int32 (H, W) classes.

    Args:
        model: a family.Model that takes label maps.
        label_files: {name: path}.
        size: (H, W) of the images.
        changed: `label_fields` that replace those of the checkpoint.
        chosen: whether the user chose the size; if not, a message reports label maps that are squeezed into it.
        faults: from `find_label_files`, for the same report.

    Raises:
        DataError: naming every label file that cannot be used.
    """
    rule = label_rule(model, changed)
    squeezed = [(path, shape) for path, shape in _checked(label_files, rule, faults) if is_squeezed(shape, size)]
    if squeezed and not chosen:
        path, (height, width) = squeezed[0]
        kept = size_like(model, (height, width))
        advice = f"; --size={kept[0]}x{kept[1]} keeps the shape of that one" if kept else ""
        print(
            f"{len(squeezed)} of {len(label_files)} label maps, such as {one_line(path)} of {height}x{width}, are squeezed into the size "
            f"of the training images, {size[0]}x{size[1]}{advice}",
            file=sys.stderr,
        )
    return lambda path: resize_label_map(read_label_map(path, rule), size)


def scenes_instead(model, size, count=4, seed=_UNSEEN):
    """Returns `example_label_maps`, where no --labels are given, and prints a line about them; raises ValueError if there are none."""
    maps = example_label_maps(model, size, count, seed)
    if not maps:
        raise ValueError("this model takes label maps: give --labels=DIR")
    print(f"no --labels are given: the label maps are {len(maps)} procedural scenes", file=sys.stderr)
    return maps


def example_subjects(model, size):
    """The subjects of `sample_all` where no --labels are given; prints and raises as `scenes_instead` does."""
    colour = functools.partial(pictures.colour_label_map, num_classes=model.num_classes)
    return [(name, {}, {"label_map": ids[None]}, [colour(ids)]) for name, ids in scenes_instead(model, size).items()]


def example_label_maps(model, size, count=4, seed=_UNSEEN):
    """Label maps for a model that was trained on procedural scenes: {name: uint8 (H, W) of classes}, of scenes that it has not seen.

    Args:
        model: a family.Model that takes label maps.
        size: (H, W).
        count: how many.
        seed: of the scenes, by default that of validation; with `TO_TRAIN_ON`, the scenes are in neither split.

    Returns:
        {} for models of other data.
    """
    scenes = unseen_scenes(model, size, count, seed)
    return {} if scenes is None else {f"scene_{i}": scenes.scene(i)[1] for i in range(count)}


def unseen_scenes(model, size, count, seed=_UNSEEN):
    """`count` Scenes of a size (H, W) that a model trained on procedural scenes has not seen; None for models of other data."""
    if model.config.data.layout != "scenes" or model.num_classes != len(CLASS_NAMES):
        return None
    return Scenes(count, size, seed)


def class_colours(model, rule=None):
    """Colours of the classes of a model that takes label maps, uint8 (N, 3), all different.

    They come from the palette of `rule`, a LabelRule, or else from the palette that the model was trained with; classes without a colour
    in the palette get colours of `pictures.colours`.
    """
    if rule is None or rule.palette is None:
        rule = label_rule(model)
    stored = () if rule.palette is None else rule.palette
    known = {int(rule.table[i]): tuple(stored[i].tolist()) for i in reversed(range(len(stored))) if rule.table[i] >= 0}
    taken = set(map(tuple, np.asarray(stored).tolist()))  # also the colours of ids that share a class, or have none
    spare = (tuple(colour) for colour in pictures.colours(model.num_classes + len(taken)).tolist())
    others = (colour for colour in spare if colour not in taken)
    return np.array([known[i] if i in known else next(others) for i in range(model.num_classes)], np.uint8)


def label_rule(model, changed=None):
    """The LabelRule by which a model's label files are read; `changed` as in `label_map_reader`."""
    data = ConfigDict(model.config.data)
    data.update({name: value for name, value in (changed or {}).items() if value is not None})
    given = (changed or {}).get("palette")
    palette = palette_of_run(data) if given is None else palette_of(given, ())[0]
    return LabelRule(model.num_classes, data.label_offset, parse_label_map(data.label_map), palette, fixed=True)


def is_squeezed(shape, size):
    """Whether resizing a label map from `shape` to `size`, both (H, W), changes its aspect ratio enough to print a message."""
    return abs(shape[0] * size[1] / (shape[1] * size[0]) - 1) > _NOTICED


def size_like(model, shape):
    """A size (H, W) that the model can generate, close to the aspect ratio of `shape` and the shorter side of training images; or None."""
    scale = min(model.image_size) / min(shape)
    for unit in _UNITS:
        size = tuple(max(round(side * scale / unit), 1) * unit for side in shape)
        try:
            model.check_size(*size)
        except ValueError:
            continue
        return size
    return None


def _checked(label_files, rule, found=()):
    """[(path, (H, W))] of label files; raises DataError, naming all that cannot be used."""
    faults, shapes = list(found), []
    for path in tqdm(label_files.values(), unit="file", desc="checking label maps", leave=False):
        try:
            shapes.append((path, read_label_map(path, rule).shape))
        except DataError as error:
            faults.append(str(error))
    if faults:
        mapping = ",".join(f"{stored}:{target}" for stored, target in rule.mapping.items())
        how = f"label files are read with --config.data.label_map={mapping} --config.data.label_offset={rule.offset}"
        what = f"the model has classes 0..{rule.num_classes - 1}; {how}, which you can change"
        count = f"{len(faults)} of {len(label_files) + len(found)}"
        raise DataError("\n  ".join([f"{count} label files cannot be used ({what}):", *map(one_line, faults)]))
    return shapes
