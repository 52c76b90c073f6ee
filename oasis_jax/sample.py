"""The sampling command: images, a contact sheet and the recipe of every image out; label maps in, if the model takes them.

    python -m oasis_jax.sample --checkpoint=runs/scenes --labels=labels/ --output=samples/ --count=4
    python -m oasis_jax.sample --checkpoint=runs/cats --output=samples/ --count=64 --truncation=0.7
    python -m oasis_jax.sample --checkpoint=scenes --output=samples/
    python -m oasis_jax.sample --recipe=recipe.json --output=samples/

Sample k (of every label map) has the noise of --seed + k. With --resample_classes=road,car sample 0 still has the noise of --seed, and the
others redraw only these classes. With --interpolate=K, K frames lead from sample 0 to sample 1 (noise maps of a model with styles stay
those of sample 0). A model with styles mixes them: --style_mixing=10,11 --mixed_rows=0-3 replaces these rows of each sample by those of
seeds 10 and 11.

For a spatially aware model, --heatmap_centres=0.2:-0.5 (y:x, from -1 to 1) places the subject. --heatmap_shift=l1=0.2:0 moves only one
level (l1 coarse, l2 middle, l3 fine) or a single map (0 to 6), and --heatmap_scale=l1=1.5 widens it. --path=0:-0.7,0:0.7 moves the subject
of sample 0 from left to right in --frames images, or with --path_of=l2 only one level.

--as_dataset writes pairs to train on: OUTPUT/train/photos/NAME.png and OUTPUT/train/labels/NAME.png, their list train.txt, and palette.txt.
The pairs are of all given label maps, or with --examples=N of label maps drawn from them: on request mirrored (--mirror), with regions of
others pasted in (--mix=car,tree), and with rare classes favoured (--favour_rare). Pair k has the noise of --seed + k. Label maps are stored
with the ids of the label files that the model was trained on, so that generated and real pairs can be mixed.

--checkpoint=scenes is a model of this package. A model of procedural scenes takes label maps of such scenes if no --labels are given.
--recipe draws the image of a file that the studio saved, with the model that the file names or that of --checkpoint.

Label files are read like those of the training data; --config.data.label_map=255:0, --config.data.label_offset and --config.data.palette
change this. Samples of label files in subfolders are written to subfolders of the same names.

`samples.json` is written last, so an output folder without it is incomplete. `recipes.Recipe.from_json` reads its entries.
"""
import dataclasses
import hashlib
import itertools
import json
import os
import shlex
import sys

from absl import flags
from tqdm import tqdm

from oasis_jax import command_line, config_flag, editing, pictures, recipe_file, sample_dataset, sampling, series
from oasis_jax.checkpoint import CheckpointError
from oasis_jax.data.labels import DataError
from oasis_jax.files import expanded, new_folder, write_whole
from oasis_jax.heatmaps import position
from oasis_jax.parallel.processes import by_first, end_together, failing_at_once, join, leave
from oasis_jax.sample_labels import (
    example_subjects,
    find_label_files,
    label_fields,
    label_map_subjects,
    move_long_names,
    parse_size,
    refuse_found_again,
)
from oasis_jax.sample_options import FRAMES, Plan, make_plan
from oasis_jax.sample_recipe import load_for, refuse_others


def sample_all(model, subjects, count, output, plan):
    """Generates and writes OUTPUT/NAME_K.png for every subject and recipe, and the contact sheet.

    Args:
        model: a family.Model.
        subjects: as from `label_map_subjects`; for a model without label maps, one subject without label map and picture.
        count: number of subjects.
        output: folder.
        plan: sample_options.Plan.

    Returns:
        The list "images" of samples.json: for each image its file, label file and recipe, and its heatmaps if it has any.

    Raises:
        OSError: the output cannot be written.
    """
    records, rows, notes = [], [], []
    class_names = getattr(model, "class_names", ())
    with tqdm(total=count * len(plan.recipes), unit="image", desc="sampling") as progress:
        for name, fields, batch, label_picture in subjects:
            shown = plan.cells[: max(pictures.SHEET_ROWS - len(rows), 0)]
            on_sheet, images = {number for row in shown for number in row}, {}
            for k, recipe in enumerate(plan.recipes):
                image = model.images(model.inputs([recipe], batch))[0]
                file = f"{name}_{k}.png"
                pictures.save_png(output / file, image)
                heatmaps = {"heatmaps": recipe.heatmaps().tolist()} if model.spatially_aware else {}
                records.append({"file": file} | fields | recipe.as_json(class_names) | heatmaps)
                if k in on_sheet:
                    images[k] = image
                progress.update()
            for row in shown:
                rows.append([*label_picture, *(images.get(number) for number in row)])
                notes.append([*[name] * len(label_picture), *("" if i is None else series.caption(plan.recipes[i]) for i in row)])
            if shown and plan.path_of:
                _add_path(rows, notes, model, plan, list(images.values()), len(label_picture))
    pictures.save_png(output / pictures.CONTACT_SHEET, pictures.grid(rows, notes=notes))
    return records


