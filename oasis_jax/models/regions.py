"""SPADE on regions: the convolutions of the conditioning are computed once for each region and at the pixels near its boundary, exactly.

Ids are constant on large regions. A pixel whose 3x3 neighbourhood holds one id has the hidden vector of that id, and one whose 5x5
neighbourhood does has its gamma and beta; the others are mixed. Beyond the border of the image lies zero padding, so pixels next to it are
mixed. Hence gamma and beta are rows of a short list, K for the ids and one for each 5x5-mixed pixel, and every pixel looks its row up.

Shapes are static: an image has room for `Capacity` mixed pixels. If one has more, its batch is computed by the dense convolutions.
"""
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from oasis_jax.boundaries import mixed
from oasis_jax.models.layers import conv2d

OFFSETS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]  # of the taps of a 3x3 kernel, in its order


class Capacity(NamedTuple):
    """How many mixed pixels an image may have at a level: of their 3x3 neighbourhood (`hidden`), of the 5x5 one (`modulation`)."""

    hidden: int
    modulation: int


@flax.struct.dataclass
class Regions:
    """Conditioning at one level by regions: ids (B, h, w) into a table of vectors (B, K, Y), and the Plan of the ids; a pytree."""

    ids: jax.Array
    table: jax.Array
    plan: "Plan"


@flax.struct.dataclass
class Plan:
    """Where the rows of a level lie, for a batch of B id maps of P pixels with room for (hidden, modulation) = (F, G) mixed ones; a pytree.

    The list of hidden vectors is: K of the ids, F of the 3x3-mixed pixels, one of zeros. The list of gamma and beta is: K, G.

    Attributes:
      fits: (), whether every image's mixed pixels fit.
      rows: (B, P) row of gamma and beta of each pixel.
      patches: (B, G, 9) rows of the hidden vectors around each 5x5-mixed pixel.
      modulated: (B, G) the 5x5-mixed pixels; P stands for none.
      ids: (B, F, 9) ids around each 3x3-mixed pixel, K beyond the border.
      around: (B, F, 9) the pixels that each 3x3-mixed pixel's hidden vector reaches through the taps; P beyond the border.
    """

    fits: jax.Array
    rows: jax.Array
    patches: jax.Array
    modulated: jax.Array
    ids: jax.Array
    around: jax.Array


def make_plan(ids, num_ids, capacity):
    """The Plan of id maps.

    Args:
      ids: (B, H, W) integer, in 0..num_ids-1.
      num_ids: K.
      capacity: Capacity.
    """
    batch, height, width = ids.shape
    pixels = height * width
    ids = ids.astype(jnp.int32)
    flat = ids.reshape(batch, pixels)
    near, far = (mixed(ids, radius, jnp).reshape(batch, pixels) for radius in (1, 2))
    hidden_pixels, modulated = (_positions(mask, room) for mask, room in zip((near, far), capacity, strict=True))
    hidden_rows = jnp.where(near, num_ids + jnp.cumsum(near, axis=1, dtype=jnp.int32) - 1, flat)
    nothing = num_ids + capacity.hidden
    return Plan(
        fits=jnp.all(jnp.sum(near, 1) <= capacity.hidden) & jnp.all(jnp.sum(far, 1) <= capacity.modulation),
        rows=jnp.where(far, num_ids + jnp.cumsum(far, axis=1, dtype=jnp.int32) - 1, flat),
        patches=_look_around(hidden_rows, modulated, height, width, 1, nothing),
        modulated=modulated,
        ids=_look_around(flat, hidden_pixels, height, width, 1, num_ids),
        around=_look_around(jnp.broadcast_to(jnp.arange(pixels), flat.shape), hidden_pixels, height, width, -1, pixels),
    )


def _positions(mask, room):
    """The first `room` true positions of each row of a mask (B, P); P behind them."""
    return jax.vmap(lambda row: jnp.nonzero(row, size=room, fill_value=row.size)[0].astype(jnp.int32))(mask)


