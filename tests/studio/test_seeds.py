"""In JavaScript, a seed gives the same noise and heatmaps as in Python."""
import numpy as np

from oasis_jax import heatmaps, noise
from tests.studio.javascript import MARKS, run

pytestmark = MARKS
SEEDS = 0, 1, 7, 123_456, 2**31, 2**32 - 1


def test_noise_vectors_are_those_of_jax(tmp_path):
    script = 'const { noiseVector } = await import("./seeds.js"); return given.map((seed) => [...noiseVector(seed, 300)]);'
    for seed, found in zip(SEEDS, run(tmp_path, script, SEEDS), strict=True):
        np.testing.assert_allclose(found, noise.noise_vector(seed, 300), rtol=0, atol=5e-7)


def test_heatmaps_are_those_of_a_seed(tmp_path):
    script = 'const { heatmapsOf } = await import("./seeds.js"); return given.seeds.map((seed) => heatmapsOf(seed, given.rule));'
    for seed, found in zip(SEEDS, run(tmp_path, script, {"seeds": SEEDS, "rule": heatmaps.formula_of_seed()}), strict=True):
        np.testing.assert_allclose(found, heatmaps.of_seed(seed), rtol=0, atol=1e-7)


def test_a_position_between_two_noises_is_the_same_vector(tmp_path):
    script = """
        const { noiseVector, slerp } = await import("./seeds.js");
        const [a, b, zero] = [noiseVector(1, 16), noiseVector(2, 16), new Float32Array(16)];
        return given.flatMap((t) => [[a, b], [a, a], [a, a.map((x) => -x)], [zero, b]].map(([from, to]) => [...slerp(from, to, t)]));
    """
    positions = 0.0, 0.3, 1.0
    a, b = noise.noise_vector(1, 16), noise.noise_vector(2, 16)
    expected = [noise.slerp(*pair, t) for t in positions for pair in ((a, b), (a, a), (a, -a), (np.zeros_like(a), b))]
    np.testing.assert_allclose(run(tmp_path, script, positions), expected, rtol=0, atol=1e-6)
