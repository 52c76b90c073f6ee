"""Laws of the disequilibrium indicator, with a discriminator whose logits depend on the other images of a group."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from oasis_jax.data.columns import Photo
from oasis_jax.data.datasets import DataSpec
from oasis_jax.data.split import Example, Split
from oasis_jax.eqgan.scores import Disequilibrium, grouped
from oasis_jax.evaluation.sources import Samples
from oasis_jax.evaluation.validation import Validation
from oasis_jax.metrics.metric import PHOTOS, RAW_SAMPLES, Batch, Measured
from oasis_jax.metrics.protocols import Protocol
from oasis_jax.parallel.mesh import make_mesh
from tests import toy_family

GROUP = 4


class Discriminator(nn.Module):
    """One logit per image, which depends on the standard deviation over a strided group."""

    group_size: int = GROUP

    @nn.compact
    def __call__(self, image):
        x = nn.relu(nn.Conv(5, (3, 3), (2, 2))(image))
        groups = x.reshape(self.group_size, -1, *x.shape[1:])
        deviation = jnp.sqrt(groups.var(0) + 1e-8).mean((1, 2, 3))
        return nn.Dense(1)(jnp.concatenate([x.mean((1, 2)), 10 * jnp.tile(deviation, self.group_size)[:, None]], 1))[:, 0]


@pytest.fixture(scope="module")
def metric():
    variables = Discriminator().init(jax.random.key(0), jnp.zeros((GROUP, 8, 8, 3)))
    return Disequilibrium(Discriminator(), variables, make_mesh(jax.devices()[:1]))


def images(seed, count):
    scale = np.random.default_rng(seed).uniform(0.1, 1, (count, 1, 1, 1))
    return (scale * np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3))).astype(np.uint8)


def batches(images, size):
    """Yields batches as an evaluation does: the last one is padded."""
    for first in range(0, len(images), size):
        part = images[first : first + size]
        yield Batch(np.concatenate([part, part[-1:].repeat(size - len(part), 0)]), None, None, first, len(part))


def measured(metric, images, size):
    counts = functools.reduce(lambda counts, batch: metric.add(counts, batch)[0], batches(images, size), metric.start())
    return Measured(len(images), counts, {})


def by_hand(metric, images):
    """Returns the logits, computed one group at a time; an incomplete last group is filled up with its own images, from its first on."""
    found = []
    for first in range(0, len(images), GROUP):
        group = images[first : first + GROUP]
        full = np.resize(group, (GROUP, *group.shape[1:]))  # repeats from the start
        found.extend(np.asarray(metric.discriminator.apply(metric.variables, full / np.float32(127.5) - 1))[: len(group)])
    return np.asarray(found, np.float64)


def test_it_is_the_difference_of_the_mean_logits_which_are_reported_too(metric):
    real, fake = images(0, 10), images(1, 10)
    found = metric.finish(measured(metric, real, 8), measured(metric, fake, 8))
    expected = {name: by_hand(metric, each).mean() for name, each in (("mean_logit_real", real), ("mean_logit_fake", fake))}
    expected["di"] = expected["mean_logit_real"] - expected["mean_logit_fake"]
    assert found.scores == pytest.approx(expected, rel=1e-5)
    assert abs(expected["di"]) > 1e-3
    (note,) = found.notes
    assert "DI = mean D(real) - mean D(fake)" in note and "over a fixed window: 10 real examples" in note


@pytest.mark.parametrize("count", [3, 4, 10, 24])
def test_it_depends_neither_on_the_batch_size_nor_on_how_processes_share_the_images(metric, count):
    whole = by_hand(metric, images(0, count)).mean()
    for size in (4, 8, 12):
        counts = measured(metric, images(0, count), size).counts
        assert counts["count"] == [count] and counts["total"] / counts["count"] == pytest.approx(whole, rel=1e-5)
        first, second = (measured(metric, part, size).counts for part in np.split(images(0, count), [size]))
        merged = metric.merge(first, second)
        assert merged["count"] == [count] and merged["total"] == pytest.approx(counts["total"], rel=1e-6)


def test_a_logit_depends_on_its_group(metric):
    """Otherwise the test above would prove nothing."""
    other = np.concatenate([images(0, 4)[:1], images(1, 3)])
    assert abs(by_hand(metric, images(0, 4))[0] - by_hand(metric, other)[0]) > 1e-3


@pytest.mark.parametrize(
    ("count", "expected"), [(8, [0, 1, 2, 3, 4, 5, 6, 7]), (6, [0, 1, 2, 3, 4, 5, 4, 5]), (3, [0, 1, 2, 0]), (1, [0, 0, 0, 0])]
)
def test_an_incomplete_group_is_filled_up_from_its_start(count, expected):
    assert grouped(count, 8, GROUP)[: len(expected)].tolist() == expected


def test_sets_of_different_sizes_are_refused(metric):
    with pytest.raises(ValueError, match="as many real as generated"):
        metric.finish(measured(metric, images(0, 8), 8), measured(metric, images(1, 7), 8))


def test_values_that_are_not_finite_are_an_error(metric):
    broken = dataclasses.replace(metric, variables=jax.tree.map(lambda leaf: leaf * np.nan, metric.variables))
    with pytest.raises(ValueError, match="NaN or infinite"):
        measured(broken, images(0, 4), 4)


def test_it_compares_photos_with_the_generator_in_training_and_chooses_no_checkpoint(metric):
    named = Disequilibrium(Discriminator())
    assert named.sets == (PHOTOS, RAW_SAMPLES) and named.of_run and not named.higher_is_better
    other = dataclasses.replace(metric, variables=jax.tree.map(lambda leaf: leaf + 1, metric.variables))
    assert len({str(each.identity) for each in (metric, other, dataclasses.replace(metric, discriminator=Discriminator(2)))}) == 3


SIZE = (16, 32)


@pytest.fixture(scope="module")
def model():
    config = toy_family.get_config()
    state = jax.device_get(toy_family.train_step(config).init(SIZE))
    return toy_family.model(config, jax.tree.map(lambda leaf: 3 * leaf, state.generator), 1)


def evaluated(metric, model, photos, cache, batch_size=4, **protocol):
    """Returns (scores, notes) of a model against photos, in the order in which their files are sorted."""
    examples = tuple(Example(f"{i:04d}") for i in range(len(photos)))
    split = Split("val", examples, (Photo(),), read_arrays=lambda i: {"image": photos[i]})
    spec = DataSpec(layout="scenes", image_size=SIZE)
    validation = Validation(Protocol("tiny", **protocol), split, spec, metric.mesh, batch_size, cache=cache)
    report = validation.evaluate(validation.samples(model), {}, ([metric], model))
    return report.scores, report.notes


def films(count, frames):
    """Returns the frames of `count` films, one film after the other: neighbouring frames are nearly equal."""
    rng = np.random.default_rng(0)
    first = rng.uniform(0.1, 1, (count, 1, 1, 1, 1)) * rng.integers(16, 240, (count, 1, *SIZE, 3))
    return (first + rng.integers(0, 5, (count, frames, *SIZE, 3))).astype(np.uint8).reshape(-1, *SIZE, 3)


def test_it_does_not_depend_on_the_order_of_the_files(metric, model, tmp_path):
    """If photos are frames of films, groups of neighbouring files would have nearly no deviation."""
    photos = films(64, GROUP)
    renamed = photos[np.random.default_rng(1).permutation(len(photos))]
    of_films, of_any = (evaluated(metric, model, each, tmp_path / name, 64)[0]["di"] for name, each in (("a", photos), ("b", renamed)))
    neighbours = by_hand(metric, photos).mean() - by_hand(metric, renamed).mean()
    assert abs(of_films - of_any) < 0.1 * abs(neighbours)


def test_only_a_window_is_counted_and_generated(metric, model, tmp_path, monkeypatch):
    """Whatever the evaluation's batch size and number of images are, and for a window that does not divide into groups."""
    monkeypatch.setattr(Disequilibrium, "window", 6)
    photos, generate, seen = films(10, 1), Samples.generate, []

    def seeds(source, columns, seeds):
        seen.extend(np.asarray(seeds).tolist() if source.description == RAW_SAMPLES else [])
        return generate(source, columns, seeds)

    monkeypatch.setattr(Samples, "generate", seeds)
    first = photos[np.random.default_rng(0).permutation(10)[:6]]
    expected = {"mean_logit_real": by_hand(metric, first).mean(), "mean_logit_fake": by_hand(metric, model.sample(6, seed=100)).mean()}
    for batch_size in (3, 8):  # batches are rounded up to whole groups
        seen.clear()
        scores, notes = evaluated(metric, model, photos, tmp_path, batch_size, noise_seed=100, num_samples=9)
        assert seen == list(range(100, 108))  # the last batch is filled up
        assert {name: scores[name] for name in expected} == pytest.approx(expected, rel=1e-3)
        assert any("6 real examples of the protocol" in note for note in notes)
    monkeypatch.setattr(Disequilibrium, "window", 60)
    _, notes = evaluated(dataclasses.replace(metric), model, photos, tmp_path, num_samples=9)
    assert any("10 real examples of the protocol" in note for note in notes)
