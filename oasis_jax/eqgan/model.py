"""An averaged EqGAN-SA generator to sample from."""
import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from oasis_jax import sampling
from oasis_jax.eqgan.generator import Generator
from oasis_jax.heatmaps import given
from oasis_jax.layers.initial import standard_normal
from oasis_jax.noise import check_finite
from oasis_jax.recipes import Recipe, as_recipes, count_from

NOISE_MODES = ("random", "const", "none")
NOISE_MAPS = 6  # purpose of the random numbers of a seed's noise maps; 5 is that of its heatmaps


@dataclasses.dataclass(frozen=True)
class Generate:
    """(variables, inputs of `Model.inputs`) -> images (B, H, W, 3) in [-1, 1]; pure, hashed by the generator's fields and the noise."""

    generator: Generator
    noise: str

    def __call__(self, variables, inputs):
        generator = self.generator
        # The latents of an image are mapped one by one, so that not even the last bits of a style depend on how many latents there are.
        styles = jax.lax.map(lambda z: generator.apply(variables, z, method="styles"), inputs["z"].swapaxes(0, 1))
        ws = jnp.take_along_axis(styles, inputs["latent_of_row"][None, ..., None], axis=0)[0]
        ws = generator.apply(variables, ws, inputs["truncation"], method="truncate")
        noise = {"const": "const", "none": None}.get(self.noise)
        if self.noise == "random":
            noise = jax.vmap(self._noise_of)(inputs["seed"])
        return generator.apply(variables, ws, inputs["heatmaps"], noise, method="synthesise")

    def _noise_of(self, seed):
        return standard_normal(jax.random.fold_in(jax.random.key(seed), NOISE_MAPS), (self.generator.noise_size,))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Model:
    """The averaged generator of a checkpoint; a `family.Model`.

    Attributes:
        generator: the Generator module.
        variables: its averaged variables, {"params", "averages", "noise", ...}.
        config: ConfigDict of the run, for the user's information.
        step: number of updates when it was saved.
        noise: noise maps of the synthesis layers: "random", a function of the image's seed; "const", the stored maps, the same for all
            images; "none".
    """

    columns: ClassVar = ()
    has_noise: ClassVar = True
    noise_modes: ClassVar = NOISE_MODES

    generator: Generator
    variables: Any
    config: ConfigDict
    step: int
    noise: str = "random"

    def __post_init__(self):
        if self.noise not in NOISE_MODES:
            raise ValueError(f"noise is {self.noise!r}, but should be one of {', '.join(NOISE_MODES)}")

    def __repr__(self):
        return sampling.describe(self)

    @property
    def image_size(self):
        """(H, W)."""
        return (self.generator.resolution,) * 2

    @property
    def num_styles(self):
        """Number of style rows of an image."""
        return self.generator.num_ws

    @property
    def spatially_aware(self):
        """Whether the generator takes heatmaps."""
        return self.generator.spatially_aware

    @property
    def generate(self):
        """The pure function (variables, inputs) -> (B, H, W, 3) in [-1, 1]."""
        return Generate(self.generator, self.noise)

    def inputs(self, recipes, batch):
        """Returns the inputs of `generate` for recipes, in numpy.

        A seed determines the latent `noise.noise_vector(seed)`, the heatmaps `heatmaps.of_seed(seed)` and random noise maps.

        Args:
            recipes: B seeds or `recipes.Recipe`s.
            batch: not used.

        Returns:
            {"z": (B, S, z_dim), "latent_of_row": (B, num_styles) index of each row's latent, "truncation": (B, num_styles) psi of each row,
            "seed": (B,) uint32, "heatmaps": (B, 7, 3) or None}.

        Raises:
            ValueError: a style row or a seed is out of range.
        """
        recipes = as_recipes(recipes)
        latents, rows = zip(*(self._latents(recipe) for recipe in recipes), strict=True)
        most = max(map(len, latents))
        latents = [np.concatenate([each, np.repeat(each[:1], most - len(each), axis=0)]) for each in latents]
        truncation = np.ones((len(recipes), self.num_styles), np.float32)
        for psi, recipe in zip(truncation, recipes, strict=True):
            psi[: recipe.truncated_rows] = recipe.truncation
        return {
            "z": np.stack(latents),
            "latent_of_row": np.stack(rows),
            "truncation": truncation,
            "seed": np.array([recipe.seed for recipe in recipes], np.uint32),
            "heatmaps": np.stack([recipe.heatmaps() for recipe in recipes]) if self.spatially_aware else None,
        }

    def sample(self, count=1, seed=0, z=None, truncation=1.0, heatmaps=None):
        """Generates images.

        An image depends only on its own latent, noise and heatmaps: it is the same to the last bit, whether generated alone or with others.

        Args:
            count: number of images.
            seed: an integer, so that image i has the latent, the noise maps and the heatmaps of seed + i; or one integer for each image.
            z: (count, z_dim) latents, which replace those of the seeds.
            truncation: psi; 1 for no truncation, 0 for the mean style.
            heatmaps: replace the heatmaps of the seeds in a spatially aware model: (7, 3) or (count, 7, 3), with centre y, centre x and
                width of each. `oasis_jax.heatmaps` makes them.

        Returns:
            uint8 (count, H, W, 3).

        Raises:
            ValueError: count, seeds, latents or heatmaps have the wrong type or shape; the message says what is expected.
        """
        if not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"count is {count!r}, but should be the number of images, 1 or more: this model takes no label maps")
        recipes = [Recipe(each, truncation=truncation) for each in count_from(seed, count)]
        inputs = self.inputs(recipes, {})
        if z is not None:
            check_finite("z", z)
            z = np.asarray(z, np.float32)
            if z.shape != (count, self.generator.z_dim):
                raise ValueError(f"z is {z.shape}, but should be {(count, self.generator.z_dim)}: one latent for each image")
            inputs["z"] = z[:, None]
        if heatmaps is not None:
            inputs["heatmaps"] = given(heatmaps, count, self.spatially_aware)
        return self.images(inputs)

    def images(self, inputs):
        """Generates uint8 (B, H, W, 3), image by image."""
        return sampling.one_by_one(self.generate, self.variables, inputs)

    def _latents(self, recipe):
        """The latents (S, z_dim) of a recipe, and for each style row the index of its latent."""
        if recipe.class_seeds:
            raise ValueError("a recipe has class_seeds, but this model has no classes: leave them out")
        if recipe.regions is not None:
            raise ValueError("a recipe has regions with noise of their own, but this model takes no label maps: leave them out")
        if wrong := [row for row in recipe.style_seeds if row not in range(self.num_styles)]:
            raise ValueError(f"there is no style row {wrong[0]!r} among {self.num_styles} (0..{self.num_styles - 1})")
        seeds = list(dict.fromkeys(recipe.style_seeds.values()))
        rows = np.zeros(self.num_styles, np.int32)
        for row, seed in recipe.style_seeds.items():
            rows[row] = 1 + seeds.index(seed)
        return np.stack([each.latent(self.generator.z_dim) for each in (recipe, *map(Recipe, seeds))]), rows
