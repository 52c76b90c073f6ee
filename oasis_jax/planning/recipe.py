"""How many steps a recipe takes, without its data."""
from oasis_jax.training.length import count_steps

TRAINING_EXAMPLES = {"cityscapes": 2975, "ade20k": 20_210, "coco_stuff": 118_287}  # in the full data sets


def num_examples(data, given=0):
    """Number of training examples for `data`, a config.data, or 0 if it is unknown; `given` takes precedence if it is positive."""
    if given > 0:
        return given
    if data.layout == "scenes":
        return data.scenes_train
    return 0 if data.scene_categories else TRAINING_EXAMPLES.get(data.layout, 0)


def num_steps(config, given=0):
    """Number of training steps of a config, or 0 if it depends on an unknown number of examples.

    Args:
        config: ConfigDict.
        given: number of training examples; 0 to take that of the data set, if it is known.

    Raises:
        ValueError: as in `count_steps`.
    """
    examples = num_examples(config.data, given)
    return count_steps(config, examples) if config.train.num_steps or examples else 0