def _look_around(values, positions, height, width, sign, outside):
    """values (B, P) at the nine neighbours of positions (B, M), `outside` beyond the border and around no pixel: (B, M, 9)."""
    y, x = (positions // width)[..., None], (positions % width)[..., None]
    down, right = (sign * np.asarray(offsets) for offsets in zip(*OFFSETS, strict=True))
    y, x = jnp.where(positions[..., None] < height * width, y + down, -1), x + right
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    index = jnp.where(inside, y * width + x, 0)
    return jnp.where(inside, _take(values, index), outside)


def _take(rows, index):
    """rows (B, R, ...) at index (B, ...): one look-up in each image."""
    return jax.vmap(lambda r, i: r.at[i].get(mode="promise_in_bounds"))(rows, index)


def _take_or_zero(rows, index):
    """As `_take`, and zeros at an index beyond the last row."""
    return jax.vmap(lambda r, i: r.at[i].get(mode="fill", fill_value=0))(rows, index)


def _sum_rows(values, index, count):
    """(B, count, D): the sum of the values (B, M, D) that have each index (B, M); indices beyond count - 1 are left out."""
    return jax.vmap(lambda v, i: jax.ops.segment_sum(v, i, count, mode="drop"))(values, index)


def hidden_vectors(table, kernel, bias, ids):
    """relu(conv3x3(conditioning)) of the ids' interiors and of the 3x3-mixed pixels.

    A product of the table with the kernel gives what each id adds through each tap; a mixed pixel is the sum of nine look-ups.

    Args:
      table: (B, K, Y) vectors of the ids.
      kernel: (3, 3, Y, D).
      bias: (D,).
      ids: (B, F, 9), as in Plan.

    Returns:
      (B, K, D) and (B, F, D).
    """
    through_taps = jnp.einsum("bky,ijyd->bkijd", table, kernel)
    batch, num_ids, *_, features = through_taps.shape
    through_taps = through_taps.reshape(batch, num_ids, 9, features)
    padded = jnp.pad(through_taps, [(0, 0), (0, 1), (0, 0), (0, 0)])
    add = lambda total, tap: (total + _take(tap[0], tap[1]), None)  # noqa: E731
    zeros = jnp.zeros((*ids.shape[:2], features), table.dtype)
    boundary, _ = jax.lax.scan(add, zeros, (jnp.moveaxis(padded, 2, 0), jnp.moveaxis(ids, 2, 0)))
    return jax.nn.relu(through_taps.sum(2) + bias), jax.nn.relu(boundary + bias)


def modulate_regions(x, table, shared, gamma_beta, plan):
    """x * (1 + gamma) + beta on regions, and what the backward pass needs of it.

    Args:
      x: (B, P, C) normalised activations.
      table: (B, K, Y) vectors of the ids.
      shared: kernel (3, 3, Y, D) and bias (D,) of the first convolution.
      gamma_beta: kernel (3, 3, D, 2C) and bias (2C,) of the second, gamma first.
      plan: Plan whose `fits` holds.

    Returns:
      (B, P, C), and the rows of gamma and beta (B, K + G, 2C).
    """
    kernel, bias = gamma_beta
    interior, boundary = hidden_vectors(table, *shared, plan.ids)
    hidden = jnp.concatenate([interior, boundary, jnp.zeros_like(interior[:, :1])], axis=1)
    patches = _take(hidden, plan.patches).reshape(*plan.patches.shape[:2], -1)
    products = jnp.concatenate([interior @ kernel.sum((0, 1)), patches @ kernel.reshape(-1, kernel.shape[-1])], axis=1)
    rows = products + bias
    gamma, beta = jnp.split(_take(rows, plan.rows), 2, axis=-1)
    return x * (1 + gamma) + beta, rows


def modulate_regions_backward(x, table, shared, gamma_beta, plan, rows, gradient):
    """Gradients of `modulate_regions` with respect to x, table, shared and gamma_beta, for a gradient (B, P, C) of its result."""
    kernel, _ = gamma_beta
    num_ids, channels = table.shape[1], x.shape[-1]
    of_x = gradient * (1 + _take(rows[..., :channels], plan.rows))
    of_pixels = jnp.concatenate([gradient * x, gradient], axis=-1)

    # Through each tap, an id's hidden vector reaches all pixels of its interior and those 5x5-mixed ones whose neighbour is 3x3-uniform; a
    # 3x3-mixed pixel's reaches one pixel, which is 5x5-mixed. One tap after the other: compiled once, and it need not all be in memory.
    of_boundary = _take_or_zero(of_pixels, plan.modulated)
    of_interior = _sum_rows(of_pixels, plan.rows, num_ids)
    of_bias = of_interior.sum((0, 1)) + of_boundary.sum((0, 1))
    (interior, boundary), pull_back = jax.vjp(lambda table, shared: hidden_vectors(table, *shared, plan.ids), table, shared)

    def through_tap(of_hidden, tap):
        weights, patch, around = tap
        reached = of_interior + _sum_rows(of_boundary, patch, num_ids), _take_or_zero(of_pixels, around)
        of_weights = sum(jnp.einsum("brd,brc->dc", h, r) for h, r in zip((interior, boundary), reached, strict=True))
        return [total + r @ weights.T for total, r in zip(of_hidden, reached, strict=True)], of_weights

    taps = kernel.reshape(9, *kernel.shape[2:]), jnp.moveaxis(plan.patches, 2, 0), jnp.moveaxis(plan.around, 2, 0)
    of_hidden, of_kernel = jax.lax.scan(through_tap, [jnp.zeros_like(interior), jnp.zeros_like(boundary)], taps)
    of_table, of_shared = pull_back(tuple(of_hidden))
    return of_x, of_table, of_shared, (of_kernel.reshape(kernel.shape), of_bias)


def modulate_dense(x, y, shared, gamma_beta):
    """x * (1 + gamma) + beta by convolutions of the conditioning at every pixel.

    Args:
      x: (B, h, w, C) normalised activations.
      y: (B, h, w, Y).
      shared, gamma_beta: kernels and biases as for `modulate_regions`.

    Returns:
      (B, h, w, C).
    """
    hidden = jax.nn.relu(conv2d(y, shared[0]) + shared[1])
    gamma, beta = jnp.split(conv2d(hidden, gamma_beta[0]) + gamma_beta[1], 2, axis=-1)
    return x * (1 + gamma) + beta


@jax.custom_vjp
def modulate(x, regions, shared, gamma_beta):
    """x * (1 + gamma) + beta on regions, or densely where a batch has more mixed pixels than fit.

    The backward pass keeps the rows of gamma and beta, and nothing of the hidden layer.

    Args:
      x: (B, h, w, C) normalised activations.
      regions: Regions.
      shared, gamma_beta: kernels and biases as for `modulate_regions`.

    Returns:
      (B, h, w, C).
    """
    return _modulate_forward(x, regions, shared, gamma_beta)[0]


def _modulate_forward(x, regions, shared, gamma_beta):
    table, plan = regions.table, regions.plan

    def by_regions():
        result, rows = modulate_regions(_flat(x), table, shared, gamma_beta, plan)
        return result.reshape(x.shape), rows

    def densely():
        rows = jnp.zeros((len(x), table.shape[1] + plan.modulated.shape[1], 2 * x.shape[-1]), x.dtype)
        return modulate_dense(x, look_up(table, regions.ids), shared, gamma_beta), rows

    result, rows = jax.lax.cond(plan.fits, by_regions, densely)
    return result, (x, regions, shared, gamma_beta, rows)


def _modulate_backward(residuals, gradient):
    x, regions, shared, gamma_beta, rows = residuals
    table, plan = regions.table, regions.plan

    def by_regions():
        flat, gradients = _flat(x), _flat(gradient)
        of_x, *others = modulate_regions_backward(flat, table, shared, gamma_beta, plan, rows, gradients)
        return of_x.reshape(x.shape), *others

    def densely():
        def dense(x, table, shared, gamma_beta):
            return modulate_dense(x, look_up(table, regions.ids), shared, gamma_beta)

        return jax.vjp(dense, x, table, shared, gamma_beta)[1](gradient)

    of_x, of_table, of_shared, of_gamma_beta = jax.lax.cond(plan.fits, by_regions, densely)
    return of_x, Regions(None, of_table, None), of_shared, of_gamma_beta


modulate.defvjp(_modulate_forward, _modulate_backward)


def look_up(table, ids):
    """The vectors (B, h, w, Y) of ids (B, h, w) in a table (B, K, Y)."""
    return _take(table, ids)


def _flat(x):
    return x.reshape(len(x), -1, x.shape[-1])
