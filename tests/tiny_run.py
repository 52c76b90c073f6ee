"""A run folder of a tiny model, for the tests of code that reads checkpoints."""
import jax
import numpy as np

from configs import default
from oasis_jax.checkpoint import Checkpoints
from oasis_jax.oasis import family

IMAGE_SIZE = (16, 32)
CLASS_NAMES = ("unlabelled", "road", "car", "sky")


def tiny_config(**model):
    """A config of four classes, three blocks and few channels; keyword arguments override fields of config.model."""
    config = default.get_config()
    config.data.num_classes = len(CLASS_NAMES)
    config.data.class_names = CLASS_NAMES
    config.data.image_size = IMAGE_SIZE
    config.model.update(num_blocks=3, channels=2, spade_hidden=4, z_dim=8, d_channels=(4, 4, 4), d_last=4)
    config.model.update(model)
    return config


def random_state(config, seed=0):
    """A TrainState at step 0 with large random weights: unlike those of a fresh generator, its images vary with labels and noise."""
    step, rng = family.train_step(config), np.random.default_rng(seed)

    def fill(path, leaf):
        name = getattr(path[-1], "key", "")
        if name in ("kernel", "weight", "bias"):
            return rng.normal(0.1, 1, leaf.shape).astype(leaf.dtype)
        if name == "strength":  # of noise: large, because such weights make activations large
            return np.full(leaf.shape, 20, leaf.dtype)
        if name in ("u", "v"):
            return np.full(leaf.shape, leaf.size**-0.5, leaf.dtype)
        return np.full(leaf.shape, name == "var", leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, jax.eval_shape(lambda: step.init(config.data.image_size)))


def save_run(workdir, config, steps=(5,), metrics=None):
    """Writes a checkpoint for each step, each with a different generator; `metrics` is {step: {name: value}}."""
    with Checkpoints(workdir, keep=len(steps), score_name="score", higher_is_better=True) as checkpoints:
        for step in steps:
            checkpoints.save(step, None, random_state(config, seed=step).ema, config.to_dict())
            checkpoints.add_scores(step, (metrics or {}).get(step, {}))
