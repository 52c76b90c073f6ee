"""What reproduces an image: seeds, classes or styles with seeds of their own, interpolation, truncation, changes of heatmaps."""
import collections
import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np

from oasis_jax import id_maps
from oasis_jax.heatmaps import changed, check, of_seed, with_centres
from oasis_jax.noise import Regions, RegionSeed, check_position, check_seed, check_seeds, class_noise, slerp

MOST_TRUNCATION = 1e6  # psi beyond it would overflow


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
        truncation: psi; styles are pulled towards their mean as it falls from 1 to 0.
        truncated_rows: number of first style rows, to which the truncation is limited; None truncates all.
        base_heatmaps: (7, 3), used instead of the heatmaps of the seeds; None to use those of the seeds.
        shifts: {map: (dy, dx)} of single heatmaps, added to their centres after `centres`. `heatmaps.maps_of` lists the maps of a level.
        width_factors: {map: factor} of single heatmaps, which multiply their widths.
        regions: `noise.Regions` of the size of the label map: pixels whose noise comes from seeds of their own, whatever their classes; or
            None.

    Raises:
        TypeError: class_seeds or style_seeds is not a dict.
        ValueError: a seed is not an integer in 0..2**32-1, t is not from 0 to 1, the truncation is not a number from
            -MOST_TRUNCATION to MOST_TRUNCATION, or truncated_rows is not an integer from 0.
    """

    seed: int
    class_seeds: dict[int, int] = dataclasses.field(default_factory=dict)
    end: tuple[int, dict[int, int]] | None = None
    t: float = 0.0
    centres: tuple[tuple[float, float], ...] | None = None
    style_seeds: dict[int, int] = dataclasses.field(default_factory=dict)
    truncation: float = 1.0
    truncated_rows: int | None = None
    base_heatmaps: tuple[tuple[float, float, float], ...] | None = None
    shifts: dict[int, tuple[float, float]] = dataclasses.field(default_factory=dict)
    width_factors: dict[int, float] = dataclasses.field(default_factory=dict)
    regions: Regions | None = None

    def __post_init__(self):
        end_seed, end_seeds = self.end or (0, {})
        for seed in (self.seed, end_seed):
            check_seed(seed)
        for name, seeds in (("class_seeds", self.class_seeds), ("class_seeds of end", end_seeds), ("style_seeds", self.style_seeds)):
            check_seeds(name, seeds)
        check_position(self.t)
        psi = np.asarray(self.truncation)
        if psi.ndim or psi.dtype.kind not in "iuf" or not abs(psi) <= MOST_TRUNCATION:
            limits = f"-{MOST_TRUNCATION:g} to {MOST_TRUNCATION:g}"
            raise ValueError(f"truncation {self.truncation!r} is not a number from {limits}: give psi, usually from 0 to 1")
        rows = self.truncated_rows
        if rows is not None and (not isinstance(rows, int | np.integer) or isinstance(rows, bool) or rows < 0):
            raise ValueError(f"truncated_rows {rows!r} is not an integer from 0: give the number of rows to truncate")

    def latent(self, z_dim):
        """The vector of an image without classes: (z_dim,) float32."""
        return self.noise(1, z_dim)[0]

    def noise(self, num_classes, z_dim):
        """One vector per class: (num_classes, z_dim) float32."""
        start = class_noise(self.seed, self.class_seeds, num_classes, z_dim)
        return start if self.end is None else slerp(start, class_noise(*self.end, num_classes, z_dim), self.t)

    def heatmaps(self):
        """(7, 3) float32; those of two seeds are interpolated linearly.

        Raises:
            ValueError: base_heatmaps, centres, shifts or width_factors do not fit.
        """
        if self.base_heatmaps is not None:
            found = check(np.asarray(self.base_heatmaps)[None], 1)[0]
        else:
            found = of_seed(self.seed)
            if self.end is not None:
                found = (1 - self.t) * found + self.t * of_seed(self.end[0])
        if self.centres is not None:
            found = with_centres(found, self.centres)
        return changed(found, self.shifts, self.width_factors)

    def with_heatmaps(self, heatmaps):
        """The same recipe with exactly these heatmaps (7, 3)."""
        rows = tuple(map(tuple, np.asarray(heatmaps, np.float32).tolist()))
        return dataclasses.replace(self, base_heatmaps=rows, centres=None, shifts={}, width_factors={})

    def as_json(self, class_names=()):
        """JSON values that `from_json` reads: the seed, classes by name if the model has any, and what differs from the default.

        The names must all be different (`unique_names`).
        """

        def side(seed, class_seeds):
            by_name = {class_names[i]: int(class_seeds[i]) for i in sorted(class_seeds)}
            return {"seed": int(seed)} | ({"class_seeds": by_name} if class_names else {})

        found = side(self.seed, self.class_seeds)
        if self.end is not None:
            found["interpolation"] = side(*self.end) | {"t": float(self.t)}
        values, unset = ({name: _plain(getattr(recipe, name)) for name in _recorded_by_name()} for recipe in (self, Recipe(0)))
        found |= {name: value for name, value in values.items() if value != unset[name]}
        return found if self.regions is None else found | {"regions": _plain_regions(self.regions)}

    @classmethod
    def from_json(cls, record, class_names=()):
        """The recipe of a record of `as_json`; other fields, such as those in an entry of samples.json, are not read."""

        def side(values):
            return values["seed"], {class_names.index(name): seed for name, seed in values.get("class_seeds", {}).items()}

        interpolation = record.get("interpolation")
        found = {"end": side(interpolation), "t": interpolation["t"]} if interpolation else {}
        found |= {name: _from_plain(record[name]) for name in _recorded_by_name() if name in record}
        if regions := record.get("regions"):
            found["regions"] = Regions(id_maps.from_text(regions["map"]), tuple(RegionSeed(**seed) for seed in regions["seeds"]))
        return cls(*side(record), **found)


def _recorded_by_name():
    """The names of the fields of a Recipe that are stored in its record under their own names."""
    return [field.name for field in dataclasses.fields(Recipe) if field.name not in ("seed", "class_seeds", "end", "t", "regions")]


def _plain_regions(regions):
    seeds = [seed._asdict() if seed.end is not None else {"seed": seed.seed} for seed in regions.seeds]
    return {"map": id_maps.as_text(regions.map), "seeds": seeds}


def _plain(value):
    """Converts numbers, sequences and {number: value} to JSON values."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in sorted(value.items())}
    return np.asarray(value).tolist()


