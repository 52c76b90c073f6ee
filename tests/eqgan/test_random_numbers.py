"""Laws of EqGAN-SA's random numbers: initial values have the published scales, and no two purposes share a key."""
import functools

import jax
import jax.numpy as jnp
import numpy as np

from oasis_jax import heatmaps, noise
from oasis_jax.eqgan.discriminator import Discriminator
from oasis_jax.eqgan.generator import Generator
from oasis_jax.eqgan.model import NOISE_MAPS, Generate
from oasis_jax.eqgan.train_step import TrainStep
from oasis_jax.noise import noise_vector
from tests.eqgan.tiny import GENERATOR, SIDE, batch_of, tiny_step


def test_initial_values_have_the_published_scales():
    step = tiny_step()
    state = jax.jit(lambda: step.init((SIDE, SIDE)))()
    seen = {"weight": 0, "bias": 0, "const": 0, "noise": 0, "affine": 0, "mapping": 0}
    for path, leaf in jax.tree_util.tree_leaves_with_path((state.generator, state.discriminator)):
        names = [part.key for part in path[1:]]
        kind = "noise" if names[0] == "noise" else names[-1]
        for name in {kind, *names} & seen.keys():
            seen[name] += 1
        if kind in ("weight", "const", "noise"):
            scaled = leaf / (100 if "mapping" in names else 1)
            assert abs(jnp.mean(jnp.square(scaled)) - 1) < 5 * np.sqrt(2 / leaf.size), names
            assert leaf.size == 1 or abs(jnp.mean(scaled)) < 5 / np.sqrt(leaf.size), names
        else:
            assert np.all(leaf == (kind == "bias" and "affine" in names)), names  # biases, strengths of noise, running means
    assert all(seen.values()), seen
    drawn = [leaf for leaf in jax.tree.leaves((state.generator, state.discriminator)) if np.any(leaf != leaf.ravel()[0])]
    assert len({float(leaf.ravel()[0]) for leaf in drawn}) == len(drawn)  # no two leaves begin alike


def without_draws(init):
    """Returns an `init` that makes zeros instead of drawing; the train step replaces its values anyway."""
    return lambda self, *args: jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(functools.partial(init, self), *args)
    )


def test_every_purpose_has_a_key_of_its_own(monkeypatch):
    """Initial values, steps and images: no key is used twice, to draw or to split, even if the step and the seed are the same number."""
    used, batch = [], batch_of(2)
    noise._drawn.cache_clear()  # so that vectors that other tests have drawn are drawn again

    def recorded(function):
        def record(key, *args, **kwargs):
            if not isinstance(key, jax.core.Tracer):
                used.append(tuple(jax.random.key_data(key).tolist()))
            return function(key, *args, **kwargs)

        return record

    for name in ("normal", "uniform", "split"):
        monkeypatch.setattr(jax.random, name, recorded(getattr(jax.random, name)))
    for module in (Generator, Discriminator):
        monkeypatch.setattr(module, "init", without_draws(module.init))
    monkeypatch.setattr(TrainStep, "update", lambda self, state, image, g, d, key: recorded(lambda key: (state, {}))(key))

    step = tiny_step(path_length=1.0, style_mixing=0.5)
    state, numbers = step.init((SIDE, SIDE)), (0, 1, heatmaps.PURPOSE, NOISE_MAPS)
    for number in numbers:
        step(state.replace(step=jnp.asarray(number)), batch)
    for seed in numbers:
        noise_vector(seed, 8)
        heatmaps.of_seed(seed)
        Generate(GENERATOR, "random")._noise_of(seed)
    # 3 for the networks; per step, 5 for each of its two draws and 1 for its update; per image, 1 for the latent, 3 for the heatmaps and 1
    # for the noise maps.
    assert len(used) == 3 + 4 * (2 * 5 + 1) + 4 * (1 + 3 + 1)
    assert len(set(used)) == len(used)
