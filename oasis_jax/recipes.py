"""What reproduces an image: seeds, classes or styles with seeds of their own, interpolation, truncation, centres of heatmaps."""
import dataclasses

import numpy as np

from oasis_jax.heatmaps import of_seed, with_centres
from oasis_jax.noise import check_seed, class_noise, slerp


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one image is drawn. A bare seed is the recipe with that seed and nothing else.

    Attributes:
        seed: of noise and heatmaps.
        class_seeds: {class: seed} of classes whose noise differs.
        end: (seed, class_seeds) of a second noise, to interpolate to; None for no interpolation.
        t: position between the two, from 0 to 1.
        centres: of the heatmaps, (1, 2) or (7, 2) as `heatmaps.with_centres` takes them; None for those of the seed.
        style_seeds: {row: seed} of style rows that come from another latent (style mixing), for models with styles.
        truncation: psi; styles are drawn towards their mean as it falls from 1 to 0.
        truncated_rows: the first rows, to which the truncation is limited; None truncates all.

    Raises:
        ValueError: a seed is not an integer in 0..2**32-1.
    """

    seed: int
    class_seeds: dict[int, int] = dataclasses.field(default_factory=dict)
    end: tuple[int, dict[int, int]] | None = None
    t: float = 0.0
    centres: tuple[tuple[float, float], ...] | None = None
    style_seeds: dict[int, int] = dataclasses.field(default_factory=dict)
    truncation: float = 1.0
    truncated_rows: int | None = None

    def __post_init__(self):
        for seed, class_seeds in ((self.seed, self.class_seeds), self.end or (0, {}), (0, self.style_seeds)):
            for each in (seed, *class_seeds.values()):
                check_seed(each)

    def latent(self, z_dim):
        """The vector of an image without classes: (z_dim,) float32."""
        return self.noise(1, z_dim)[0]

    def noise(self, num_classes, z_dim):
        """One vector per class: (num_classes, z_dim) float32."""
        start = class_noise(self.seed, self.class_seeds, num_classes, z_dim)
        return start if self.end is None else slerp(start, class_noise(*self.end, num_classes, z_dim), self.t)

    def heatmaps(self):
        """(7, 3) float32; interpolated linearly."""
        found = of_seed(self.seed)
        if self.end is not None:
            found = (1 - self.t) * found + self.t * of_seed(self.end[0])
        return found if self.centres is None else with_centres(found, self.centres)

    def as_json(self, class_names):
        """The fields as JSON values, classes by name."""

        def side(seed, class_seeds):
            return {"seed": int(seed), "class_seeds": {class_names[i]: int(class_seeds[i]) for i in sorted(class_seeds)}}

        return side(self.seed, self.class_seeds) | ({"interpolation": side(*self.end) | {"t": self.t}} if self.end else {})


def as_recipes(seeds):
    """Recipes from integers in 0..2**32-1 or Recipes."""
    return [seed if isinstance(seed, Recipe) else Recipe(seed) for seed in seeds]


def count_from(seed, count):
    """The seeds of `count` images: counted from an integer, or a sequence of as many.

    Raises:
        ValueError: the sequence has another length.
    """
    seeds = range(seed, seed + count) if isinstance(seed, (int, np.integer)) else list(seed)
    if len(seeds) != count:
        raise ValueError(f"{len(seeds)} seeds were given for {count} images: give one each, or a single one to count from")
    return seeds
