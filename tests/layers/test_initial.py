"""Laws of initial variables that come from a single draw."""
import jax
import jax.numpy as jnp
import numpy as np

from oasis_jax.layers.initial import drawn_at_once

TREE = {"params": {"a": {"weight": jnp.zeros((40, 50)), "bias": jnp.ones(3)}, "b": {"weight": jnp.zeros((30, 50), jnp.float32)}}}


def scale(path, leaf):
    return None if path[-1] == "bias" else {"a": 1.0, "b": 100.0}[path[1]]


def test_each_leaf_has_its_scale_and_numbers_of_its_own():
    drawn = drawn_at_once(TREE, jax.random.key(0), scale)
    assert jax.tree.map(jnp.shape, drawn) == jax.tree.map(jnp.shape, TREE)
    a, b = drawn["params"]["a"], drawn["params"]["b"]
    np.testing.assert_array_equal(a["bias"], TREE["params"]["a"]["bias"])
    for values, deviation in ((a["weight"], 1), (b["weight"], 100)):
        assert abs(np.std(values) / deviation - 1) < 0.05 and abs(np.mean(values)) < 0.1 * deviation
    together = np.concatenate([a["weight"].ravel(), b["weight"].ravel() / 100])
    assert len(np.unique(together)) > 0.99 * together.size


def test_they_are_a_function_of_the_key_and_take_one_draw():
    first, again, other = (drawn_at_once(TREE, jax.random.key(seed), scale) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert np.all(first["params"]["a"]["weight"] != other["params"]["a"]["weight"])
    jaxpr = jax.make_jaxpr(lambda key: drawn_at_once(TREE, key, scale))(jax.random.key(0))
    assert str(jaxpr).count("random_bits") == 1
