"""Scores by the run's own discriminator. It is trained together with G, so only checkpoints of one run can be compared by them."""
import dataclasses
import functools
from typing import Any, ClassVar

import jax
import numpy as np

from oasis_jax.metrics.equilibrium import ClassMeans
from oasis_jax.metrics.metric import PHOTOS, RAW_SAMPLES, SAMPLES, Finding, hash_weights, sum_counts
from oasis_jax.metrics.segmentation import MeanOver, confusion_matrix, mean_iou, pixel_accuracy
from oasis_jax.oasis.discriminator import Discriminator
from oasis_jax.oasis.disequilibrium import DI_SEG_FORMULA, di_seg, log_fake_probability
from oasis_jax.parallel.mesh import over_batch, replicate
from oasis_jax.ranges import normalise


@dataclasses.dataclass(frozen=True, eq=False)
class OwnDiscriminator:
    """The discriminator of a run in inference mode.

    Attributes:
        module: Discriminator.
        variables: its variables, on the host.
        mesh: mesh of this process's devices.
    """

    module: Discriminator
    variables: Any
    mesh: Any

    @functools.cached_property
    def identity(self):
        """Its architecture, and the sha256 of its weights."""
        return [repr(self.module), hash_weights(self.variables)]

    @functools.cached_property
    def _placed(self):
        return replicate(self.variables, self.mesh)

    def __call__(self, batch):
        """(classes (B, H, W), without the fake class; log-probability of fake (B, H, W)) of a Batch, computed once for all metrics."""
        return batch.once(self, lambda batch: self._classify(jax.device_put(batch.bytes, over_batch(self.mesh))))

    def _classify(self, images):
        classes, log_fake = classify(self.module, self._placed, images)
        return np.asarray(classes), np.asarray(log_fake)


@functools.partial(jax.jit, static_argnums=0)
def classify(discriminator, variables, image):
    """The most likely class of each pixel of uint8 images (B, H, W, 3), and the log-probability that the pixel is fake."""
    logits = discriminator.apply(variables, normalise(image))
    return logits[..., 1:].argmax(-1), log_fake_probability(logits)


@dataclasses.dataclass(frozen=True, eq=False)
class ScoresByDiscriminator:
    """How well the run's own D recovers label maps from generated images, with real photos as the ceiling; a `metric.Metric`.

    Attributes:
        discriminator: OwnDiscriminator.
        dontcare_id: class that is excluded, or -1.
    """

    discriminator: OwnDiscriminator
    dontcare_id: int

    sets: ClassVar = (PHOTOS, SAMPLES)
    higher_is_better: ClassVar = {"miou_by_d": True, "accuracy_by_d": True}
    of_run: ClassVar = True
    rows: ClassVar = {}
    merge: ClassVar = staticmethod(sum_counts)

    @property
    def identity(self):
        return [type(self).__name__, self.discriminator.identity, self.dontcare_id]

    def start(self):
        return {"confusion": np.zeros((self.discriminator.module.num_classes,) * 2, np.int64)}

    def add(self, counts, batch):
        label_map, classes = batch.label_map[: batch.count], self.discriminator(batch)[0][: batch.count]
        cared = label_map != self.dontcare_id
        return {"confusion": counts["confusion"] + confusion_matrix(label_map[cared], classes[cared], len(counts["confusion"]))}, {}

    def finish(self, reference, scored):
        scores, classes = {}, range(self.discriminator.module.num_classes)
        order = sorted(classes, key=lambda class_id: class_id == self.dontcare_id)  # don't-care, which can only be predicted, comes last
        cared = len(classes) - (self.dontcare_id in classes)
        for measured, suffix in ((scored, ""), (reference, "_on_real_photos")):
            confusion = measured.counts["confusion"]
            scores[f"miou_by_d{suffix}"] = mean_iou(confusion[np.ix_(order, order)], MeanOver.SEEN, cared)
            scores[f"accuracy_by_d{suffix}"] = pixel_accuracy(confusion)
        return Finding(scores)


class Disequilibrium(ScoresByDiscriminator):
    """DI_seg, the disequilibrium indicator of `oasis.disequilibrium`, on images of G itself, not of its average; a `metric.Metric`."""

    sets: ClassVar = (PHOTOS, RAW_SAMPLES)
    higher_is_better: ClassVar = {}  # a lower indicator alone does not mean better images

    def start(self):
        return vars(ClassMeans.empty(self.discriminator.module.num_classes))

    def add(self, counts, batch):
        log_fake = self.discriminator(batch)[1][: batch.count]
        return vars(ClassMeans(**counts).update(log_fake, batch.label_map[: batch.count])), {}

    def finish(self, reference, scored):
        score = di_seg(ClassMeans(**reference.counts), ClassMeans(**scored.counts), self.dontcare_id)
        return Finding({"di_seg": score}, notes=(f"{DI_SEG_FORMULA}, by the run's own networks",))
