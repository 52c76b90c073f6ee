"""The sampling command: a folder of label maps in, images, a contact sheet and the recipe of every image out.

    python -m oasis_jax.sample --checkpoint=runs/scenes --labels=labels/ --output=samples/ --samples_per_label=4

Sample k of every label map has the noise of --seed + k. With --resample_classes=road,car sample 0 still has the noise of --seed, and in the
others only these classes are drawn anew. With --interpolate=K, K frames lead from sample 0 to sample 1. A spatially aware model looks
where --heatmap_centres says, such as 0.2:-0.5 (y:x, from -1 to 1). `samples.json` is written last, so an output folder without it is not
complete.
"""
import dataclasses
import difflib
import hashlib
import json
import re
import shlex
import sys
from collections import Counter

import numpy as np
from absl import app, flags, logging
from etils import epath
from tqdm import tqdm

from oasis_jax import pictures, sampling
from oasis_jax.data.labels import DataError, LabelRule, parse_label_map, read_label_map, read_palette, resize_label_map
from oasis_jax.heatmaps import of_seed, with_centres
from oasis_jax.models.generator import check_sides
from oasis_jax.noise import class_noise, slerp
from oasis_jax.training.checkpoint import CheckpointError

LABEL_ENDINGS = (".png", ".bmp", ".gif", ".tif", ".tiff")
SHEET_ROWS = 32  # label maps on the contact sheet


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Where the noise of one image comes from.

    Attributes:
      seed: of every class ...
      class_seeds: ... but these, {class: seed}.
      end: (seed, class_seeds) of another noise, to go `t` of the way to; None stays here.
      t: 0 is the one noise, 1 the other.
    """

    seed: int
    class_seeds: dict[int, int] = dataclasses.field(default_factory=dict)
    end: tuple[int, dict[int, int]] | None = None
    t: float = 0.0

    def noise(self, num_classes, z_dim):
        """(N, z_dim) float32: one vector per class."""
        start = class_noise(self.seed, self.class_seeds, num_classes, z_dim)
        return start if self.end is None else slerp(start, class_noise(*self.end, num_classes, z_dim), self.t)

    def heatmaps(self, centres=None):
        """(7, 3) float32: those of the seed, or so far on the straight way to the other seed's; `centres`, if given, replace theirs."""
        found = of_seed(self.seed)
        if self.end is not None:
            found = (1 - self.t) * found + self.t * of_seed(self.end[0])
        return found if centres is None else with_centres(found, centres)

    def as_json(self, class_names):
        """The fields for samples.json, classes by name."""

        def side(seed, class_seeds):
            return {"seed": seed, "class_seeds": {class_names[i]: class_seeds[i] for i in sorted(class_seeds)}}

        return side(self.seed, self.class_seeds) | ({"interpolation": side(*self.end) | {"t": self.t}} if self.end else {})


def recipes(seed, samples_per_label=1, resample_classes=(), class_seeds=None, interpolate=0):
    """The Recipe of each image of one label map.

    Args:
      seed: of sample 0.
      samples_per_label: number of samples.
      resample_classes: classes to which alone sample k gives the noise of seed + k; () gives it to all.
      class_seeds: {class: seed} of classes that have the same noise in every sample.
      interpolate: if positive, this many frames from sample 0 to sample 1 instead of samples.

    Raises:
      ValueError: the options contradict each other.
    """
    class_seeds = class_seeds or {}
    if both := set(resample_classes) & set(class_seeds):
        raise ValueError(f"class {min(both)} is both in --resample_classes, to be drawn anew, and in --noise_seed_per_class: choose one")
    if interpolate and samples_per_label > 1:
        raise ValueError("--interpolate shows the way from sample 0 to sample 1: leave --samples_per_label out")
    if interpolate == 1:
        raise ValueError("--interpolate=1 is no way from one noise to another: give 2 frames or more")

    def sample(k):
        if resample_classes and k:
            return seed, class_seeds | dict.fromkeys(resample_classes, seed + k)
        return seed + k, class_seeds

    if interpolate:
        return [Recipe(*sample(0), end=sample(1), t=frame / (interpolate - 1)) for frame in range(interpolate)]
    return [Recipe(*sample(k)) for k in range(samples_per_label)]


