"""The sampling command: label maps in; images, a contact sheet and the recipe of every image out.

    python -m oasis_jax.sample --checkpoint=runs/scenes --labels=labels/ --output=samples/ --samples_per_label=4

Sample k of every label map has the noise of --seed + k. With --resample_classes=road,car sample 0 still has the noise of --seed, and the
others redraw only these classes. With --interpolate=K, K frames lead from sample 0 to sample 1. A spatially aware model looks where
--heatmap_centres says, such as 0.2:-0.5 (y:x, from -1 to 1). Models that take no label maps need no --labels. `samples.json` is written
last, so an output folder without it is incomplete.
"""
import difflib
import hashlib
import json
import re
import shlex
import sys
from collections import Counter

from absl import app, flags, logging
from etils import epath
from tqdm import tqdm

from oasis_jax import pictures, sampling
from oasis_jax.checkpoint import CheckpointError
from oasis_jax.data.labels import DataError, LabelRule, parse_label_map, read_label_map, read_palette, resize_label_map
from oasis_jax.recipes import Recipe

LABEL_ENDINGS = (".png", ".bmp", ".gif", ".tif", ".tiff")
SHEET_ROWS = 32  # label maps on the contact sheet


def recipes(seed, samples_per_label=1, resample_classes=(), class_seeds=None, interpolate=0, centres=None):
    """The Recipe of each image of one label map.

    Args:
        seed: of sample 0.
        samples_per_label: number of samples.
        resample_classes: the only classes to which sample k gives the noise of seed + k; () gives it to all.
        class_seeds: {class: seed} of classes that have the same noise in every sample.
        interpolate: if positive, the number of frames from sample 0 to sample 1, instead of samples.
        centres: of the heatmaps of all images, as Recipe takes them.

    Raises:
        ValueError: the options contradict each other.
    """
    class_seeds = class_seeds or {}
    if both := set(resample_classes) & set(class_seeds):
        raise ValueError(f"class {min(both)} is both in --resample_classes, to be redrawn, and in --noise_seed_per_class: choose one")
    if interpolate and samples_per_label > 1:
        raise ValueError("--interpolate generates frames from sample 0 to sample 1: leave --samples_per_label out")
    if interpolate == 1:
        raise ValueError("--interpolate=1 is not an interpolation: give 2 frames or more")

    def sample(k):
        if resample_classes and k:
            return seed, class_seeds | dict.fromkeys(resample_classes, seed + k)
        return seed + k, class_seeds

    if interpolate:
        return [Recipe(*sample(0), end=sample(1), t=frame / (interpolate - 1), centres=centres) for frame in range(interpolate)]
    return [Recipe(*sample(k), centres=centres) for k in range(samples_per_label)]


def label_map_subjects(model, label_files, size):
    """Checks label files, and yields what `sample_all` samples: (name, fields of the record, batch of one label map, its picture) of each.

    Args:
        model: a family.Model that takes label maps.
        label_files: paths whose names without ending differ.
        size: (H, W) of the images.

    Raises:
        DataError: naming every label file that cannot be used.
    """
    rule = _label_rule(model)
    _check_label_files(label_files, rule)

    def subject(path):
        labels = resize_label_map(read_label_map(path, rule), size)
        return path.stem, {"label_file": str(path)}, {"label_map": labels[None]}, [pictures.colour_label_map(labels, model.num_classes)]

    return map(subject, label_files)


