"""The photos, targets and networks of a protocol, ready to score any set of generated images.

With several processes, each measures its part of the images on its own devices; all return the same report.
"""
import dataclasses
import functools
import math
import pathlib

import jax

from oasis_jax.data.labels import DataError
from oasis_jax.evaluation.cache import cache_folder, remembered
from oasis_jax.evaluation.diversity import measure_diversity
from oasis_jax.evaluation.image_set import measure
from oasis_jax.evaluation.networks import load_networks, make_metrics
from oasis_jax.evaluation.report import Report, combine
from oasis_jax.evaluation.sources import Examples, Folder, Photos, Samples, Targets
from oasis_jax.metrics.metric import PHOTOS, RAW_SAMPLES, SAMPLES, Finding
from oasis_jax.parallel.mesh import over_batch, padded_batch_size, replicated


class Validation:
    """Everything that an evaluation needs besides the images to score. Creating it reads the weights of all networks.

    Args:
        protocol: Protocol.
        split: the Split that `protocol.split` names.
        spec: its DataSpec; sizes and crop are replaced by those of the protocol.
        mesh: of this process's devices.
        batch_size: images per batch, rounded up to a multiple of the number of devices, and of the groups of metrics.
        weights: paths of the networks' weights, as `networks.load_networks` takes them.
        cache: folder of cached measurements; by default `cache.cache_folder()`.

    Attributes:
        protocol: the Protocol.
        networks: its Networks.
        examples: Examples.
        photos: the source of real photos.

    Raises:
        WeightsError, DataError: naming the file or field, and how to fix it; or the images are too few or too small for the protocol.
        ValueError: the protocol's segmentation network cannot compare label maps at this image size.
    """

    def __init__(self, protocol, split, spec, mesh, batch_size=8, weights=None, cache=None):
        self.protocol, self.mesh = protocol, mesh
        self._cache = pathlib.Path(cache or cache_folder())
        spec = dataclasses.replace(spec, image_size=protocol.image_size or spec.image_size, resize_size=(), cache=False)
        place, spread = (functools.partial(jax.device_put, device=sharding(mesh)) for sharding in (replicated, over_batch))
        self.networks = load_networks(protocol, weights, place, spread)
        self._batch_size = batch_size
        targets = None
        if segmenter := self.networks.segmenter:
            if not split.column("label_map"):
                raise DataError(f"protocol {protocol.name} compares label maps, which the data do not have: choose another, such as fid")
            targets = Targets(split, segmenter.labels, tuple(segmenter.label_size(spec.image_size)))
        if not split.column("label_map"):
            split = split.shuffled()  # so that the first examples are representative: neighbours can be frames of one video
        self.examples = Examples(split, spec, min(len(split), protocol.max_images or len(split)), targets)
        self.photos = Photos(self.examples)
        self._check_features(split)

    def _check_features(self, split):
        """Raises DataError if features cannot be compared: before hours of training rather than at the first evaluation."""
        protocol, (height, width), least = self.protocol, self.examples.spec.image_size, self.networks.least_side
        if not protocol.features:
            return
        other = "or choose another protocol, such as plain (eval.protocol)"
        if min(height, width) < least:
            small = f"images of {height}x{width} are too small for {protocol.features}, which needs {least}x{least}"
            raise DataError(f"{small}: set a larger data.image_size, {other}")
        photos = self.examples.count
        images = min(photos, protocol.num_samples or photos * protocol.samples_per_label)
        if images < 2:
            few = f"protocol {protocol.name} compares distributions of 2 images or more, the {split.name} split gives {images}"
            raise DataError(f"{few}: {'add photos' if len(split) < 2 else 'raise eval.max_examples'}, {other}")

    def samples(self, model):
        """The source of a family.Model's images."""
        return Samples(model, self.examples, self.protocol, self.mesh)

    def folder(self, path):
        """The source of another system's images; raises DataError as Folder does."""
        return Folder(path, self.examples)

    def evaluate(self, generated, subject, own=None, keep=True, diversity=False):
        """Scores a set of generated images. Every process must call this.

        Args:
            generated: a source, from `samples` or `folder`.
            subject: JSON value that says what was generated, for the report.
            own: result of `family.own_networks` for the model's run; None omits the scores that need these networks.
            keep: whether to cache the measurements, so that the evaluation can be resumed and is not repeated. If not, only the counts of
                real photos are cached, and only if the protocol names a network.
            diversity: whether to measure the diversity of `generated`, which must be from `samples`.

        Returns:
            Report.

        Raises:
            ValueError: features that are not finite, or fewer than two images in the folder of another system.
        """
        split, metrics, sources = self.examples.split, self._metrics(), {PHOTOS: self.photos, SAMPLES: generated}
        if own is not None:
            own_metrics, raw = own
            metrics += own_metrics
            windows = [window for metric in own_metrics if (window := getattr(metric, "window", None))]
            examples = dataclasses.replace(self.examples, count=min([self.examples.count, *windows]))
            as_many_as_photos = dataclasses.replace(self.protocol, samples_per_label=1, num_samples=0)
            sources[RAW_SAMPLES] = Samples(raw, examples, as_many_as_photos, self.mesh, RAW_SAMPLES)
        batch_size = padded_batch_size(self._batch_size, self.mesh, math.lcm(*(getattr(metric, "group_size", 1) for metric in metrics)))
        measured, networked = {}, bool(self.protocol.features or self.protocol.segmenter)
        for name, source in sources.items():
            wanted = [metric for metric in metrics if name in metric.sets]
            kept = [metric for metric in wanted if keep or (name == PHOTOS and networked and not metric.of_run)]
            found = measure(source, wanted, batch_size, self._cache, kept.__contains__) if wanted else []
            measured |= {(metric, name): each for metric, each in zip(wanted, found, strict=True)}
        findings = [metric.finish(*(measured[metric, name] for name in metric.sets)) for metric in metrics]
        if diversity:
            findings.append(measure_diversity(generated, self.networks.lpips, functools.partial(remembered, self._cache)))
            if self.networks.lpips is None:
                findings.append(Finding({}, notes=("lpips was not measured: there are no weights of VGG16",)))
        findings.append(Finding({}, notes=tuple(generated.notes)))
        images, asked = {"generated": len(generated.names), "real": len(self.photos.names)}, self.protocol.num_samples
        if asked and images["generated"] != asked:
            note = f"the protocol uses {asked} generated images, this set has {images['generated']}: do not compare with its other scores"
            findings.append(Finding({}, notes=(note,)))
        rows = {"per_class": split.class_names if split.column("label_map") else ()}
        if segmenter := self.networks.segmenter:
            rows["segmented"] = segmenter.labels.class_names
        return Report(self._described(), dict(self.networks.sha256), subject, images, **combine(findings, rows))

    def _metrics(self):
        split = self.examples.split
        num_classes = split.rule.num_classes if split.column("label_map") else 0
        return make_metrics(self.protocol, self.networks, num_classes, self.examples.spec.dontcare_id)

    def _described(self):
        """The whole protocol as a JSON value."""
        size = self.examples.spec.image_size
        described = dataclasses.asdict(self.protocol)
        described |= {"image_size": list(size), "resize": self.examples.split.column("image").fitting}
        if segmenter := self.networks.segmenter:
            space = segmenter.labels
            ignored = f"stored ids but {', '.join(map(str, space.stored_ids))}" if space.num_classes < 40 else "stored ids of no class"
            described |= {"label_size": list(segmenter.label_size(size)), "ignored": ignored}
        return described
