"""Laws of what is for short runs: an average that forgets how it began, and class weights with a limit."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from oasis_jax.oasis.losses import class_weights
from tests.oasis.test_train_step import batch_of, differences, first_state, tiny_step


def test_an_average_with_a_warm_up_forgets_how_it_began():
    plain = tiny_step()
    step = jax.jit(dataclasses.replace(plain, hyper=dataclasses.replace(plain.hyper, ema_decay=0.9, ema_warmup=True)))
    before = first_state(plain)
    for number, decay in ((0, 0.1), (5, 6 / 15), (1000, 0.9)):
        after, _ = step(before.replace(step=jnp.int32(number)), batch_of(2))
        expected = jax.tree.map(lambda average, new, decay=decay: decay * average + (1 - decay) * new, before.ema, after.generator)
        assert max(differences(after.ema, expected)) < 1e-6, number


def test_no_class_weighs_more_than_the_limit():
    label_map = np.zeros((1, 8, 8), np.int32)
    label_map[0, 0, 0], label_map[0, 4:] = 1, 2
    free, limited = (np.asarray(class_weights(label_map, 4, -1, limit=limit)) for limit in (0.0, 3.0))
    assert free.max() > 20 and limited.max() == 3
    np.testing.assert_array_equal(limited, np.minimum(free, 3))
