"""The seam between model families and everything that they share.

A family is a folder `oasis_jax/NAME` with a module `family.py` that has the members of `Family`. `config.family` is its NAME. Everything
outside of that folder reaches the family through the protocols below.
"""
import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from oasis_jax.fields import ALLOWED

# Checkpoints that are older than this field belong to the family that the package is named after.
NAMESAKE = __package__.removesuffix("_jax")


def name_of(config):
    """The name of a config's family; `config` is a ConfigDict or a dict."""
    return config.get("family", NAMESAKE)


class TrainStep(Protocol):
    """The update of a train state by one batch. Calling it is pure: the loop compiles it as one function.

    Attributes:
        recent_batches: how many of the latest batches `averaged` needs.
        splits_rows: whether the networks say how image rows are sharded (`axes.along_rows`), so that rows can be split over devices.
        legend: {metric: formula}, for metrics that need an explanation.
        advice: {metric: what to do before the run is started again}, for metrics other than losses that must be finite.
    """

    recent_batches: int
    splits_rows: bool
    legend: Mapping[str, str]
    advice: Mapping[str, str]

    def init(self, image_size: tuple[int, int]) -> Any:
        """The train state at step 0, a pytree with a field `step`: a pure function of the run's seed."""

    def __call__(self, state: Any, batch: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The new state, and scalar metrics; those called "loss_..." must be finite. Random numbers depend on (seed, step, purpose)."""

    def at(self, step: int) -> "TrainStep":
        """The TrainStep of the update after `step` updates; some recipes use another one for the first steps. This method is optional.

        A TrainStep of the first steps has `lacking`, a text that says what is missing from a run that ends during them.
        """

    def averaged(self, state: Any, recent: Iterable[tuple[int, Mapping[str, Any]]]) -> Any:
        """The averaged generator's variables to sample with; `recent` yields (number, columns except images) of recent batches."""

    def learning_rates(self, step: int) -> dict[str, float]:
        """Learning rates after `step` updates, to be logged."""

    def describe(self, image_size: tuple[int, int]) -> str:
        """A line of text about how images of a size (H, W) are computed; may be empty."""


class Model(Protocol):
    """An averaged generator to sample from, a dataclass. `generate` turns `inputs` into images as a batch, `images` one by one.

    A model whose columns hold "label_map" also has `num_classes`, `class_names` (all different, see `recipes.unique_names`), and
    `check_size(height, width)`, which raises ValueError for an image size that it cannot generate. A model with styles also has
    `num_styles`, the number of style rows of an image. A model with a choice of noise also has `noise_modes`, the choices, and its field
    `noise` is one of them. A model whose heatmaps may be round on images that are not square has `isotropic`.

    Attributes:
        variables: of the averaged generator.
        config: ConfigDict of the run.
        step: number of updates when it was saved.
        image_size: (H, W) of training.
        columns: columns of a batch that `inputs` needs, such as ("label_map",), or ().
        has_noise: whether seeds change the noise.
        spatially_aware: whether it takes heatmaps.
        generate: (variables, inputs) -> float (B, H, W, 3), nominally in [-1, 1]. Pure and hashable; equal for equal networks.
    """

    variables: Any
    config: Any
    step: int
    image_size: tuple[int, int]
    columns: tuple[str, ...]
    has_noise: bool
    spatially_aware: bool
    generate: Callable[[Any, Any], Any]

    def inputs(self, recipes: Sequence[Any], batch: Mapping[str, np.ndarray]) -> Any:
        """A pytree of numpy arrays with leading axis B for B seeds or `recipes.Recipe`s: the one place that says what a seed means."""

    def images(self, inputs: Any) -> np.ndarray:
        """uint8 (B, H, W, 3). Each image is computed by itself, so that not even its last bits depend on the other images."""

    def sample(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """uint8 (B, H, W, 3), by the family's own friendly signature."""


class Family(Protocol):
    """What a module `oasis_jax/NAME/family.py` offers.

    Attributes:
        protocols: `metrics.protocols.Protocol`s of the family's papers.
        published_files: {flag: help} of the files of a published checkpoint; the first is required.
        host_fields: fields and sections of the config that `train_step` does not depend on, such as `fields.HOST_FIELDS`. Optional: without
            it, a step that was kept (`training.kept_step`) is used only with exactly the same config.
        free_model_fields: fields of config.model that may change on resume: they change how the model is computed, not the model.
        fixed_train_fields: fields of config.train that may not change on resume: the state depends on them, or would be damaged.
        allowed: {dotted name of a field: `allowed.Rule`}, of the shared fields and the family's own. Optional: without it, the family's own
            fields are not checked.
        onnx_options: {flag: (choices, help)} of `onnx_model`. Optional, like `onnx_model`: without both, models are exported as StableHLO
            only.
    """

    protocols: tuple[Any, ...]
    published_files: Mapping[str, str]
    host_fields: tuple[str, ...]
    free_model_fields: tuple[str, ...]
    fixed_train_fields: tuple[str, ...]
    allowed: Mapping[str, Any]
    onnx_options: Mapping[str, tuple[tuple[str, ...], str]]

    def columns(self, config: Any) -> tuple[str, ...]:
        """What a training example holds: "image", perhaps "label_map", perhaps "heatmaps"."""

    def statistic(self, config: Any) -> Callable[[np.ndarray], np.ndarray] | None:
        """The function of a label map (H, W) that the check of the training data measures of each example, for `train_step`; or None."""

    def train_step(self, config: Any, survey: Any = None) -> TrainStep:
        """The step of a config; `survey` is the result of the data check. Raises ValueError for fields that do not fit."""

    def of_length(self, config: Any, num_steps: int) -> None:
        """Sets the fields that are given in shares of a run to the numbers of steps of a run of `num_steps` steps. Optional."""

    def model(self, config: Any, variables: Any, step: int, survey: Any = None) -> Model:
        """The model to sample from; given the survey of its training data, it may generate batches of similar data faster."""

    def portable(self, model: Model) -> Any:
        """The `exporting.portable.Portable` of a model, to export it.

        Optional: without it, models without columns are exported by `exporting.portable.of_inputs`, and others cannot be exported.
        """

    def previews(self, model: Model, size: tuple[int, int]) -> Any:
        """An object that renders parts of large images sooner than the whole, for `studio.renderer`; None where that saves no time.

        It has image(tab, inputs), which returns the exact image and keeps its features under the name of a tab; part(tab, inputs, box),
        which returns the part around a box that has changed since then, with its top and left, or None; and compile(inputs). Optional.
        """

    def onnx_model(self, model: Model, weights: str, **options: str) -> tuple[Any, dict[str, Any]]:
        """(onnx.ModelProto, JSON values about it) with weights in one of `exporting.stored_weights.FORMATS`, and `onnx_options`."""

    def scores(self, config: Any, networks: Any, mesh: Any = None) -> list[Any]:
        """`metrics.metric.Metric`s by the run's own networks, {field of its train state: variables}; with None, they only have names."""

    def attention(self, config: Any, networks: Any, batch: Mapping[str, Any]) -> Callable[[Any], Any]:
        """The attention of a run's discriminator, for tools that show it.

        Args:
            config: ConfigDict.
            networks: {field of its train state: variables}.
            batch: the columns, except images, of the images.

        Returns:
            A function of images (B, H, W, 3) in [-1, 1] that returns a list of attention maps (B, H, W) in [0, 1], coarse to fine.
        """

    def default_protocol(self, config: Any) -> str:
        """Name of the evaluation protocol that is established for the data of a config."""

    def published_config(self, files: Mapping[str, Any]) -> Any:
        """The ConfigDict that the files of a published checkpoint describe: {flag: path}. Raises ValueError if they do not describe one."""

    def from_published(self, config: Any, files: Mapping[str, Any]) -> tuple[Any, Any]:
        """(averaged generator's variables, train state or None) from the files of a published checkpoint: {flag: path}."""


def own_networks(config, model, state, mesh, dontcare_id=None):
    """The metrics by a run's own networks, and the Model with the generator in training instead of its average: (metrics, model).

    Args:
        config: ConfigDict of the run.
        model: its Model.
        state: its train state, or that as nested dicts, with the entry `generator`.
        mesh: of this process's devices.
        dontcare_id: class that is excluded from scores, instead of that of the run.
    """
    networks = state if isinstance(state, dict) else vars(state)
    if dontcare_id is not None:
        config = config.copy_and_resolve_references()
        config.data.dontcare_id = dontcare_id
    return find_family(config).scores(config, networks, mesh), dataclasses.replace(model, variables=networks["generator"])


def step_at(train_step, step) -> TrainStep:
    """The TrainStep of the update after `step` updates."""
    return train_step.at(step) if hasattr(train_step, "at") else train_step


def lacking_at(train_step, num_steps):
    """A line of text: what is missing from a run of `num_steps` updates because it ends during its first steps; "" if nothing is."""
    lacking = getattr(step_at(train_step, num_steps - 1), "lacking", "")
    return lacking and f"with {num_steps} steps in all, {lacking}"


def rules_of(family) -> Mapping[str, Any]:
    """{dotted name: `allowed.Rule`} of the fields of a family's configs."""
    return getattr(family, "allowed", ALLOWED)


def find_family(config) -> Family:
    """The family that `config.family` names.

    Raises:
        ValueError: there is no such family; the message lists those that exist.
    """
    module = f"{__package__}.{name_of(config)}.family"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not module.startswith(error.name or "."):  # something that the family itself imports
            raise
        raise ValueError(f"family={name_of(config)} is not one of {', '.join(family_names())}") from None


def family_names() -> list[str]:
    """The names of all families, in order."""
    return sorted(file.parent.name for file in pathlib.Path(__file__).parent.glob("*/family.py"))


def all_families() -> list[Family]:
    """All families, in the order of their names."""
    return [importlib.import_module(f"{__package__}.{name}.family") for name in family_names()]