def sample_all(model, subjects, count, output, image_recipes):
    """Generates and writes OUTPUT/NAME_K.png for every subject and recipe, and the contact sheet.

    Args:
        model: a family.Model.
        subjects: of `label_map_subjects`; for a model without label maps, one without label map and picture.
        count: number of subjects.
        output: folder.
        image_recipes: list of Recipe.

    Returns:
        The list "images" of samples.json: for each image its file, label file and recipe, and its heatmaps if it has any.

    Raises:
        OSError: the output cannot be written.
    """
    records, sheet = [], []
    class_names = getattr(model, "class_names", ())
    with tqdm(total=count * len(image_recipes), unit="image", desc="sampling") as progress:
        for name, fields, batch, row in subjects:
            for k, recipe in enumerate(image_recipes):
                image = model.images(model.inputs([recipe], batch))[0]
                file = f"{name}_{k}.png"
                pictures.save_png(output / file, image)
                heatmaps = {"heatmaps": recipe.heatmaps().tolist()} if model.spatially_aware else {}
                records.append({"file": file} | fields | recipe.as_json(class_names) | heatmaps)
                row.append(image)
                progress.update()
            if len(sheet) < SHEET_ROWS:
                sheet.append(row)
    pictures.save_png(output / pictures.CONTACT_SHEET, pictures.grid(sheet))
    return records


def find_label_files(pattern):
    """The label files that --labels names: a file, the images of a folder, or a pattern such as 'gtFine/val/*/*_labelIds.png'; sorted.

    Raises:
        DataError: there are none, or the samples of two would have the same name.
    """
    path = epath.Path(pattern).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in LABEL_ENDINGS)
        if not files:
            raise DataError(f"no label files in {path}: it holds no {', '.join(LABEL_ENDINGS)}")
    elif "*" in pattern:
        fixed = next(parent for parent in path.parents if "*" not in str(parent))
        files = sorted(fixed.glob(str(path.relative_to(fixed))))
        if not files:
            raise DataError(f"no label files match {pattern}")
    elif path.is_file():
        files = [path]
    else:
        raise DataError(f"no label files at {path}: there is no such file or folder")
    name, count = Counter(file.stem for file in files).most_common(1)[0]
    if count > 1:
        raise DataError(f"{count} label files are called {name}, and so would their samples: sample them one by one")
    return files


def find_class(name, class_names):
    """The class of this name or number; raises ValueError naming the nearest names."""
    if name in class_names:
        return class_names.index(name)
    if name.isdecimal() and int(name) < len(class_names):
        return int(name)
    nearest = difflib.get_close_matches(name, class_names, n=3, cutoff=0.3) or class_names[:5]
    raise ValueError(f"there is no class {name!r}; did you mean {' or '.join(nearest)}? Numbers 0..{len(class_names) - 1} work too")


def _label_rule(model):
    data = model.config.data
    palette = read_palette(data.palette)[0] if data.palette else None
    return LabelRule(model.num_classes, data.label_offset, parse_label_map(data.label_map), palette)


def _check_label_files(paths, rule):
    faults = []
    for path in tqdm(paths, unit="file", desc="checking label maps", leave=False):
        try:
            read_label_map(path, rule)
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n  ".join([f"{len(faults)} of {len(paths)} label files cannot be used:", *faults]))


def _class_seeds(entries, class_names):
    pairs = [re.fullmatch(r"(.+)=(\d+)", entry) for entry in entries]
    if not all(pairs):
        raise ValueError(f"--noise_seed_per_class={','.join(entries)}: write class=seed pairs, such as road=3,car=7")
    return {find_class(pair[1], class_names): int(pair[2]) for pair in pairs}


def _centres(entries):
    """(y, x) pairs from "y:x" texts, None if there are none."""
    pairs = [entry.split(":") for entry in entries]
    try:
        return tuple((float(y), float(x)) for y, x in pairs) or None
    except ValueError:
        raise ValueError(f"--heatmap_centres={','.join(entries)}: write y:x pairs, such as 0.2:-0.5") from None


def _size(text):
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise ValueError(f"--size={text}: write height and width, such as 256x512")
    return int(found[1]), int(found[2])


def _new_folder(path):
    folder = epath.Path(path).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--output={path} exists and is not an empty folder: choose another, or remove it")
    return folder


