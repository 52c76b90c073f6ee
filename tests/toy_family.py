"""A second model family in one file: an unconditional GAN of two layers. It shows what a family must provide, and that this is enough."""
import dataclasses
import sys
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from flax import linen as nn

from configs import default
from oasis_jax import sampling
from oasis_jax.metrics.metric import PHOTOS, RAW_SAMPLES, Finding, sum_counts
from oasis_jax.metrics.protocols import Protocol
from oasis_jax.recipes import as_recipes, count_from
from oasis_jax.updates import create_state, descend

Z_DIM = 4
protocols = (Protocol("toy-13", split="train", num_samples=13),)
published_files, free_model_fields, fixed_train_fields = {}, (), ()


def install():
    """Makes `config.family = "toy"` find this module."""
    sys.modules["oasis_jax.toy.family"] = sys.modules[__name__]


def get_config():
    config = default.shared()
    config.family = "toy"
    config.model = ml_collections.ConfigDict({"width": 8})
    config.train.lr = 1e-3
    config.data.update(layout="scenes", image_size=(16, 32), scenes_train=8, scenes_val=5)
    config.train.update(batch_size=8, num_steps=6)
    config.log.update(every_steps=2)
    config.eval.update(batch_size=4, score="texture_distance", every_steps=0)
    config.checkpoint.every_steps = 3
    return config.lock()


class Generator(nn.Module):
    width: int

    @nn.compact
    def __call__(self, z):
        x = nn.Dense(4 * 8 * self.width)(z).reshape(-1, 4, 8, self.width)
        x = jax.image.resize(nn.relu(x), (len(z), 16, 32, self.width), "nearest")
        return nn.tanh(nn.Conv(3, (3, 3))(x))


class Discriminator(nn.Module):
    width: int

    @nn.compact
    def __call__(self, image):
        return nn.Dense(1)(nn.relu(nn.Conv(self.width, (3, 3), (2, 2))(image)).mean((1, 2)))[:, 0]


@dataclasses.dataclass(frozen=True)
class TrainStep:
    generator: Generator
    discriminator: Discriminator
    optimizer: optax.GradientTransformation
    lr: float
    seed: int

    recent_batches: ClassVar = 0
    splits_rows: ClassVar = False
    legend: ClassVar = {"score_gap": "mean D(real) - mean D(fake)"}
    advice: ClassVar = {}

    def init(self, image_size):
        keys = jax.random.split(jax.random.key(self.seed))
        networks = self.generator.init(keys[0], jnp.zeros((1, Z_DIM))), self.discriminator.init(keys[1], jnp.zeros((1, *image_size, 3)))
        return create_state(*networks, self.optimizer, self.optimizer)

    def __call__(self, state, batch):
        real = batch["image"].astype(jnp.float32) / 127.5 - 1
        z = jax.random.normal(jax.random.fold_in(jax.random.key(self.seed), state.step), (len(real), Z_DIM))

        def loss_g(params):
            loss = nn.softplus(-self.discriminator.apply(state.discriminator, self.generator.apply({"params": params}, z))).mean()
            return loss, loss

        params_g, opt_state_g, of_g = descend(loss_g, state.generator["params"], self.optimizer, state.opt_state_g)
        fake = self.generator.apply({"params": params_g}, z)

        def loss_d(params):
            on_real, on_fake = (self.discriminator.apply({"params": params}, image) for image in (real, fake))
            loss = nn.softplus(-on_real).mean() + nn.softplus(on_fake).mean()
            return loss, (loss, on_real.mean() - on_fake.mean())

        params_d, opt_state_d, (of_d, gap) = descend(loss_d, state.discriminator["params"], self.optimizer, state.opt_state_d)
        state = state.replace(
            step=state.step + 1,
            generator={"params": params_g},
            discriminator={"params": params_d},
            ema={"params": jax.tree.map(lambda old, new: 0.5 * (old + new), state.ema["params"], params_g)},
            opt_state_g=opt_state_g,
            opt_state_d=opt_state_d,
        )
        return state, {"loss_g": of_g, "loss_d": of_d, "score_gap": gap}

    def averaged(self, state, recent):
        return state.ema

    def learning_rates(self, step):
        return {"lr": self.lr}

    def describe(self, image_size):
        return f"a toy that generates {image_size}"


@dataclasses.dataclass(frozen=True)
class Generate:
    generator: Generator

    def __call__(self, variables, inputs):
        return self.generator.apply(variables, inputs["z"])


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    generator: Generator
    variables: Any
    config: Any
    step: int

    columns: ClassVar = ()
    has_noise: ClassVar = True
    spatially_aware: ClassVar = False

    @property
    def image_size(self):
        return tuple(self.config.data.image_size)

    @property
    def generate(self):
        return Generate(self.generator)

    def inputs(self, recipes, batch):
        return {"z": np.concatenate([recipe.noise(1, Z_DIM) for recipe in as_recipes(recipes)])}

    def images(self, inputs):
        return sampling.one_by_one(self.generate, self.variables, inputs)

    def sample(self, count, seed=0):
        return self.images(self.inputs(count_from(seed, count), {}))


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreGap:
    """The discriminator's mean output on real photos minus that on images of the generator in training."""

    discriminator: Discriminator
    variables: Any

    sets: ClassVar = (PHOTOS, RAW_SAMPLES)
    higher_is_better: ClassVar = {"score_gap_of_set": False}
    of_run: ClassVar = True
    rows: ClassVar = {}
    merge: ClassVar = staticmethod(sum_counts)

    @property
    def identity(self):
        return ["score_gap", [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(self.variables)]]

    def start(self):
        return {"total": np.zeros(()), "count": np.zeros((), int)}

    def add(self, counts, batch):
        outputs = self.discriminator.apply(self.variables, batch.bytes[: batch.count] / 127.5 - 1)
        return sum_counts(counts, {"total": np.asarray(outputs.sum(), np.float64), "count": np.asarray(batch.count)}), {}

    def finish(self, reference, scored):
        real, fake = (measured.counts["total"] / measured.counts["count"] for measured in (reference, scored))
        return Finding({"score_gap_of_set": float(real - fake)})


def columns(config):
    return ("image",)


def statistic(config):
    return None


def train_step(config, survey=None):
    networks = Generator(config.model.width), Discriminator(config.model.width)
    return TrainStep(*networks, optax.adam(config.train.lr), config.train.lr, config.seed)


def model(config, variables, step, survey=None):
    return Model(Generator(config.model.width), variables, config, step)


def scores(config, networks, mesh=None):
    return [ScoreGap(Discriminator(config.model.width), networks and jax.device_get(networks["discriminator"]))]


def default_protocol(config):
    return "plain"