def _add_path(rows, notes, model, plan, images, before):
    """Adds the change along a path to the last row of a contact sheet; and below it, after `before` empty cells, the heatmaps."""
    change = editing.mean_absolute_change(images)
    rows[-1].append(editing.change_picture(change))
    notes[-1].append(f"change {change.mean():.1f}, most {change.max():.0f}")
    heatmaps = [recipe.heatmaps() for recipe in plan.recipes]
    isotropic = getattr(model, "isotropic", False)
    rows.append([*[None] * before, *(editing.picture(each, images[0].shape[:2], isotropic) for each in heatmaps)])
    notes.append([*[""] * before, *("{:.2f}:{:.2f}".format(*position(each, plan.path_of).round(2) + 0.0) for each in heatmaps)])


def _subjects(model, options, num_recipes):
    """(size of the images, subjects for `sample_all`, their number), for `num_recipes` images of each subject."""
    if "label_map" not in model.columns:
        if options.labels:
            raise ValueError("this model takes no --labels: omit them")
        return model.image_size, [("image", {}, {}, [])], 1
    size = parse_size(options.size) if options.size else model.image_size
    model.check_size(*size)
    if not options.labels:
        examples = example_subjects(model, size)
        return size, examples, len(examples)
    label_files, faults = find_label_files(options.labels)
    move_long_names(label_files, faults, f"_{num_recipes - 1}.png")
    images = (f"{name}_{k}.png" for name in label_files for k in range(num_recipes))
    refuse_found_again(options.labels, options.output, label_files.values(), itertools.chain(images, [pictures.CONTACT_SHEET]))
    changed = options.config and options.config.data
    return size, label_map_subjects(model, label_files, size, changed, chosen=bool(options.size), faults=faults), len(label_files)


def _subject_of(file, model, path):
    """The subject of a RecipeFile, for `sample_all`."""
    name = os.path.splitext(expanded(path).name)[0]
    if file.labels is None:
        return name, {"recipe_file": str(path)}, {}, []
    picture = pictures.colour_label_map(file.labels, model.num_classes)
    return name, {"recipe_file": str(path)}, {"label_map": file.labels[None]}, [picture]


def define_flags(argv):
    """Defines the flags, with --config.data.FIELD for reading label files; returns the flags_parser of `app.run`."""
    flags.DEFINE_string("checkpoint", None, "A run's folder, the folder of one checkpoint or packed model, or a name, such as scenes.")
    flags.DEFINE_string("recipe", None, "A recipe.json, as the studio saves it, instead of all flags that say what is drawn.")
    flags.DEFINE_string("labels", None, "A label file, a folder of them, or a pattern with * or **; for models that take label maps.")
    flags.DEFINE_string("output", None, "Folder for the images; new or empty.")
    flags.DEFINE_integer("seed", 0, "Seed of sample 0; sample k has seed + k.", lower_bound=0)
    flags.DEFINE_integer("count", 1, "Number of samples of each label map, or in total for a model without label maps.", lower_bound=1)
    flags.DEFINE_alias("samples_per_label", "count")
    flags.DEFINE_list("resample_classes", [], "Redraw only these classes; the rest of the image keeps the noise of sample 0.")
    flags.DEFINE_list("noise_seed_per_class", [], "Seeds of single classes in every sample: road=3,car=7.")
    flags.DEFINE_integer("interpolate", 0, "If positive, the number of frames from sample 0 to sample 1.", lower_bound=0)
    flags.DEFINE_float("truncation", None, "For a model with styles: psi; images are more typical and less varied as it falls from 1 to 0.")
    flags.DEFINE_integer("truncated_rows", None, "Truncate only so many of the first (coarse) style rows.", lower_bound=0)
    flags.DEFINE_list("style_mixing", [], "Seeds, such as 10,20-23: each sample again with style rows of each of them; a grid.")
    flags.DEFINE_list("mixed_rows", [], "The style rows that come from the seeds of --style_mixing, such as 0-3; row 0 is the coarsest.")
    flags.DEFINE_string("noise", "", "For a model with a choice of noise: the noise, such as const; by default that of its config.")
    flags.DEFINE_list("heatmap_centres", [], "For a spatially aware model: y:x of the coarse centre, which the others follow, or of all 7.")
    flags.DEFINE_list("heatmap_shift", [], "Shifts of levels or single maps, such as l1=0.2:-0.5,4=0:0.3; all moves everything.")
    flags.DEFINE_list("heatmap_scale", [], "Factors of the widths of levels or single maps, such as l1=1.5,6=0.5.")
    flags.DEFINE_list("path", [], "First and last position y:x, such as 0:-0.7,0:0.7: frames of sample 0 on the line between them.")
    flags.DEFINE_string("path_of", None, "What moves along --path: all, which is the default, a level l1, l2 or l3, or a single map.")
    flags.DEFINE_integer("frames", None, f"Number of frames along --path, {FRAMES} by default.", lower_bound=2)
    flags.DEFINE_bool("as_dataset", False, "Write images and label maps in the folders that configs/custom.py reads, to train on.")
    flags.DEFINE_integer("examples", None, "For a data set: the total number of pairs, whose label maps are drawn.", lower_bound=1)
    flags.DEFINE_bool("mirror", False, "For a data set: also take each label map mirrored; with --examples, mirror half of them.")
    flags.DEFINE_list("mix", [], "For a data set with --examples: paste 1 to 3 regions of these classes from other label maps into each.")
    flags.DEFINE_bool("favour_rare", False, "For a data set with --examples: draw label maps and regions by how rare their classes are.")
    ids = "Ids of a data set's label maps: stored, as in the label files that the model was trained on (default), or its classes 0..N-1."
    flags.DEFINE_enum("label_ids", None, ["stored", "classes"], ids)
    flags.DEFINE_string("size", "", "HEIGHTxWIDTH of the images; by default the size that the model was trained on.")
    flags.DEFINE_bool("best", False, "Sample from the best checkpoint, not the latest.")
    return config_flag.define_with(label_fields(), argv, "How label files are read, by default as in training")


