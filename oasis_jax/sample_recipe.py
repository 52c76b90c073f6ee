"""The recipe file of the sampling command: loads the model to draw it with, and checks that the two fit."""
import dataclasses
import sys

from oasis_jax import sampling, saved
from oasis_jax.checkpoint import FOLDER, CheckpointError
from oasis_jax.files import expanded

# Options that say which images to generate, and from which labels: {name: value if it is not given}.
_OF_THE_RECIPE = {"labels": None, "seed": 0, "count": 1, "interpolate": 0, "noise": "", "size": ""}
_OF_THE_RECIPE |= {"truncation": None, "truncated_rows": None, "as_dataset": False, "path_of": None, "frames": None}
_OF_THE_RECIPE |= dict.fromkeys(("resample_classes", "noise_seed_per_class", "style_mixing", "mixed_rows"), [])
_OF_THE_RECIPE |= dict.fromkeys(("heatmap_centres", "heatmap_shift", "heatmap_scale", "path"), [])


def refuse_others(options):
    """Raises ValueError, naming them, for options of the command that a recipe file already determines."""
    given = [f"--{name}" for name, unset in _OF_THE_RECIPE.items() if getattr(options, name) not in (unset, None)]
    data = options.config.data if options.config else {}
    given += [f"--config.data.{name}" for name, value in data.items() if value is not None]
    if options.best and not options.checkpoint:
        given.append("--best")
    if given:
        raise ValueError(f"--recipe says what is drawn: omit {' and '.join(given)}")


def load_for(file, checkpoint, best=False):
    """Loads the model to draw a `recipe_file.RecipeFile` with: that of a checkpoint, or else the one that the file names, at its step.

    Raises:
        CheckpointError: as `sampling.load`, saying that --checkpoint can name the model.
        ValueError: the file's model is in a bucket or is at another step by now, or the model does not fit the file.
    """
    if checkpoint:
        model = sampling.load(checkpoint, best)
        if file.step not in (None, model.step):
            print(f"the recipe is of step {file.step}, {checkpoint} of step {model.step}: the image may differ", file=sys.stderr)
    else:
        if "://" in file.model:
            raise ValueError(f"the recipe names the model {file.model}, which is on another machine: give --checkpoint={file.model}")
        model = _named(file)
        if file.step not in (None, model.step):
            raise ValueError(
                f"the recipe is of step {file.step} of {file.model}, which has step {model.step} now: "
                f"give --checkpoint={_path(file)} to draw it with that"
            )
    return _fitting(model, file)


def _named(file):
    """The model that a recipe file names; a bare name means a model of this package, even if there is a folder of that name here."""
    try:
        return sampling.load(_at_step(_path(file), file.step))
    except CheckpointError as error:
        what = f"the recipe is of the model {file.model}, which is not found here: give its run as --checkpoint"
        raise CheckpointError(f"{what} ({error})") from error


def _path(file):
    """The model of a recipe file, for `--checkpoint`: a bare name could be that of a folder."""
    return saved.MODELS / file.model if file.model in saved.names() else file.model


def _at_step(path, step):
    """The folder of a step of a run, or the path itself if there is no such folder."""
    if step is None or saved.packed_folder(path) is not None:
        return path
    folders = (expanded(path) / FOLDER / str(step), expanded(path) / str(step))
    return next((folder for folder in folders if folder.is_dir()), path)


def _fitting(model, file):
    """Returns the model with the noise of the file; raises ValueError if the two do not fit."""
    with_labels = "label_map" in model.columns
    if with_labels != (file.labels is not None):
        raise ValueError(f"the recipe has {'no' if with_labels else 'a'} label map, but the model takes {'one' if with_labels else 'none'}")
    if with_labels and tuple(model.class_names) != file.class_names:
        named = [(own, other) for own, other in zip(model.class_names, file.class_names, strict=False) if own != other]
        what = f"such as {named[0][1]!r} instead of {named[0][0]!r}" if named else f"{len(file.class_names)} instead of {model.num_classes}"
        raise ValueError(f"the classes of the recipe are not those of the model: {what}")
    if with_labels:
        model.check_size(*file.image_size)
    elif tuple(model.image_size) != file.image_size:
        raise ValueError("the recipe is an image of {}x{}, but the model generates {}x{}".format(*file.image_size, *model.image_size))
    if file.noise is None:
        return model
    if file.noise not in (modes := getattr(model, "noise_modes", ())):
        raise ValueError(f"the recipe has the noise {file.noise!r}, but the model has {', '.join(modes) or 'no choice of noise'}")
    return dataclasses.replace(model, noise=file.noise)
