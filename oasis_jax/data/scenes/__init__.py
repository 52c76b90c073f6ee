"""Procedural street scenes with label maps: training data that needs no download."""
from oasis_jax.data.scenes.scenes import CLASS_NAMES, Scenes

__all__ = ["CLASS_NAMES", "Scenes"]
