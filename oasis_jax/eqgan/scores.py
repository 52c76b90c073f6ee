"""The disequilibrium indicator of a run, computed with its own discriminator."""
import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from oasis_jax.metrics.equilibrium import DI_FORMULA, ClassMeans, di
from oasis_jax.metrics.metric import PHOTOS, RAW_SAMPLES, Finding, hash_weights, sum_counts
from oasis_jax.parallel.mesh import over_batch, replicate
from oasis_jax.ranges import normalise

WINDOW = 5000  # images of each kind


@dataclasses.dataclass(frozen=True, eq=False)
class Disequilibrium:
    """The disequilibrium indicator, DI = mean D(real) - mean D(fake), and both means; a `metric.Metric`. EqGAN-SA gives no formula.

    D(.) are raw logits of the run's own D. The means are over a fixed window: the first W = min(WINDOW, number of real examples) examples
    of the protocol, in the fixed random order of `Validation`, and as many samples of G itself, not of its average, with the seeds
    noise_seed to noise_seed + W - 1. Generated images are rounded to bytes, as real ones are.

    A logit depends on the other images of its group (minibatch standard deviation). Images k * group_size to (k + 1) * group_size - 1 of a
    set are a group, so that the logits depend neither on eval.batch_size nor on the devices; the last group may repeat its images, but
    each counts once.

    Attributes:
        discriminator: module with a field `group_size`; images (B, H, W, 3) float32 in [-1, 1] -> logits (B,).
        variables: its variables; None if only the names of the metric are needed.
        mesh: mesh of this process's devices.
    """

    discriminator: Any
    variables: Any = None
    mesh: Any = None

    window: ClassVar = WINDOW
    sets: ClassVar = (PHOTOS, RAW_SAMPLES)
    higher_is_better: ClassVar = {}  # a lower indicator alone does not mean better images
    of_run: ClassVar = True
    rows: ClassVar = {}
    merge: ClassVar = staticmethod(sum_counts)

    @functools.cached_property
    def identity(self):
        return [type(self).__name__, repr(self.discriminator), hash_weights(self.variables), self.window]

    @functools.cached_property
    def _placed(self):
        return replicate(self.variables, self.mesh)

    @property
    def group_size(self):
        return self.discriminator.group_size

    def start(self):
        return vars(ClassMeans.empty(1))

    def add(self, counts, batch):
        size, group = len(batch.bytes), self.group_size
        count = min(batch.count, self.window - batch.first)
        if count <= 0:
            return counts, {}
        images = jax.device_put(batch.bytes[grouped(count, size, group)], over_batch(self.mesh))
        values = np.asarray(logits(self.discriminator, self._placed, images))[:count]
        return vars(ClassMeans(**counts).update(values, np.zeros(len(values), int))), {}

    def finish(self, reference, scored):
        real, fake = (ClassMeans(**measured.counts) for measured in (reference, scored))
        scores = {"di": di(real, fake), "mean_logit_real": float(real.means[0]), "mean_logit_fake": float(fake.means[0])}
        window = (
            f"over a fixed window: {real.count[0]} real examples of the protocol and as many samples of the generator in training, "
            f"in groups of {self.discriminator.group_size}"
        )
        return Finding(scores, notes=(f"{DI_FORMULA}, raw logits, {window}",))


def grouped(count, size, group_size):
    """Indices (size,) of a batch's images; an incomplete last group is filled by repeating its images from its start.

    Args:
        count: number of images that count.
        size: number of images in the batch, a multiple of group_size.
        group_size: number of consecutive images that form a group.
    """
    indices, start = np.arange(size), count - count % group_size
    return np.where(indices < count, indices, start + (indices - start) % max(count - start, 1))


@functools.partial(jax.jit, static_argnums=0)
def logits(discriminator, variables, images):
    """Logits (B,) float32 of uint8 images (B, H, W, 3), with each group of consecutive images computed separately."""
    groups = normalise(images).reshape(-1, discriminator.group_size, *images.shape[1:])
    return jax.vmap(lambda group: discriminator.apply(variables, group))(groups).reshape(-1).astype(jnp.float32)
