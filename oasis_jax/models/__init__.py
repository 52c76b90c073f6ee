"""Pure Flax Linen modules: the generator, the segmentation discriminator and what conditions the generator."""
from oasis_jax.models.conditioning import Conditioning
from oasis_jax.models.discriminator import Discriminator
from oasis_jax.models.generator import Generator

__all__ = ["Conditioning", "Discriminator", "Generator"]
