"""Draws the heatmaps of a training stream (tf.random, stateless): those of position p are a pure function of (seed, p, batch size)."""
import tensorflow as tf

from oasis_jax.heatmaps import NUM_MAPS, place

PURPOSES = (1, 2)  # folded into a position's random seed for the G and for the D update; crop and flip use the pair (seed, position) itself


def draw(seed, position, batch_size):
    """Draws heatmap centres and widths for both updates that use example `position` of the stream.

    Args:
        seed: int.
        position: () int64 tensor.
        batch_size: B; the B examples of a step share the width of the coarse map, as in the published sampler.

    Returns:
        (2, 7, 3) float32: centre y, centre x and width of each map, for the G and for the D update.
    """
    return tf.stack([_draw(seed, position, batch_size, purpose) for purpose in PURPOSES])


def _draw(seed, position, batch_size, purpose):
    numbers = (position, position // batch_size)
    of_position, of_step = (tf.random.experimental.stateless_fold_in([seed, number], purpose) for number in numbers)
    for_normal, for_uniform = tf.unstack(tf.random.split(of_position, 2))
    uniform = tf.random.stateless_uniform((NUM_MAPS, 3), for_uniform)
    is_coarse_width = tf.reshape(tf.range(3 * NUM_MAPS) == 2, (NUM_MAPS, 3))
    uniform = tf.where(is_coarse_width, tf.random.stateless_uniform((), of_step), uniform)
    return place(tf.random.stateless_normal((1, 3), for_normal), uniform, tf.clip_by_value)