def _define_flags():
    flags.DEFINE_string("checkpoint", None, "A run's folder, or the folder of one checkpoint.", required=True)
    flags.DEFINE_string("labels", None, "A label file, a folder of them, or a pattern with *; for models that take label maps.")
    flags.DEFINE_string("output", None, "Folder for the images; new or empty.", required=True)
    flags.DEFINE_integer("seed", 0, "Of sample 0; sample k has seed + k.", lower_bound=0)
    flags.DEFINE_integer("samples_per_label", 1, "Images of each label map; of a model without label maps, images in all.", lower_bound=1)
    flags.DEFINE_list("resample_classes", [], "Redraw only these classes; the rest of the image keeps the noise of sample 0.")
    flags.DEFINE_list("noise_seed_per_class", [], "Seeds of single classes in every sample: road=3,car=7.")
    flags.DEFINE_list("heatmap_centres", [], "Of a spatially aware model: y:x of the coarse centre, which the others follow, or of all 7.")
    flags.DEFINE_integer("interpolate", 0, "If positive, the number of frames from sample 0 to sample 1.", lower_bound=0)
    flags.DEFINE_string("size", "", "HEIGHTxWIDTH of the images; by default the size that the model was trained on.")
    flags.DEFINE_bool("best", False, "Sample from the best checkpoint, not the latest.")


def run(options):
    """Does what the flags (attributes of `options`) say; raises as `label_map_subjects`, `sample_all`, `recipes` and `sampling.load` do."""
    model = sampling.load(options.checkpoint, options.best)
    with_labels = "label_map" in model.columns
    if with_labels != bool(options.labels):
        raise ValueError("this model takes label maps: give --labels=DIR" if with_labels else "this model takes no --labels: omit them")
    if not with_labels and (options.resample_classes or options.noise_seed_per_class):
        raise ValueError("this model has no classes: omit --resample_classes and --noise_seed_per_class")
    class_names = model.class_names if with_labels else ()
    class_seeds = _class_seeds(options.noise_seed_per_class, class_names)
    resample = tuple(find_class(name, class_names) for name in options.resample_classes)
    centres = _centres(options.heatmap_centres)
    if centres is not None and not model.spatially_aware:
        raise ValueError("--heatmap_centres: this model was trained without model.spatial_awareness, so it takes none")
    image_recipes = recipes(options.seed, options.samples_per_label, resample, class_seeds, options.interpolate, centres)
    if not model.has_noise and (resample or class_seeds):
        raise ValueError("this model has no noise: omit --resample_classes and --noise_seed_per_class")
    if not (model.has_noise or model.spatially_aware) and len(image_recipes) > 1:
        raise ValueError("this model has no noise, so all its samples are equal: ask for one sample")
    if centres is not None:
        image_recipes[0].heatmaps()  # raises for centres that do not fit before anything is written
    size, label_files = model.image_size, [None]
    if with_labels:
        size = _size(options.size) if options.size else size
        model.check_size(*size)
        label_files = find_label_files(options.labels)
    elif options.size:
        raise ValueError("--size: this model generates images of one size; omit it")
    output = _new_folder(options.output)

    subjects = label_map_subjects(model, label_files, size) if with_labels else [("image", {}, {}, [])]
    images = sample_all(model, subjects, len(label_files), output, image_recipes)
    config_json = json.dumps(model.config.to_dict(), sort_keys=True)
    summary = {
        "command": f"python -m oasis_jax.sample {shlex.join(sys.argv[1:])}",
        "checkpoint": str(options.checkpoint),
        "step": model.step,
        "config_sha256": hashlib.sha256(config_json.encode()).hexdigest(),
        "size": list(size),
        "images": images,
    }
    (output / "samples.json").write_text(json.dumps(summary, indent=2))
    print(f"{len(images)} images, {pictures.CONTACT_SHEET} and samples.json are in {output}")


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"unknown arguments {argv[1:]}: options are written --name=value")
    logging.set_verbosity(logging.WARNING)
    try:
        run(flags.FLAGS)
    except (CheckpointError, DataError, ValueError, OSError) as error:
        sys.exit(f"sample: {error}")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
