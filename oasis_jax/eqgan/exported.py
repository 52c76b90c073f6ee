"""An EqGAN-SA model for programs without this package: the arrays that it takes, and the meaning of a seed."""
import dataclasses

import jax.numpy as jnp

from oasis_jax.exporting.portable import CHECKED_SEED, HEATMAPS, of_inputs
from oasis_jax.heatmaps import formula_of_seed
from oasis_jax.noise import noise_vector

MEANINGS = {
    "z": "latents, one or more",
    "latent_of_row": "which latent the style of each row comes from, coarse to fine; zeros if there is one latent",
    "truncation": "psi of each row; 1 for no truncation",
    "seed": "seed of the noise maps",
    "heatmaps": HEATMAPS,
}


def portable(model):
    """The Portable of a Model. It takes the arrays of `Model.inputs`, with any number S of latents."""
    z_dim = model.generator.z_dim
    heatmaps = {"heatmaps_of_seed": formula_of_seed()} if model.spatially_aware else {}
    model = dataclasses.replace(model, generator=model.generator.clone(dtype=jnp.float32, remat=False))
    offered = of_inputs(
        model,
        num_styles=model.num_styles,
        z_dim=z_dim,
        noise=model.noise,
        what_a_seed_means=f"z = jax.random.normal(jax.random.key(seed), (1, {z_dim})), and the noise maps have the same seed",
        check={"seed": CHECKED_SEED, "z": noise_vector(CHECKED_SEED, z_dim)[:4].tolist()},
        **heatmaps,
    )
    arguments = {name: dataclasses.replace(each, meaning=MEANINGS[name]) for name, each in offered.arguments.items()}
    arguments["z"] = dataclasses.replace(arguments["z"], shape=("S", z_dim))
    return dataclasses.replace(offered, arguments=arguments, sizes={"S": 1})
