"""SPADE on regions: exact convolutions of the conditioning, computed once per distinct neighbourhood of ids.

The hidden vector of a pixel depends only on its 3x3 neighbourhood of ids, its gamma and beta only on its 5x5 neighbourhood. Ids are
constant on large regions, so most neighbourhoods hold one id, and along boundaries a few distinct neighbourhoods repeat. A level therefore
has a short list of hidden vectors and a short list of gamma and beta. Each list has one row per id and one row per distinct mixed
neighbourhood, that is, one that holds several ids or crosses the image border. Every pixel looks up its row.

Shapes are static: a `Capacity` (`capacities.py`) limits the mixed pixels and distinct neighbourhoods of an image. A batch that exceeds it
is computed by dense convolutions.
"""
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from oasis_jax.layers.convolution import by_platform, by_rows, conv2d
from oasis_jax.layers.dtype import wide
from oasis_jax.oasis.boundaries import fingerprints, mixed
from oasis_jax.oasis.dense import Dense, convolve

CHUNK = 512  # rows of gamma and beta computed at once on CPU, few enough for their patches to stay in the cache
TILE = 16  # rows of a bfloat16 tile of a TPU: with whole tiles, arrays are split and joined without moving data
OFFSETS = np.asarray([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])  # (dy, dx) of the taps of a 3x3 kernel, in its order


@flax.struct.dataclass
class Plan:
    """Row indices of a level, for a batch of B id maps with P pixels and K ids; a pytree.

    Attributes:
        fits: () bool, whether every image fits its Capacity; None if all images are known to fit.
        ids: (B, K + hidden, 9), 3x3 neighbourhood of ids for each row of hidden vectors; K marks positions beyond the border. Here and
            below, capacities are rounded up to whole tiles of rows.
        patches: (B, K + modulation, 9), 3x3 neighbourhood of rows of hidden vectors for each row of gamma and beta; K + hidden marks
            positions beyond the border.
        used: (), largest number of rows of gamma and beta that any image uses; later rows belong to no pixel.
        rows: (B, P), row of gamma and beta of each pixel.
    """

    fits: jax.Array | None
    ids: jax.Array
    patches: jax.Array
    used: jax.Array
    rows: jax.Array


@flax.struct.dataclass
class Regions:
    """Region-wise conditioning of one level: ids (B, h, w) into a table of vectors (B, K, Y), and the Plan of the ids; a pytree."""

    ids: jax.Array
    table: jax.Array
    plan: Plan

    @property
    def channels(self):
        """Y."""
        return self.table.shape[-1]