def run(options):
    """Runs the command with its flags (attributes of `options`); raises as `sampling.load`, `make_plan` and `sample_all`, and DataError."""
    file = None
    sample_dataset.refuse_flags(options)
    if options.recipe:
        refuse_others(options)
        file = recipe_file.open_file(options.recipe)
        model = load_for(file, options.checkpoint, options.best)
    else:
        model = sampling.load(options.checkpoint, options.best)  # by all processes: they read a checkpoint together
    by_first(lambda: sample(model, options, file))


def sample(model, options, file=None):
    """Samples from a model, according to the flags or a RecipeFile; raises as `run` does."""
    if options.as_dataset:
        dataset = sample_dataset.prepare(model, options)
        output = new_folder(options.output)
        images = dataset.write(output)
        _finish(model, options, output, dataset.size, images, {"label_ids": options.label_ids or "stored"})
        print(dataset.told(output))
        return
    if file is not None:
        plan, size, output = Plan([file.recipe], [[0]]), file.image_size, new_folder(options.output)
        subjects, count = [_subject_of(file, model, options.recipe)], 1
    else:
        plan = make_plan(options, model)
        if options.noise:
            model = dataclasses.replace(model, noise=options.noise)
        size, subjects, count = _subjects(model, options, len(plan.recipes))
        output = new_folder(options.output)
    images = sample_all(model, subjects, count, output, plan)
    _finish(model, options, output, size, images, {"noise": model.noise} if hasattr(model, "noise_modes") else {}, file)
    print(f"{len(images)} images, {pictures.CONTACT_SHEET} and samples.json are in {output}")


def _finish(model, options, output, size, images, more, file=None):
    """Writes samples.json, which is the last file to be written."""
    config_json = json.dumps(model.config.to_dict(), sort_keys=True)
    summary = {
        "command": f"python -m oasis_jax.sample {shlex.join(sys.argv[1:])}",
        "checkpoint": str(options.checkpoint or file.model),
        "step": model.step,
        "config_sha256": hashlib.sha256(config_json.encode()).hexdigest(),
        "size": list(size),
        **more,
        "images": images,
    }
    write_whole(output / "samples.json", json.dumps(summary, indent=2).encode())


def main(_):
    try:
        join()
    except ValueError as error:
        sys.exit(f"sample: {error}")
    with failing_at_once():
        try:
            run(flags.FLAGS)
        except (CheckpointError, DataError, ValueError, OSError) as error:
            leave(f"sample: {error}")
    end_together()


if __name__ == "__main__":
    of_recipe = config_flag.value_of("recipe", sys.argv) is not None  # a recipe file names its model
    command_line.run(main, "sample", ["output"] if of_recipe else ["checkpoint", "output"], define_flags(sys.argv))
