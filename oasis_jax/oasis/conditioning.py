"""Conditioning of the generator: an id per pixel and a table of vectors per image.

The vector of a pixel is its noise and its one-hot label (OASIS section 2). Both are constant on regions, so the tensor (B, H, W, z_dim + N)
is stored as ids (B, H, W) into a table (B, K, z_dim + N). Global, per-class and per-mask noise all take this form. Noise that varies by
pixel is stored separately as a tensor.
"""
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from oasis_jax.oasis.dense import Dense
from oasis_jax.oasis.grain import direction
from oasis_jax.oasis.regions import Regions, look_up, make_plan

FEWEST_ROWS = 64  # smallest number of table rows in `from_regions` and `compacted`


@flax.struct.dataclass
class Conditioning:
    """Conditioning of a batch; a pytree.

    Attributes:
        ids: (B, H, W) integer, in 0..K-1.
        table: (B, K, z_dim + N) floating point: noise channels first, then the one-hot label.
        pixel_noise: (B, H, W, z_dim) that replaces the noise channels of the table, or None.
        image_noise: (B, z_dim), if every vector of an image has these noise channels and ids are labels; or None.
    """

    ids: jax.Array
    table: jax.Array
    pixel_noise: jax.Array | None = None
    image_noise: jax.Array | None = None

    @property
    def size(self):
        """(H, W) in pixels."""
        return self.ids.shape[1:]

    def dense(self, height, width):
        """Conditioning tensor at a coarser level, sampled at the top-left pixel of each block: (B, height, width, z_dim + N)."""
        vectors = look_up(self.table, self._sampled(self.ids, height, width))
        if self.pixel_noise is None:
            return vectors
        noise = self._sampled(self.pixel_noise, height, width)
        return jnp.concatenate([noise.astype(vectors.dtype), vectors[..., noise.shape[-1] :]], axis=-1)

    def separately(self, height, width):
        """The result of `dense` as a Dense, which holds the noise separately if there is one vector per image."""
        if self.image_noise is None:
            return Dense(self.dense(height, width))
        num_classes = self.table.shape[1]
        return Dense(jax.nn.one_hot(self._sampled(self.ids, height, width), num_classes, dtype=self.table.dtype), self.image_noise)

    def directions(self, z_dim, height, width):
        """`grain.direction` of each pixel's noise at a coarser level: (B, height, width, 8), or (B, 1, 1, 8) for one vector per image."""
        if self.image_noise is not None:
            return direction(self.image_noise)[:, None, None]
        if self.pixel_noise is not None:
            return direction(self._sampled(self.pixel_noise, height, width))
        return look_up(direction(self.table[..., :z_dim]), self._sampled(self.ids, height, width))

    def regions(self, height, width, capacity, known_to_fit=False):
        """Regions of a coarser level, sampled as in `dense`; capacity and known_to_fit as in `make_plan`. Ignores pixel noise."""
        ids = self._sampled(self.ids, height, width)
        return Regions(ids, self.table, make_plan(ids, self.table.shape[1], capacity, known_to_fit))

    def _sampled(self, x, height, width):
        rows, columns = self.size[0] // height, self.size[1] // width
        return x[:, ::rows, ::columns]


def from_noise(label_map, noise, num_classes, dtype=jnp.float32):
    """Conditioning of a label map with one noise vector per image, class or pixel.

    Args:
        label_map: (B, H, W) integer, in 0..num_classes-1.
        noise: (B, z_dim), one vector per image; (B, num_classes, z_dim), one per class; (B, H, W, z_dim), one per pixel; or None for a
            generator without noise.
        num_classes: N, including the don't-care class.
        dtype: dtype of the table.

    Raises:
        ValueError: the shapes do not match.
    """
    batch = label_map.shape[0]
    labels = jnp.broadcast_to(jnp.eye(num_classes, dtype=dtype), (batch, num_classes, num_classes))
    if noise is None:
        return Conditioning(label_map, labels)
    _check_noise(noise, label_map, num_classes)
    pixel_noise = noise.astype(dtype) if noise.ndim == 4 else None
    per_class = jnp.zeros((batch, 1, noise.shape[-1])) if noise.ndim == 4 else noise.reshape(batch, -1, noise.shape[-1])
    per_class = jnp.broadcast_to(per_class.astype(dtype), (batch, num_classes, noise.shape[-1]))
    image_noise = noise.astype(dtype) if noise.ndim == 2 else None
    return Conditioning(label_map, jnp.concatenate([per_class, labels], axis=-1), pixel_noise, image_noise)


def from_regions(label_map, region_map, noise, num_classes, dtype=jnp.float32):
    """Conditioning of a label map with noise that is constant on given masks or instances, regardless of their labels. In numpy.

    Args:
        label_map: (B, H, W) integer, in 0..num_classes-1.
        region_map: (B, H, W) integer, in 0..M-1: index of each pixel's noise vector.
        noise: (B, M, z_dim).
        num_classes: N.
        dtype: dtype of the table.

    Returns:
        A Conditioning with one id per pair of region and label that an image holds, in sorted order. Its table has 64 rows, or 4, 16, ...
        times as many if an image holds more pairs. So a program that is compiled for its shape serves all images but those with very many
        pairs. Rows that no pixel uses are zero.

    Raises:
        ValueError: the maps differ in shape.
    """
    if region_map.shape != label_map.shape:
        raise ValueError(f"region_map is {region_map.shape}, but label_map is {label_map.shape}: both must have the shape (B, H, W)")
    pairs = np.asarray(region_map, np.int64) * num_classes + label_map
    noise, one_hot = np.asarray(noise, dtype), np.eye(num_classes, dtype=dtype)
    held = [np.unique(image) for image in pairs]
    ids = [np.searchsorted(values, image) for values, image in zip(held, pairs, strict=True)]
    table = np.zeros((len(pairs), _num_rows(max(map(len, held))), noise.shape[-1] + num_classes), dtype)
    for rows, values, vectors in zip(table, held, noise, strict=True):
        rows[: len(values)] = np.concatenate([vectors[values // num_classes], one_hot[values % num_classes]], axis=-1)
    return Conditioning(np.stack(ids).astype(np.int32), table)


def compacted(conditioning):
    """Reduces the table of one image's Conditioning to the ids that the image holds, so that images share a program on regions. In numpy.

    There must be no `pixel_noise`. The new table has 64 rows, or 4, 16, ... times as many; unused rows are zero. `image_noise` is None.
    """
    ids, table = np.asarray(conditioning.ids), np.asarray(conditioning.table)
    held = np.flatnonzero(np.bincount(ids.ravel(), minlength=table.shape[1]))
    number = np.zeros(table.shape[1], np.int32)
    number[held] = np.arange(len(held))
    rows = np.zeros((1, _num_rows(len(held)), table.shape[-1]), table.dtype)
    rows[:, : len(held)] = table[:, held]
    return Conditioning(number[ids], rows)


def _num_rows(needed):
    rows = FEWEST_ROWS
    while rows < needed:
        rows *= 4
    return rows


def _check_noise(noise, label_map, num_classes):
    batch, height, width = label_map.shape
    allowed = {2: (batch,), 3: (batch, num_classes), 4: (batch, height, width)}
    if noise.ndim not in allowed or noise.shape[:-1] != allowed[noise.ndim]:
        raise ValueError(
            f"noise is {noise.shape}, but a label map {label_map.shape} of {num_classes} classes takes {(batch, 'z_dim')}, "
            f"{(batch, num_classes, 'z_dim')} or {(batch, height, width, 'z_dim')}"
        )
