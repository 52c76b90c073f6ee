"""A validation split as a protocol sees it: photos, targets and judges together, ready to score any set of images made for it.

Of several processes each measures its part of the images, on its own devices; the report is the same in all of them.
"""
import dataclasses
import functools
import pathlib

import jax

from oasis_jax.evaluation.diversity import measure_diversity
from oasis_jax.evaluation.scores import make_report
from oasis_jax.evaluation.sources import Folder, Photos, Samples, Targets
from oasis_jax.metrics.cache import cache_folder, remembered
from oasis_jax.metrics.image_set import measure
from oasis_jax.metrics.judges import load_judges
from oasis_jax.metrics.protocols import default_protocol, find_protocol
from oasis_jax.training.sharding import over_batch, replicated

WEIGHTS = ("inception", "vgg16", "segmenter")


def choose_protocol(config, name=""):
    """The Protocol of this name, or of config.eval.protocol, or of the data set; raises ValueError if there is no such protocol."""
    data = config.data
    chosen = name or config.eval.protocol or default_protocol(data.layout, data.num_classes, data.scene_categories)
    return find_protocol(chosen)


class Validation:
    """Loading it reads the weights of all networks.

    Args:
        protocol: Protocol.
        config: ConfigDict of the run.
        split: the validation Split.
        spec: its DataSpec; sizes and crop are replaced by those of the protocol.
        mesh: of this process's devices.
        cache: folder of the statistics; by default that of the user.

    Attributes:
        protocol, split, spec: as evaluated.
        photos: the source of real photos.
        judges: Judges.
        count: pairs.

    Raises:
        WeightsError, DataError: with the mend in the message.
    """

    def __init__(self, protocol, config, split, spec, mesh, cache=None):
        self.protocol, self.split, self.mesh = protocol, split, mesh
        self._cache = pathlib.Path(cache or cache_folder())
        self.spec = dataclasses.replace(spec, image_size=protocol.image_size or spec.image_size, resize_size=(), cache=False)
        files = {name: config.eval[f"{name}_weights"] for name in WEIGHTS}
        place, spread = (functools.partial(jax.device_put, device=sharding(mesh)) for sharding in (replicated, over_batch))
        self.judges = load_judges(protocol, files, place, spread)
        self.batch_size = -(-config.eval.batch_size // mesh.size) * mesh.size
        self.count = min(len(split), protocol.max_images or len(split))
        self._dontcare_id = config.data.dontcare_id
        self._targets = None
        if segmenter := self.judges.segmenter:
            self._targets = Targets(split, segmenter.labels, tuple(segmenter.label_size(self.spec.image_size)))
        self.photos = Photos(split, self.spec, self._targets, self.count)

    def samples(self, model):
        """The source of a sampling.Model's images."""
        return Samples(model, self.split, self.spec, self._targets, self.count, self.protocol, self.mesh)

    def folder(self, path):
        """The source of another system's images; raises DataError as Folder does."""
        return Folder(path, self.split, self.spec, self._targets, self.count)

    def measure(self, generated, keep=True):
        """Statistics of the real photos and of a set of generated images.

        Args:
            generated: a source of `samples` or `folder`.
            keep: keep what was measured of the generated images, so that the same evaluation goes on or is not done again.

        Raises:
            ValueError: features that are not finite.
        """
        pass_over = functools.partial(
            measure, judges=self.judges, num_classes=self.split.rule.num_classes, batch_size=self.batch_size, folder=self._cache
        )
        return pass_over(self.photos, description="real photos"), pass_over(generated, description="generated", keep=keep)

    def diversity(self, generated):
        """({score: value}, {column: (N,) values}) of `measure_diversity` of a source of `samples`."""
        return measure_diversity(generated, self.judges.lpips, functools.partial(remembered, self._cache))

    def report(self, generated, measured, subject, extra=None, by_class=None):
        """The Report on a set of generated images.

        Args:
            generated: the source.
            measured: what `measure` found.
            subject: what it is, for the report.
            extra: {score: value} measured elsewhere.
            by_class: {column: (N,) values} measured elsewhere.

        Raises:
            ValueError: fewer than two images.
        """
        report = make_report(self.protocol, self.judges, self.photos, *measured, subject, self._dontcare_id, extra, by_class)
        return dataclasses.replace(report, notes=[*report.notes, *generated.notes])
