"""A tiny evaluation: scenes, a random generator, and simple functions in the place of networks.

As a program, `tiny_evaluation.py FOLDER DEVICES`: its scores on so many devices, in one of several processes if the environment says so.
"""
import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from configs import scenes
from oasis_jax import build
from oasis_jax.data.datasets import open_split
from oasis_jax.data.scenes import CLASS_NAMES
from oasis_jax.evaluation.sources import Targets
from oasis_jax.evaluation.validation import Validation
from oasis_jax.metrics.judges import Judges
from oasis_jax.metrics.nets.label_spaces import LabelSpace
from oasis_jax.metrics.protocols import find_protocol
from oasis_jax.metrics.segmentation import MeanOver
from oasis_jax.sampling import Model
from oasis_jax.training.evaluation import evaluate as evaluate_by_d
from oasis_jax.training.sharding import join_processes, make_mesh, over_batch, replicated
from tests.tiny_run import random_state

SPACE = LabelSpace(tuple(CLASS_NAMES[1:]) + ("void",), tuple(range(1, len(CLASS_NAMES))), MeanOver.ALL)


@dataclasses.dataclass(frozen=True)
class ThresholdSegmenter:
    """Stands for a network: the class grows with the brightness."""

    labels = SPACE

    def label_size(self, image_size):
        return tuple(image_size)


def extract(images):
    """Stands for a network: means of the image's quarters."""
    images = images / 255.0 if images.dtype == jnp.uint8 else images
    batch, height, width, _ = images.shape
    return jnp.asarray(images, jnp.float32).reshape(batch, 2, height // 2, 2, width // 2, 3).mean((2, 4)).reshape(batch, 12)


def segment(images):
    return np.asarray(images).mean(-1).astype(int) * SPACE.num_outputs // 256


JUDGES = Judges(extract=extract, dimensions=12, segmenter=ThresholdSegmenter(), segment=segment, sha256={"quarters": "0"})
PROTOCOL = dataclasses.replace(find_protocol("plain"), features="vgg16", diversity_samples=3)


def make_config():
    config = scenes.get_config()
    config.data.update(image_size=(16, 32), scenes_train=4, scenes_val=10, num_classes=len(CLASS_NAMES))
    config.model.update(num_blocks=2, channels=2, spade_hidden=4, z_dim=4, d_channels=(4, 4), d_last=4)
    config.eval.batch_size = 4
    return config


def make_model(config, seed=0):
    return Model(build.generator(config), random_state(config, seed).ema, config, 7)


def make_validation(config, cache, protocol=PROTOCOL, devices=1):
    spec = build.data_spec(config)
    plain = dataclasses.replace(protocol, features="")  # no weights are read
    validation = Validation(plain, config, open_split(spec, "val"), spec, make_mesh(jax.local_devices()[:devices]), cache)
    on_mesh = jax.jit(extract, in_shardings=over_batch(validation.mesh))
    validation.protocol, validation.judges = protocol, dataclasses.replace(JUDGES, extract=on_mesh)
    targets = Targets(validation.split, SPACE, (16, 32))
    validation._targets = validation.photos.targets = targets
    return validation


def evaluate(validation, source, keep=True):
    """The Report on a source."""
    return validation.report(source, validation.measure(source, keep), {})


def everything(folder, devices=1):
    """All that an evaluation finds, for JSON: the report with diversity and scores by D, what was counted, and shares by image."""
    config = make_config()
    validation = make_validation(config, folder, dataclasses.replace(PROTOCOL, diversity_maps=3, samples_per_label=2), devices)
    model = make_model(config)
    state = jax.device_put(random_state(config), replicated(make_mesh()))  # as in training: on the devices of all processes
    samples = validation.samples(dataclasses.replace(model, variables=state.ema))
    measured = validation.measure(samples)
    diversity, by_class = validation.diversity(validation.samples(model))
    by_d = evaluate_by_d(build.train_step(config), state.ema, state, validation.split, validation.spec, 4, 0, validation.mesh)
    report = validation.report(samples, measured, {}, diversity | by_d, by_class)
    exact = ("start", "count", "colours", "class_colours", "textures", "confusion", "agreement", "features")
    return {"report": json.loads(report.as_json()), **{name: np.asarray(getattr(measured[1], name)).tolist() for name in exact}}


if __name__ == "__main__":
    join_processes()
    print(json.dumps(everything(sys.argv[1], int(sys.argv[2]))))