def make_plan(ids, num_ids, capacity, known_to_fit=False):
    """Builds the Plan of id maps.

    Args:
        ids: (B, H, W) integer, in 0..num_ids-1.
        num_ids: K.
        capacity: Capacity.
        known_to_fit: the caller knows that every map fits.
    """
    ids = ids.astype(jnp.int32)
    hidden, modulation = (-(-(num_ids + rows) // TILE) * TILE - num_ids for rows in (capacity.hidden, capacity.modulation))
    of_ids, hidden_rows, hidden_fit = _list_neighbourhoods(ids, mixed(ids, 1, jnp), num_ids, num_ids, capacity.near, hidden)
    outside = num_ids + hidden
    patches, rows, modulation_fit = _list_neighbourhoods(
        hidden_rows, mixed(ids, 2, jnp), num_ids, outside, capacity.far, modulation
    )
    return Plan(
        fits=None if known_to_fit else jnp.all(hidden_fit & modulation_fit),
        ids=of_ids,
        patches=patches,
        used=jnp.max(rows) + 1,
        rows=rows.reshape(len(rows), -1),
    )


def _list_neighbourhoods(values, is_mixed, num_ids, outside, room, different):
    """Lists the distinct 3x3 neighbourhoods of values (B, H, W), with `outside` beyond the border.

    Where `is_mixed` (B, H, W) is False, all nine values of the neighbourhood are equal and are one of the K ids.

    Returns:
        The list (B, K + different, 9), the row of each pixel (B, H, W), and whether the list holds all of them (B,).
    """

    def of_image(values, is_mixed):
        flags = is_mixed.ravel()
        positions = jnp.nonzero(flags, size=room, fill_value=flags.size)[0]
        neighbourhoods = _look_around(values, positions, outside)
        # Sorting by fingerprint groups equal neighbourhoods. `agree` then verifies that the members of each group really are equal.
        # Padding after the last position is sorted to the end and is not listed.
        counted = jnp.arange(room) < jnp.sum(flags)
        hashes = jnp.where(counted[:, None], fingerprints(neighbourhoods, jnp), np.uint32(2**32 - 1))
        *hashes, order = jax.lax.sort((hashes[:, 0], hashes[:, 1], jnp.arange(room)), num_keys=2)
        together = neighbourhoods[order]
        is_next = jnp.any(jnp.stack([h[1:] != h[:-1] for h in hashes]), 0)
        agree = jnp.all(is_next | jnp.all(together[1:] == together[:-1], axis=1))
        starts = jnp.concatenate([jnp.ones(min(room, 1), bool), is_next]) & counted[order]
        listed = together[jnp.nonzero(starts, size=different, fill_value=0)[0]]
        number = jnp.zeros(room, jnp.int32).at[order].set(jnp.cumsum(starts, dtype=jnp.int32) - 1, unique_indices=True)
        rows = jnp.where(flags, num_ids + number[jnp.cumsum(flags) - 1], values.ravel()).reshape(values.shape)
        interior = jnp.broadcast_to(jnp.arange(num_ids)[:, None], (num_ids, 9))
        fits = agree & (jnp.sum(flags) <= room) & (jnp.sum(starts) <= different)
        return jnp.concatenate([interior, listed]), rows, fits

    return jax.vmap(of_image)(values, is_mixed)


def _look_around(values, positions, outside):
    """Values (H, W) at the nine neighbours of positions (M,), `outside` beyond the border: (M, 9)."""
    width = values.shape[1] + 2
    padded = jnp.pad(values, 1, constant_values=outside).ravel()
    corners = positions // values.shape[1] * width + positions % values.shape[1]
    return padded.at[corners[:, None] + (OFFSETS + 1) @ [width, 1]].get(mode="fill", fill_value=outside)


def _take(rows, index):
    """rows (B, R, ...) at index (B, ...), looked up image by image."""
    return jax.vmap(lambda r, i: r.at[i].get(mode="promise_in_bounds"))(rows, index)


def _sum_rows(values, index, count):
    """Values (B, M, D) summed by index (B, M): (B, count, D) in float32 or wider. Indices above count - 1 are dropped."""
    return jax.vmap(lambda v, i: jax.ops.segment_sum(v, i, count))(values.astype(wide(values.dtype)), index)


def hidden_vectors(table, kernel, bias, ids):
    """relu(conv3x3(conditioning)) for a list of neighbourhoods, each the sum of nine look-ups in the product of table and kernel.

    Args:
        table: (B, K, Y) vectors of the ids.
        kernel: (3, 3, Y, D).
        bias: (D,).
        ids: (B, R, 9) in 0..K, K beyond the border.

    Returns:
        (B, R, D) in float32 or wider, so that the gradient is not rounded.
    """
    taps = kernel.reshape(9, *kernel.shape[2:])
    through_taps = jnp.einsum("bky,tyd->tbkd", table, taps, preferred_element_type=wide(table.dtype))
    through_taps = jnp.pad(through_taps, [(0, 0), (0, 0), (0, 1), (0, 0)])
    zeros = jnp.zeros((*ids.shape[:2], kernel.shape[-1]), through_taps.dtype)
    total, _ = jax.lax.scan(lambda total, tap: (total + _take(*tap), None), zeros, (through_taps, jnp.moveaxis(ids, 2, 0)))
    return jax.nn.relu(total + bias)


def modulate_regions(x, table, shared, scale, shift, plan):
    """`modulate` on regions.

    Args:
        x: (B, P, C) normalised activations.
        table: (B, K, Y) vectors of the ids.
        shared, scale, shift: as for `modulate`.
        plan: Plan whose `fits` holds.

    Returns:
        (B, P, C) and (B, P, F), and for the backward pass the rows of 1 + gamma (B, K + modulation, C).
    """
    hidden = jnp.pad(hidden_vectors(table, *shared, plan.ids).astype(x.dtype), [(0, 0), (0, 1), (0, 0)])
    (kernel, bias), features = _together(scale, shift), x.shape[-1]
    rows = by_platform(convolve_used_rows, convolve_rows)(hidden, kernel, plan.patches, plan.used) + bias
    gamma, beta = 1 + rows[..., :features], rows[..., features:]
    return x * _take(gamma, plan.rows), _take(beta, plan.rows), gamma


def _together(scale, shift):
    """One convolution for both: kernels (3, 3, D, C) and (3, 3, D, F) with biases -> (3, 3, D, C + F) and (C + F,)."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), scale, shift)


def convolve_rows(hidden, kernel, patches, used=None):
    """Rows (B, M, E) of gamma and beta, from hidden vectors (B, R, D) at patches (B, M, 9) and the kernel (3, 3, D, E)."""
    by_tap = _take(hidden, jnp.moveaxis(patches, 2, 1))
    return jnp.einsum("btmd,tde->bme", by_tap, kernel.reshape(9, *kernel.shape[2:]))


def convolve_used_rows(hidden, kernel, patches, used):
    """Like `convolve_rows`, but chunk by chunk and only for the rows in use, so that spare capacity costs no time."""
    batch, room, _ = patches.shape
    size = min(CHUNK, room)

    def of_chunk(i, rows):  # dynamic_slice shifts the last chunk back so that it fits; some rows are computed twice
        chunk = jax.lax.dynamic_slice_in_dim(patches, i * size, size, axis=1)
        together = _take(hidden, chunk).reshape(batch, size, -1) @ kernel.reshape(-1, kernel.shape[-1])
        return jax.lax.dynamic_update_slice_in_dim(rows, together, i * size, axis=1)

    return jax.lax.fori_loop(0, -(-used // size), of_chunk, jnp.zeros((batch, room, kernel.shape[-1]), hidden.dtype))


def modulate_regions_backward(x, table, shared, scale, shift, plan, gamma, of_scaled, of_shifts):
    """Gradients of `modulate_regions` with respect to x, table, shared, scale and shift, given 1 + gamma and the results' gradients."""
    features = x.shape[-1]
    of_x = of_scaled * _take(gamma, plan.rows)
    # Two sums, because their concatenation would be stored in float32.
    of_rows = jnp.concatenate([_sum_rows(part, plan.rows, gamma.shape[1]) for part in (of_scaled * x, of_shifts)], axis=-1)
    hidden, pull_back = jax.vjp(lambda table, shared: hidden_vectors(table, *shared, plan.ids), table, shared)

    def through_tap(of_hidden, tap):  # one tap at a time, so that it is compiled once
        weights, patch = tap
        reached = _sum_rows(of_rows, patch, hidden.shape[1])
        return of_hidden + reached @ weights.T, jnp.einsum("brd,brc->dc", hidden, reached)

    kernel = _together(scale, shift)[0]
    taps = kernel.reshape(9, *kernel.shape[2:]), jnp.moveaxis(plan.patches, 2, 0)
    of_hidden, of_kernel = jax.lax.scan(through_tap, jnp.zeros(hidden.shape, of_rows.dtype), taps)
    of_table, of_shared = pull_back(of_hidden)
    of_kernel, of_bias = of_kernel.reshape(kernel.shape).astype(kernel.dtype), of_rows.sum((0, 1)).astype(kernel.dtype)
    of_scale, of_shift = ((of_kernel[..., part], of_bias[part]) for part in (slice(features), slice(features, None)))
    return of_x, of_table, of_shared, of_scale, of_shift


def modulate_dense(x, y, shared, scale, shift):
    """`modulate` by dense convolutions of the conditioning.

    Args:
        x: (B, h, w, C) normalised activations.
        y: Dense with Y channels.
        shared, scale, shift: as for `modulate`.

    Returns:
        (B, h, w, C) and (B, h, w, F).
    """
    hidden, (kernel, bias) = jax.nn.relu(convolve(y, *shared)), _together(scale, shift)
    gamma, beta = jnp.split(by_rows(conv2d, hidden, kernel) + bias, [x.shape[-1]], axis=-1)
    return x * (1 + gamma), beta


@jax.custom_vjp
def modulate(x, regions, shared, scale, shift):
    """x * (1 + gamma) and beta on regions, or densely for a batch that exceeds the capacity.

    The rows of gamma are kept for the backward pass; the hidden layer is recomputed.

    Args:
        x: (B, h, w, C) normalised activations.
        regions: Regions.
        shared: kernel (3, 3, Y, D) and bias (D,) of the first convolution.
        scale: kernel (3, 3, D, C) and bias (C,) of gamma.
        shift: kernel (3, 3, D, F) and bias (F,) of beta.

    Returns:
        (B, h, w, C) and (B, h, w, F).
    """
    return _modulate_forward(x, regions, shared, scale, shift)[0]


def _modulate_forward(x, regions, shared, scale, shift):
    table, plan = regions.table, regions.plan

    def by_regions():
        scaled, shifts, gamma = modulate_regions(_flat(x), table, shared, scale, shift, plan)
        return scaled.reshape(x.shape), shifts.reshape(*x.shape[:3], -1), gamma

    def densely():
        gamma = jnp.zeros((*plan.patches.shape[:2], x.shape[-1]), x.dtype)
        return *modulate_dense(x, Dense(look_up(table, regions.ids)), shared, scale, shift), gamma

    *results, gamma = _choose(plan.fits, by_regions, densely)
    return tuple(results), (x, regions, shared, scale, shift, gamma)


def _modulate_backward(residuals, gradients):
    x, regions, shared, scale, shift, gamma = residuals
    table, plan = regions.table, regions.plan

    def by_regions():
        of_x, *others = modulate_regions_backward(_flat(x), table, shared, scale, shift, plan, gamma, *map(_flat, gradients))
        return of_x.reshape(x.shape), *others

    def densely():
        def dense(x, table, *weights):
            return modulate_dense(x, Dense(look_up(table, regions.ids)), *weights)

        return jax.vjp(dense, x, table, shared, scale, shift)[1](gradients)

    of_x, of_table, *of_weights = _choose(plan.fits, by_regions, densely)
    return of_x, Regions(None, of_table, None), *of_weights


def _choose(fits, by_regions, densely):
    return by_regions() if fits is None else jax.lax.cond(fits, by_regions, densely)


modulate.defvjp(_modulate_forward, _modulate_backward)


@jax.custom_vjp
def look_up(table, ids):
    """Vectors (B, h, w, Y) of ids (B, h, w) in a table (B, K, Y); the gradient is accumulated in float32 or wider."""
    return _take(table, ids)


def _look_up_forward(table, ids):
    return _take(table, ids), (table, ids)


def _look_up_backward(residuals, gradient):
    table, ids = residuals
    return _sum_rows(_flat(gradient), ids.reshape(len(ids), -1), table.shape[1]).astype(table.dtype), None


look_up.defvjp(_look_up_forward, _look_up_backward)


def _flat(x):
    return x.reshape(len(x), -1, x.shape[-1])
