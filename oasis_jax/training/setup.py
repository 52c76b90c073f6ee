"""Setup of a run before its first step: checks config and data, and makes the train step and the evaluation."""
import dataclasses
from typing import Any

import jax
from etils import epath

from oasis_jax.allowed import report, wrong_fields
from oasis_jax.checkpoint import config_of_run
from oasis_jax.data.check import check_splits, open_splits, refuse_inside
from oasis_jax.data.datasets import DataSpec, searched_folders
from oasis_jax.data.labels import DataError
from oasis_jax.data.split import Split
from oasis_jax.data.survey import Survey
from oasis_jax.evaluation.networks import direction_of, make_metrics
from oasis_jax.evaluation.validation import Validation
from oasis_jax.family import Family, TrainStep, find_family, rules_of
from oasis_jax.files import expanded, write_whole
from oasis_jax.metrics.protocols import find_protocol
from oasis_jax.parallel.mesh import describe_split, make_local_mesh, mesh_of_split
from oasis_jax.parallel.processes import is_first, num_processes
from oasis_jax.training.kept_palette import keep_palette, refuse_exchanged_classes
from oasis_jax.training.length import check_rates_last, count_steps
from oasis_jax.training.step import split_of_run
from oasis_jax.training.workdir import prepare_workdir

FOUND = "data_found.txt"  # the full result of the data check


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What a run consists of.

    Attributes:
        config: ConfigDict, with the label fields resolved, so that a checkpoint says how to read label files, and shares of the run as
            numbers of steps.
        workdir: path.
        family: the family of the config.
        train_step: the family's TrainStep.
        survey, val_survey: Surveys of the training and the validation split.
        num_steps: number of steps to train.
        mesh: over the devices of all processes.
        spec: DataSpec.
        train_split, val_split: the checked Splits.
        validation: Validation that scores the run.
        higher_is_better: whether a higher config.eval.score is better.
    """

    config: Any
    workdir: epath.Path
    family: Family
    train_step: TrainStep
    survey: Survey
    val_survey: Survey
    num_steps: int
    mesh: Any
    spec: DataSpec
    train_split: Split
    val_split: Split
    validation: Validation
    higher_is_better: bool

    @property
    def image_size(self):
        """(H, W) of the training images."""
        return tuple(self.config.data.image_size)

    def model(self, variables, step):
        """The family.Model with these variables, after `step` updates."""
        return self.family.model(self.config, variables, step, self.survey)


def set_up(config, workdir) -> Run:
    """Checks config and data, and returns the Run.

    Args:
        config: ConfigDict with the fields of oasis_jax/fields.py.
        workdir: folder of the run; `~` and gs:// work.

    Raises:
        CheckpointError: the checkpoint to resume from is damaged.
        DataError: faults in the data, in one report; or a palette that is not the one the run began with.
        WeightsError: weights of an evaluation network are missing. They are read now, so that the run does not fail hours later.
        ValueError: fields that are out of range or do not fit each other, or a workdir that cannot be written.
    """
    higher_is_better = check_before_writing(config, workdir)
    workdir, family = prepare_workdir(workdir), find_family(config)
    config = config.copy_and_resolve_references()
    saved = config_of_run(workdir)
    if saved:
        keep_palette(config.data, saved["data"])
    spec, columns = DataSpec.of_config(config.data), family.columns(config)
    train_split, val_split = splits = open_splits(spec, columns)
    if any(split.faults for split in splits):  # first: later checks would report consequences of these faults
        check_splits(splits, spec, remember=is_first())
    config.data.update(train_split.resolved_fields())
    if saved:
        refuse_exchanged_classes(config.data, saved["data"])
    num_steps = count_steps(config, len(train_split))
    if hasattr(family, "of_length"):
        family.of_length(config, num_steps)
    train_step = family.train_step(config)  # raises for fields that do not fit, before the slow check of all data
    mesh = make_run_mesh(config, train_step)
    check_rates_last(train_step, num_steps)

    protocol = protocol_of_run(config)
    evaluated = {"train": train_split, "val": val_split}[protocol.split]
    validation = make_validation(config, protocol.limited_to(config.eval.max_examples, len(evaluated)), evaluated, spec)

    surveys = check_splits(splits, spec, workdir, (family.statistic(config), None), remember=is_first())
    if is_first():
        tell(workdir, *surveys)
    train_step = family.train_step(config, surveys[0])
    if is_first():
        with jax.set_mesh(mesh):
            print(train_step.describe(tuple(config.data.image_size)))
    return Run(config, workdir, family, train_step, *surveys, num_steps, mesh, spec, *splits, validation, higher_is_better)


def tell(workdir, *surveys):
    """Prints a shortened table of what each split holds, and writes the full tables to the workdir."""
    for survey in surveys:
        print(survey.as_text())
    whole = "\n\n".join(survey.as_text(whole=True) for survey in surveys)
    write_whole(workdir / FOUND, f"{whole}\n".encode(errors="backslashreplace"))
    print(f"  the whole table: {workdir / FOUND}")


def check_before_writing(config, workdir):
    """Checks what must fail before the workdir is created.

    Returns:
        As `score_direction`.

    Raises:
        ValueError: as in `check_config`.
        DataError: the workdir is in a folder that is searched for data.
    """
    spec, higher_is_better = check_config(config)
    refuse_inside(expanded(workdir), searched_folders(spec, find_family(config).columns(config)), "--workdir")
    return higher_is_better


def check_config(config):
    """Returns [DataSpec, `score_direction`] of a config.

    Raises ValueError, with one report, for all fields that are invalid by themselves, or do not fit the data layout or the evaluation.
    Fields that depend on the devices, or on the number of classes in the data, are checked once these are known.
    """
    faults, found = wrong_fields(config, rules_of(find_family(config))), []
    for check in (lambda: DataSpec.of_config(config.data), lambda: score_direction(config)) if not faults else ():
        try:
            found.append(check())
        except (DataError, ValueError) as error:
            faults.append(str(error))
    if faults:
        raise ValueError(report(faults))
    return found


def make_run_mesh(config, train_step):
    """The mesh of a run, over the devices of all processes; the first process prints how the batch is split, and which devices are idle.

    Raises:
        ValueError: the batch or mesh.space does not fit the devices, or the family cannot split rows.
    """
    devices = jax.devices()
    split = split_of_run(config, train_step, len(devices), num_processes())
    if is_first() and len(devices) > 1:
        print(describe_split(split, config.train.batch_size, devices))
    return mesh_of_split(split)


def protocol_of_run(config):
    """The Protocol by which a run is scored: config.eval.protocol, or else "plain". Raises ValueError if it is unknown."""
    try:
        return find_protocol(config.eval.protocol or "plain", find_family(config).protocols)
    except ValueError as error:
        raise ValueError(f"eval.protocol={config.eval.protocol}: {error}") from None


def score_direction(config):
    """Returns whether a higher config.eval.score is better; raises ValueError if it is not measured or cannot choose a checkpoint."""
    family = find_family(config)
    metrics = make_metrics(protocol_of_run(config), num_classes=int("label_map" in family.columns(config)))
    metrics += family.scores(config, None)
    try:
        return direction_of(config.eval.score, metrics)
    except ValueError as error:
        with_protocol = f"eval.protocol={config.eval.protocol}" if config.eval.protocol else "no eval.protocol"
        raise ValueError(f"eval.score={error}, which are measured with {with_protocol}") from None


def make_validation(config, protocol, split, spec):
    """The Validation of a config; `split` is the Split that `protocol.split` names."""
    weights = {name: config.eval.get(f"{name}_weights", "") for name in ("inception", "vgg16", "segmenter")}  # older checkpoints lack some
    return Validation(protocol, split, spec, make_local_mesh(), config.eval.batch_size, weights)
