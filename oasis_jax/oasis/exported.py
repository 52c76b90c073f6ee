"""An OASIS model for programs without this package: the arrays that it takes, and the meaning of a seed."""
import jax.numpy as jnp
import numpy as np

from oasis_jax.exporting.portable import CHECKED_SEED, HEATMAPS, Argument, Portable
from oasis_jax.heatmaps import NUM_MAPS, formula_of_seed
from oasis_jax.noise import noise_vector
from oasis_jax.oasis.conditioning import Conditioning


def portable(model):
    """The Portable of a Model. It takes ids (H, W) into a table (K, z_dim + N), of any size, and heatmaps (7, 3) if spatially aware."""
    generator = model.generator.clone(capacities=(), dtype=jnp.float32, remat=False)

    def generate(variables, arrays):
        conditioning = Conditioning(arrays["ids"][None], arrays["table"][None])
        heatmaps = arrays["heatmaps"][None] if model.spatially_aware else None
        return generator.apply(variables, conditioning, heatmaps=heatmaps)[0]

    z_dim, num_classes = generator.z_dim, generator.num_classes
    arguments = {
        "ids": Argument(("H", "W"), "int32", "the table row of each pixel, in 0..K-1; not checked"),
        "table": Argument(
            ("K", z_dim + num_classes), "float32", f"one row for each id: {z_dim} noise channels, then {num_classes} of the one-hot class"
        ),
    }
    if model.spatially_aware:
        arguments["heatmaps"] = Argument((NUM_MAPS, 3), "float32", HEATMAPS)
    unit = 2 ** (generator.num_blocks - 1)
    return Portable(generate, arguments, Argument(("H", "W", 3), "uint8", "RGB"), {"H": unit, "W": unit, "K": 1}, _facts(model))


def _facts(model):
    height, width = model.image_size
    z_dim, seeds = model.generator.z_dim, {}
    if model.has_noise:
        seeds = {
            "what_a_seed_means": f"noise = jax.random.normal(jax.random.key(seed), ({z_dim},)); ids are classes, and row k of the table is "
            "[noise, one-hot class k]. A class, mask or pixel with noise of its own has a row of its own.",
            "check": {"seed": CHECKED_SEED, "noise": noise_vector(CHECKED_SEED, z_dim)[:4].tolist()},
        }
    if model.spatially_aware:
        seeds["heatmaps_of_seed"] = formula_of_seed()
    return {"trained_on": {"H": height, "W": width}, "classes": list(model.class_names), "z_dim": z_dim, **seeds}


def table_of(inputs):
    """The input arrays of the Portable for image 0 of `Model.inputs`: {"ids", "table", and "heatmaps" if there are any}, in numpy."""
    conditioning, heatmaps = inputs["conditioning"], inputs["heatmaps"]
    ids, table = np.asarray(conditioning.ids[0], np.int32), np.asarray(conditioning.table[0], np.float32)
    if conditioning.pixel_noise is not None:  # a row for each pixel
        noise = np.asarray(conditioning.pixel_noise[0], np.float32).reshape(ids.size, -1)
        table = np.concatenate([noise, table[ids.ravel(), noise.shape[-1] :]], axis=-1)
        ids = np.arange(ids.size, dtype=np.int32).reshape(ids.shape)
    arrays = {"ids": ids, "table": table}
    return arrays if heatmaps is None else arrays | {"heatmaps": np.asarray(heatmaps[0], np.float32)}
