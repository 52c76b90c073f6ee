"""Evaluation protocols of the EqGAN-SA paper, and their substitutes where the weights of Inception are not available.

`fid50k-full` differs from the published measurement, in which heatmaps and noise are drawn without seeds and the four images of a batch
share the width of their coarse heatmap: here everything about image j is a function of its seed. Rounding differs only in exact ties.
"""
from oasis_jax.metrics.protocols import Protocol

# All training images as they are, not mirrored: a model is compared with what it was trained on.
_FULL = {"split": "train", "num_samples": 50_000}

PROTOCOLS = (
    Protocol(
        "fid50k-full",
        features="inception",
        published=(
            "FID at 256x256 of StyleGAN2 / with SEL / with SEL and alignment: LSUN Cat 8.36 / 7.82 / 6.81, FFHQ 3.66 / 3.39 / 2.96, "
            "LSUN Church 3.73 / 3.55 / 3.11; released checkpoints: LSUN Cat 6.62, FFHQ 2.89. Their heatmaps have no seeds, and four images "
            "at a time share the width of the coarse one"
        ),
        **_FULL,
    ),
    Protocol("fd-vgg16-50k", features="vgg16", **_FULL),
    Protocol("fd-vgg16-5k", features="vgg16", split="train", max_images=5_000, num_samples=5_000),
)


def default_protocol(config):
    """Name of the established protocol for the data of a config; for procedural scenes `plain`, which needs no network."""
    return "plain" if config.data.layout == "scenes" else "fid50k-full"
