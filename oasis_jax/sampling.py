"""Sampling from a checkpoint: label maps in, images out. Needs no photos and imports no TensorFlow."""
import dataclasses
import functools
import logging
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from oasis_jax import build
from oasis_jax.heatmaps import check, of_seed
from oasis_jax.models import Generator
from oasis_jax.models import conditioning as cond
from oasis_jax.models.capacities import LARGEST_SHARE, bucket, describe
from oasis_jax.noise import RegionNoise, noise_vector
from oasis_jax.training.checkpoint import load_ema

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """The averaged generator of a checkpoint, ready to sample.

    Attributes:
      generator: the Generator module.
      variables: its averaged variables, {"params", "batch_stats", "spectral_norm"}.
      config: the ConfigDict of the run.
      step: updates done when it was saved.
    """

    generator: Generator
    variables: Any
    config: ConfigDict
    step: int

    @property
    def image_size(self):
        """(H, W) that the model was trained on."""
        return tuple(self.config.data.image_size)

    @property
    def num_classes(self):
        """N, the don't-care class included."""
        return self.generator.num_classes

    @property
    def class_names(self):
        """N names in the order of the classes; their numbers where the config has no names."""
        return tuple(self.config.data.class_names) or tuple(map(str, range(self.num_classes)))

    def sample(self, labels, seed=0, noise=None, heatmaps=None):
        """Generates one image per label map.

        An image depends on its own label map, noise and heatmaps alone: made by itself or among others, in any order, it is the same to
        the last bit.

        Args:
          labels: (H, W) or (B, H, W) integer classes in 0..N-1, of any size whose sides are divisible by 2**(num_blocks - 1).
          seed: integer, image i then has the noise and the heatmaps of seed + i; or B integers, the seed of each.
          noise: instead of a seed, (B, z_dim), one vector per image; (B, N, z_dim), one per class; (B, H, W, z_dim), one per pixel; or a
            RegionNoise. `oasis_jax.noise` makes such vectors.
          heatmaps: instead of a seed's, (7, 3) or (B, 7, 3) for a spatially aware model: centre y, centre x and width of each.
            `oasis_jax.heatmaps` makes them.

        Returns:
          uint8 (B, H, W, 3).

        Raises:
          ValueError: for labels, seeds, noise or heatmaps of another kind or shape; the message says which would fit.
        """
        labels = _label_maps(labels, self.num_classes)
        if noise is None and self.generator.z_dim:
            noise = np.stack([noise_vector(s, self.generator.z_dim) for s in _seeds(seed, len(labels))])
        inputs = jax.device_get((self._condition(labels, noise), self._heatmaps(heatmaps, seed, len(labels))))
        # One by one through one program: in a batch, an image's last bits could depend on the size of the batch.
        return np.concatenate([self._generate(*_example(inputs, i)) for i in range(len(labels))])

    def _generate(self, conditioning, heatmaps):
        """The image uint8 (1, H, W, 3) of a Conditioning and heatmaps or None, on regions where that pays; the log says where."""
        if build.on_regions(self.config, conditioning.size) and conditioning.pixel_noise is None:
            share = self.config.model.get("region_share", LARGEST_SHARE)  # older checkpoints do not say
            capacities = bucket(np.asarray(conditioning.ids[0]), share)[: self.generator.num_blocks]
            _log.info(describe(capacities, conditioning.size))
            if capacities:
                generator = self.generator.clone(capacities=capacities, known_to_fit=True)
                image, fits = _generate_on_regions(generator, self.variables, conditioning, heatmaps)
                if fits:
                    return jax.device_get(image)
                _log.info("two different neighbourhoods have one fingerprint: this image is computed densely")
        return jax.device_get(_generate(self.generator, self.variables, conditioning, heatmaps))

    def _heatmaps(self, heatmaps, seed, count):
        if not self.generator.spatially_aware:
            if heatmaps is not None:
                raise ValueError("heatmaps were given, but this model was trained without model.spatial_awareness: leave them out")
            return None
        if heatmaps is None:
            return np.stack([of_seed(s) for s in _seeds(seed, count)])
        heatmaps = np.asarray(heatmaps)
        return check(np.broadcast_to(heatmaps, (count, *heatmaps.shape)) if heatmaps.ndim == 2 else heatmaps, count)

    def _condition(self, labels, noise):
        if not isinstance(noise, RegionNoise):
            return self.generator.condition(labels, None if noise is None else np.asarray(noise))
        region_map, vectors = np.asarray(noise.region_map), np.asarray(noise.vectors)
        expected = (len(labels), "M", self.generator.z_dim)
        if vectors.ndim != 3 or vectors.shape != (len(labels), vectors.shape[1], self.generator.z_dim):
            raise ValueError(f"RegionNoise.vectors is {vectors.shape}, but should be (B, M, z_dim) = {expected}")
        _check_ids("RegionNoise.region_map", region_map, vectors.shape[1], "regions")
        return cond.from_regions(labels, region_map, vectors, self.num_classes, self.generator.dtype)


def load(path, best=False):
    """Loads the averaged generator of a checkpoint.

    Args:
      path: a run's workdir, its checkpoints folder, or the folder of one step; `~` and gs:// work.
      best: take the best step by the score of the run, not the latest.

    Returns:
      A Model.

    Raises:
      CheckpointError: there is no such checkpoint, or it is damaged.
    """
    variables, config, step = load_ema(path, best)
    config = ConfigDict(config)
    return Model(build.generator(config), jax.device_put(variables), config, step)


@functools.partial(jax.jit, static_argnums=0)
def _generate(generator, variables, conditioning, heatmaps):
    return jnp.round((generator.apply(variables, conditioning, heatmaps=heatmaps) + 1) * 127.5).astype(jnp.uint8)


@functools.partial(jax.jit, static_argnums=0)
def _generate_on_regions(generator, variables, conditioning, heatmaps):
    return _generate(generator, variables, conditioning, heatmaps), generator.fits(conditioning)


def _example(inputs, i):
    return jax.tree.map(lambda leaf: leaf[i : i + 1], inputs)


def _label_maps(labels, num_classes):
    labels = np.asarray(labels)
    labels = labels[None] if labels.ndim == 2 else labels
    if labels.ndim != 3 or not labels.size:
        raise ValueError(f"labels are {labels.shape}, but should be (H, W) or (B, H, W)")
    _check_ids("labels", labels, num_classes, "classes")
    return labels.astype(np.int32)


def _check_ids(name, ids, count, things):
    if not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"{name} are {ids.dtype}, but should be integers in 0..{count - 1}")
    wrong = np.unique(ids[(ids < 0) | (ids >= count)])
    if wrong.size:
        raise ValueError(f"{name} hold id {', '.join(map(str, wrong[:5]))}, but there are {count} {things} (0..{count - 1})")


def _seeds(seed, count):
    seeds = range(seed, seed + count) if isinstance(seed, (int, np.integer)) else list(seed)
    if len(seeds) != count:
        raise ValueError(f"{len(seeds)} seeds were given for {count} label maps: give one each, or a single one to count from")
    return seeds
