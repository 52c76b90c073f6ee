"""Frechet and kernel distance of the features of two sets of images: FID and KID, or their analogues with another network."""
import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from oasis_jax.metrics.frechet import Moments, frechet_distance
from oasis_jax.metrics.kid import kernel_inception_distance
from oasis_jax.metrics.metric import PHOTOS, SAMPLES, Finding


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureDistances:
    """Both distances from one forward pass of the network; a `metric.Metric`.

    Attributes:
        frechet_name, kernel_name: names of the two scores.
        extract: images (B, H, W, 3), uint8 or float in [0, 1] -> features (B, d).
        dimensions: d.
        described: JSON value that identifies the network and its weights.
    """

    frechet_name: str
    kernel_name: str
    extract: Callable[[Any], Any] | None = None
    dimensions: int = 0
    described: Any = None

    sets: ClassVar = (PHOTOS, SAMPLES)
    of_run: ClassVar = False

    @property
    def higher_is_better(self):
        return {self.frechet_name: False, f"{self.kernel_name}_x1000": False}

    @property
    def identity(self):
        return ["features", self.described, self.dimensions]

    @property
    def rows(self):
        return {"features": ((self.dimensions,), np.float32)}

    def start(self):
        return _as_counts(Moments.empty(self.dimensions))

    def add(self, counts, batch):
        features = np.asarray(self.extract(batch.images))[: batch.count]
        return _as_counts(_as_moments(counts).update(features, batch.first)), {"features": features}

    def merge(self, counts, following):
        return _as_counts(_as_moments(counts).merge(_as_moments(following)))

    def finish(self, reference, scored):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            distance = frechet_distance(_as_moments(reference.counts), _as_moments(scored.counts))
        kid = kernel_inception_distance(reference.rows["features"], scored.rows["features"])
        scores = {
            self.frechet_name: distance,
            f"{self.kernel_name}_x1000": 1e3 * kid.mean,
            f"{self.kernel_name}_x1000_standard_error": 1e3 * kid.standard_error,
        }
        note = f"{self.kernel_name}: {kid.subsets} subsets of {kid.subset_size} images"
        return Finding(scores, notes=(*(str(warning.message) for warning in caught), note))


def _as_counts(moments):
    return {"count": np.asarray(moments.count), "mean": moments.mean, "scatter": moments.scatter}


def _as_moments(counts):
    return Moments(int(counts["count"]), counts["mean"], counts["scatter"])
