"""A tiny evaluation: scenes, a random generator, and simple functions in place of networks.

As a program, `tiny_evaluation.py FOLDER DEVICES` prints its results on that many devices, as one of several processes if the environment
says so.
"""
import dataclasses
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

from configs import scenes
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.scenes import CLASS_NAMES
from oasis_jax.evaluation.image_set import measure
from oasis_jax.evaluation.networks import Networks, make_metrics
from oasis_jax.evaluation.sources import Examples, Photos, Targets
from oasis_jax.evaluation.validation import Validation
from oasis_jax.family import own_networks
from oasis_jax.metrics.nets.label_spaces import LabelSpace
from oasis_jax.metrics.protocols import Protocol, find_protocol
from oasis_jax.metrics.segmentation import MeanOver
from oasis_jax.oasis import family
from oasis_jax.parallel.mesh import make_mesh, over_batch, padded_batch_size, replicated
from oasis_jax.parallel.processes import join
from tests import toy_family
from tests.tiny_run import random_state

SPACE = LabelSpace(tuple(CLASS_NAMES[1:]) + ("void",), tuple(range(1, len(CLASS_NAMES))), MeanOver.ALL)


@dataclasses.dataclass(frozen=True)
class ThresholdSegmenter:
    """Describes `segment`, which stands in for a segmentation network: brighter pixels have larger classes."""

    labels = SPACE

    def label_size(self, image_size):
        return tuple(image_size)


def extract(images):
    """Stands in for a feature network: the means (B, 12) of the quarters of images."""
    images = images / 255.0 if images.dtype == jnp.uint8 else images
    batch, height, width, _ = images.shape
    return jnp.asarray(images, jnp.float32).reshape(batch, 2, height // 2, 2, width // 2, 3).mean((2, 4)).reshape(batch, 12)


def segment(images):
    return np.asarray(images).mean(-1).astype(int) * SPACE.num_outputs // 256


NETWORKS = Networks(extract=extract, dimensions=12, segmenter=ThresholdSegmenter(), segment=segment, sha256={"quarters": "0"})
PROTOCOL = dataclasses.replace(find_protocol("plain"), features="vgg16", diversity_samples=3)
UNCONDITIONAL = Protocol("tiny", features="vgg16", num_samples=13)


def make_config():
    config = scenes.get_config()
    config.data.update(image_size=(16, 32), scenes_train=4, scenes_val=10, num_classes=len(CLASS_NAMES))
    config.model.update(num_blocks=2, channels=2, spade_hidden=4, z_dim=4, d_channels=(4, 4), d_last=4)
    config.eval.batch_size, config.train.coarse_steps = 4, 0
    return config


def make_model(config, seed=0):
    return family.model(config, random_state(config, seed).ema, 7)


def make_validation(config, cache, protocol=PROTOCOL, devices=1, count=10):
    validation = _without_weights(config, cache, protocol, devices, ("image", "label_map"))
    split = validation.examples.split
    validation.networks = dataclasses.replace(validation.networks, segmenter=NETWORKS.segmenter, segment=NETWORKS.segment)
    validation.examples = Examples(split, validation.examples.spec, count, Targets(split, SPACE, (16, 32)))
    validation.photos = Photos(validation.examples)
    return validation


def make_unconditional(cache, devices=1):
    """(Validation by UNCONDITIONAL, model, its `own_networks`) of the toy family."""
    toy_family.install()
    config = toy_family.get_config()
    validation = _without_weights(config, cache, UNCONDITIONAL, devices, toy_family.columns(config))
    state = toy_family.train_step(config).init(config.data.image_size)
    model = toy_family.model(config, jax.tree.map(lambda leaf: 1.5 * leaf, jax.device_get(state.ema)), 7)
    return validation, model, own_networks(config, model, jax.device_get(state), validation.mesh)


def _without_weights(config, cache, protocol, devices, columns):
    spec = DataSpec.of_config(config.data)
    plain = dataclasses.replace(protocol, features="")  # no weights are read
    mesh = make_mesh(jax.local_devices()[:devices])
    validation = Validation(plain, open_split(spec, protocol.split, columns), spec, mesh, config.eval.batch_size, cache=cache)
    on_mesh = jax.jit(extract, in_shardings=over_batch(validation.mesh))
    validation.protocol, validation.networks = protocol, dataclasses.replace(NETWORKS, extract=on_mesh, segmenter=None, segment=None)
    return validation


def everything(folder, devices=1):
    """All results of an evaluation, for JSON: the report with diversity and scores by D, the metrics' counts, and their rows per image.

    The report on the toy family is under "unconditional".
    """
    config = make_config()
    validation = make_validation(config, folder, dataclasses.replace(PROTOCOL, diversity_maps=3, samples_per_label=2), devices)
    state = jax.device_put(random_state(config), replicated(make_mesh()))  # as in training: on the devices of all processes
    model = family.model(config, jax.device_get(state.ema), 7)
    own = own_networks(config, model, state, validation.mesh)
    report = validation.evaluate(validation.samples(model), {}, own, diversity=True)
    metrics = make_metrics(PROTOCOL, validation.networks, len(CLASS_NAMES))
    measured = measure(validation.samples(model), metrics, padded_batch_size(4, validation.mesh), pathlib.Path(folder))
    counts = {f"{i} {name}": np.asarray(count).tolist() for i, each in enumerate(measured) for name, count in each.counts.items()}
    rows = {name: np.asarray(rows).tolist() for each in measured for name, rows in each.rows.items()}
    validation, model, own = make_unconditional(folder, devices)
    unconditional = validation.evaluate(validation.samples(model), {}, own)
    return {"report": json.loads(report.as_json()), "counts": counts, "rows": rows, "unconditional": json.loads(unconditional.as_json())}


if __name__ == "__main__":
    join()
    print(json.dumps(everything(sys.argv[1], int(sys.argv[2]))))
