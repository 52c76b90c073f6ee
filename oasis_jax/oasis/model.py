"""An averaged OASIS generator to sample from: label maps in, images out. Needs no photos."""
import dataclasses
import logging
from typing import Any, ClassVar

import jax
import numpy as np
from ml_collections import ConfigDict

from oasis_jax import sampling
from oasis_jax.heatmaps import given
from oasis_jax.noise import RegionNoise, Regions, check_finite
from oasis_jax.oasis import conditioning as cond
from oasis_jax.oasis.capacities import describe, fit, of_size, of_spade, on_regions
from oasis_jax.oasis.generator import Generator, check_sides
from oasis_jax.ranges import to_bytes
from oasis_jax.recipes import as_recipes, count_from

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Generate:
    """(variables, inputs of `Model.inputs`) -> images (B, H, W, 3) in [-1, 1]; pure, hashed by the generator's fields."""

    generator: Generator

    def __call__(self, variables, inputs):
        return self.generator.apply(variables, inputs["conditioning"], heatmaps=inputs["heatmaps"])


@dataclasses.dataclass(frozen=True)
class GenerateOnRegions:
    """Like `Generate`, but returns (uint8 images, () bool: whether the conditioning fits the capacities, if there are any)."""

    generator: Generator

    def __call__(self, variables, inputs):
        return to_bytes(Generate(self.generator)(variables, inputs)), self.generator.fits(inputs["conditioning"])


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Model:
    """The averaged generator of a checkpoint; a `family.Model`.

    Attributes:
        generator: the Generator module; its capacities, if any, are those that the training data need.
        variables: its averaged variables, {"params", "batch_stats", "spectral_norm"}.
        config: ConfigDict of the run, for the user's information.
        step: number of updates when it was saved.
        image_size: (H, W) of the training images.
        class_names: N names in class order.
        conditioning: "auto", "dense" or "regions", as in `capacities.on_regions`.
    """

    columns: ClassVar = ("label_map",)

    generator: Generator
    variables: Any
    config: ConfigDict
    step: int
    image_size: tuple[int, int]
    class_names: tuple[str, ...]
    conditioning: str = "auto"

    def __repr__(self):
        return sampling.describe(self)

    @property
    def num_classes(self):
        """N, including the don't-care class."""
        return self.generator.num_classes

    @property
    def has_noise(self):
        """Whether the generator takes noise."""
        return self.generator.z_dim > 0

    @property
    def spatially_aware(self):
        """Whether the generator takes heatmaps."""
        return self.generator.spatially_aware

    @property
    def isotropic(self):
        """Whether heatmaps are round, whatever the shape of the image."""
        return self.generator.isotropic

    @property
    def generate(self):
        """The pure function (variables, inputs) -> (B, H, W, 3) in [-1, 1]."""
        return Generate(self.generator)

    def check_size(self, height, width):
        """Raises ValueError, naming the nearest possible sizes, if images of this size cannot be generated."""
        check_sides(height, width, self.generator.num_blocks - 1)

    def inputs(self, recipes, batch):
        """Returns the inputs of `generate` for recipes: {"conditioning": Conditioning, "heatmaps": (B, 7, 3) or None}, in numpy.

        A seed determines the noise vector `noise.noise_vector(seed)` and the heatmaps `heatmaps.of_seed(seed)`.

        Args:
            recipes: B seeds or `recipes.Recipe`s.
            batch: {"label_map": (B, H, W) integer classes}.

        Raises:
            ValueError: the label maps, the seeds or the regions of a recipe do not fit the model.
        """
        recipes, labels = as_recipes(recipes), _label_maps(batch["label_map"], self.num_classes)
        if any(recipe.style_seeds or recipe.truncation != 1 for recipe in recipes):
            raise ValueError("a recipe has style_seeds or a truncation, but this model has no styles: leave them out")
        return self._inputs(labels, self._noise(recipes, labels), self._heatmaps(recipes))

    def sample(self, labels, seed=0, noise=None, heatmaps=None):
        """Generates one image per label map.

        An image depends only on its own label map, noise and heatmaps: it is the same to the last bit, whether it is generated alone or
        together with others, in any order.

        Args:
            labels: (H, W) or (B, H, W) integer classes in 0..N-1, of any size whose sides are divisible by 2**(num_blocks - 1).
            seed: an integer, so that image i has the noise and the heatmaps of seed + i; or B integers, one seed per image.
            noise: replaces the noise of the seeds: (B, z_dim), one vector per image; (B, N, z_dim), one per class; (B, H, W, z_dim), one
                per pixel; or a RegionNoise. `oasis_jax.noise` makes such vectors.
            heatmaps: replace the heatmaps of the seeds in a spatially aware model: (7, 3) or (B, 7, 3), with centre y, centre x and width
                of each. `oasis_jax.heatmaps` makes them.

        Returns:
            uint8 (B, H, W, 3).

        Raises:
            ValueError: labels, seeds, noise or heatmaps have the wrong type or shape; the message says what is expected.
        """
        labels = np.asarray(labels)
        labels = labels[None] if labels.ndim == 2 else labels
        if labels.ndim != 3 or not labels.size or labels.shape[2] == 1 != labels.shape[1]:
            channels = ": leave out the last axis, labels[..., 0]" if labels.shape[-1:] == (1,) and labels.size else ""
            raise ValueError(f"labels are {labels.shape}, but should be (H, W) or (B, H, W) integer classes, without channels{channels}")
        self.check_size(*labels.shape[1:])
        labels, recipes = _label_maps(labels, self.num_classes), as_recipes(count_from(seed, len(labels)))
        if noise is None:
            noise = self._noise(recipes, labels)
        else:
            check_finite("noise", noise.vectors if isinstance(noise, RegionNoise) else noise)
        heatmaps = self._heatmaps(recipes) if heatmaps is None else given(heatmaps, len(labels), self.spatially_aware)
        return self.images(self._inputs(labels, noise, heatmaps))

    def images(self, inputs):
        """Generates uint8 (B, H, W, 3), image by image, with conditioning on regions where that is cheaper; the log says which was used."""
        conditioning = inputs["conditioning"]
        if not self._on_regions(conditioning):
            return sampling.one_by_one(Generate(self._dense), self.variables, inputs)
        return np.concatenate([self._image(sampling.example(inputs, i)) for i in range(len(conditioning.ids))])

    def programs(self, inputs):
        """The ways to compute one image: a list of (Generator, inputs in the form that it takes), in the order in which they are tried.

        All images of one size share at most two programs. The second one is used for images that do not fit the capacities of the first
        (`Generator.fits`).
        """
        conditioning = inputs["conditioning"]
        if not self._on_regions(conditioning):
            return [(self._dense, inputs)]
        inputs = inputs | {"conditioning": cond.compacted(conditioning)}
        capacities = of_spade(of_size(conditioning.size)[: self.generator.num_blocks], self.generator.affine_blocks)
        by_regions = self.generator.clone(capacities=capacities, known_to_fit=True)
        fitting = fit(inputs["conditioning"].ids[0], capacities)
        _log.info(describe(capacities if fitting else (), conditioning.size))
        return [*([(by_regions, inputs)] if fitting else []), (self._dense, inputs)]

    def _image(self, inputs):
        for generator, form in self.programs(inputs):
            image, fits = sampling.generate(GenerateOnRegions(generator), self.variables, form)
            if fits:
                return jax.device_get(image)
            _log.info("two different neighbourhoods have the same fingerprint: this image is computed densely")

    def _on_regions(self, conditioning):
        return on_regions(self.conditioning, conditioning.size) and conditioning.pixel_noise is None

    @property
    def _dense(self):
        return self.generator.clone(capacities=())

    def _noise(self, recipes, labels):
        """(B, z_dim), or (B, N, z_dim) if a recipe needs a vector per class, or a RegionNoise; None for a generator without noise."""
        for recipe, label_map in zip(recipes, labels, strict=True):
            _check_regions(recipe.regions, label_map.shape, self.has_noise)
        if not self.has_noise:
            return None
        if any(recipe.regions is not None and recipe.regions.map.any() for recipe in recipes):
            return self._region_noise(recipes, labels)
        num_vectors = self.num_classes if any(recipe.class_seeds or recipe.end for recipe in recipes) else 1
        vectors = np.stack([recipe.noise(num_vectors, self.generator.z_dim) for recipe in recipes])
        return vectors if num_vectors > 1 else vectors[:, 0]

    def _region_noise(self, recipes, labels):
        """A RegionNoise with one vector per class, followed by one per region of the recipe."""
        maps, vectors = labels.copy(), []
        for region_map, recipe in zip(maps, recipes, strict=True):
            regions = recipe.regions or Regions(np.zeros(region_map.shape, np.uint8), ())
            np.copyto(region_map, self.num_classes - 1 + regions.map.astype(region_map.dtype), where=regions.map > 0)
            of_recipe = recipe.noise(self.num_classes, self.generator.z_dim), regions.vectors(self.generator.z_dim)
            vectors.append(np.concatenate(of_recipe))
        most = max(map(len, vectors))
        return RegionNoise(maps, np.stack([np.pad(each, ((0, most - len(each)), (0, 0))) for each in vectors]))

    def _heatmaps(self, recipes):
        return np.stack([recipe.heatmaps() for recipe in recipes]) if self.spatially_aware else None

    def _inputs(self, labels, noise, heatmaps):
        return jax.device_get({"conditioning": self._condition(labels, noise), "heatmaps": heatmaps})

    def _condition(self, labels, noise):
        if not isinstance(noise, RegionNoise):
            return self.generator.condition(labels, None if noise is None else np.asarray(noise))
        region_map, vectors = np.asarray(noise.region_map), np.asarray(noise.vectors)
        expected = (len(labels), "M", self.generator.z_dim)
        if vectors.ndim != 3 or vectors.shape != (len(labels), vectors.shape[1], self.generator.z_dim):
            raise ValueError(f"RegionNoise.vectors is {vectors.shape}, but should be (B, M, z_dim) = {expected}")
        _check_ids("RegionNoise.region_map", region_map, vectors.shape[1], "regions")
        return cond.from_regions(labels, region_map, vectors, self.num_classes, self.generator.dtype)


def _check_regions(regions, size, has_noise):
    if regions is not None and not has_noise:
        raise ValueError("a recipe has regions with noise of their own, but this model has no noise: leave them out")
    if regions is not None and regions.map.shape != size:
        sizes = "the map of a recipe's regions is {}x{}, but its label map {}x{}".format(*regions.map.shape, *size)
        raise ValueError(f"{sizes}: both must be of one size")


def _label_maps(labels, num_classes):
    labels = np.asarray(labels)
    _check_ids("labels", labels, num_classes, "classes")
    return labels.astype(np.int32)


def _check_ids(name, ids, count, things):
    if not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"{name} are {ids.dtype}, but should be integers in 0..{count - 1}")
    wrong = np.unique(ids[(ids < 0) | (ids >= count)])
    if wrong.size:
        raise ValueError(f"{name} hold id {', '.join(map(str, wrong[:5]))}, but there are {count} {things} (0..{count - 1})")