def sample_folder(model, label_files, output, image_recipes, size, centres=None):
    """Makes and writes OUTPUT/NAME_K.png for every label file and recipe, and the contact sheet.

    Args:
      model: a sampling.Model.
      label_files: paths whose names without ending differ.
      output: folder.
      image_recipes: list of Recipe.
      size: (H, W) of the images.
      centres: of the heatmaps of all images, (1, 2) or (7, 2) as `heatmaps.with_centres` takes them; None leaves those of the seeds.

    Returns:
      The list "images" of samples.json: for each image its file, label file and recipe, and its heatmaps if it has any.

    Raises:
      DataError: naming every label file that cannot be used; nothing is written then.
      ValueError: the size does not fit the generator.
      OSError: the output cannot be written.
    """
    rule = _label_rule(model)
    _check_label_files(label_files, rule)
    z_dim = model.generator.z_dim
    noises = [recipe.noise(model.num_classes, z_dim)[None] if z_dim else None for recipe in image_recipes]
    heatmaps = [recipe.heatmaps(centres) if model.generator.spatially_aware else None for recipe in image_recipes]
    records, sheet = [], []
    with tqdm(total=len(label_files) * len(noises), unit="image", desc="sampling") as progress:
        for path in label_files:
            labels = resize_label_map(read_label_map(path, rule), size)
            row = [pictures.colour_label_map(labels, model.num_classes)]
            for k, (recipe, noise, maps) in enumerate(zip(image_recipes, noises, heatmaps, strict=True)):
                image = model.sample(labels, noise=noise, heatmaps=maps)[0]
                file = f"{path.stem}_{k}.png"
                pictures.save_png(output / file, image)
                record = {"file": file, "label_file": str(path), **recipe.as_json(model.class_names)}
                records.append(record if maps is None else {**record, "heatmaps": maps.tolist()})
                row.append(image)
                progress.update()
            if len(sheet) < SHEET_ROWS:
                sheet.append(row)
    pictures.save_png(output / "contact_sheet.png", pictures.grid(sheet))
    return records


def find_label_files(pattern):
    """The label files that --labels names: a file, the images of a folder, or a pattern such as 'gtFine/val/*/*_labelIds.png'; sorted.

    Raises:
      DataError: there are none, or two would have samples of one name.
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
    """(n, 2) float32 of "y:x" texts, None if there are none."""
    pairs = [entry.split(":") for entry in entries]
    try:
        return np.asarray([[float(y), float(x)] for y, x in pairs], np.float32) if pairs else None
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
        raise ValueError(f"--output={path} is there already and not an empty folder: choose another, or remove it")
    return folder


def _define_flags():
    flags.DEFINE_string("checkpoint", None, "A run's folder, or the folder of one checkpoint.", required=True)
    flags.DEFINE_string("labels", None, "A label file, a folder of them, or a pattern with *.", required=True)
    flags.DEFINE_string("output", None, "Folder for the images; new or empty.", required=True)
    flags.DEFINE_integer("seed", 0, "Of sample 0; sample k has seed + k.", lower_bound=0)
    flags.DEFINE_integer("samples_per_label", 1, "Images of each label map.", lower_bound=1)
    flags.DEFINE_list("resample_classes", [], "Draw only these classes anew; the rest of the image keeps the noise of sample 0.")
    flags.DEFINE_list("noise_seed_per_class", [], "Seeds of single classes in every sample: road=3,car=7.")
    flags.DEFINE_list("heatmap_centres", [], "Of a spatially aware model: y:x of the coarse centre, which the others follow, or of all 7.")
    flags.DEFINE_integer("interpolate", 0, "If positive, so many frames on the way from sample 0 to sample 1.", lower_bound=0)
    flags.DEFINE_string("size", "", "HEIGHTxWIDTH of the images; by default the size that the model was trained on.")
    flags.DEFINE_bool("best", False, "Take the best checkpoint, not the latest.")


def run(options):
    """Does what the flags (attributes of `options`) say; raises as `sample_folder`, `recipes` and `sampling.load` do."""
    model = sampling.load(options.checkpoint, options.best)
    class_seeds = _class_seeds(options.noise_seed_per_class, model.class_names)
    resample = tuple(find_class(name, model.class_names) for name in options.resample_classes)
    image_recipes = recipes(options.seed, options.samples_per_label, resample, class_seeds, options.interpolate)
    if not model.generator.z_dim and (len(image_recipes) > 1 or class_seeds):
        raise ValueError("this model has no noise (model.z_dim is 0), so all its samples are equal: ask for one sample and no class seeds")
    centres = _centres(options.heatmap_centres)
    if centres is not None:
        if not model.generator.spatially_aware:
            raise ValueError("--heatmap_centres: this model was trained without model.spatial_awareness, so it takes none")
        image_recipes[0].heatmaps(centres)  # tells centres that do not fit before anything is written
    size = _size(options.size) if options.size else model.image_size
    check_sides(*size, model.generator.num_blocks - 1)
    label_files = find_label_files(options.labels)
    output = _new_folder(options.output)

    images = sample_folder(model, label_files, output, image_recipes, size, centres)
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
    print(f"{len(images)} images, contact_sheet.png and samples.json are in {output}")


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