def _from_plain(value):
    if isinstance(value, dict):
        return {int(key): _from_plain(each) for key, each in value.items()}
    return tuple(map(_from_plain, value)) if isinstance(value, list) else value


def unique_names(names):
    """Names of classes, all different, by which recipes name them: ("void", "road", "void") becomes ("void", "road", "void (2)").

    The first class of a name keeps it; a new name is none of the given ones.
    """
    unique, numbers = {}, collections.defaultdict(lambda: itertools.count(2))
    given = set(names)
    for name in names:
        new = name
        while new in unique or (new != name and new in given):
            new = f"{name} ({next(numbers[name])})"
        unique[new] = None
    return tuple(unique)


def as_recipes(seeds):
    """Recipes from integers in 0..2**32-1 or Recipes; raises ValueError if there are none."""
    recipes = [seed if isinstance(seed, Recipe) else Recipe(seed) for seed in seeds]
    if not recipes:
        raise ValueError("no seeds or recipes were given: give one for each image")
    return recipes


def count_from(seed, count):
    """The seeds of `count` images: counted up from an integer, or a given sequence of `count` seeds.

    Raises:
        ValueError: `seed` is neither, or the sequence has another length.
    """
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        seeds = range(seed, seed + count)
    elif isinstance(seed, Iterable):
        seeds = list(seed)
    else:
        raise ValueError(f"seed {seed!r} is neither an integer, to count from, nor a sequence of integers, one for each image")
    if len(seeds) != count:
        raise ValueError(f"{len(seeds)} seeds were given for {count} images: give one each, or a single one to count from")
    return seeds
