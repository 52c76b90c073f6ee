"""How many steps a recipe takes, without its data."""
from oasis_jax.training.length import count_steps

TRAINING_EXAMPLES = {"cityscapes": 2975, "ade20k": 20_210, "coco_stuff": 118_287}  # of the whole data sets


def num_examples(data, given=0):
    """Number of training examples of a ConfigDict config.data, or 0 if it is not known; `given` takes precedence if it is positive."""
    if given > 0:
        return given
    if data.layout == "scenes":
        return data.scenes_train
    return 0 if data.scene_categories else TRAINING_EXAMPLES.get(data.layout, 0)


def num_steps(config, given=0):
    """Number of training steps of a config, or 0 if it depends on a number of examples that is not known.

    Args:
        config: ConfigDict.
        given: number of training examples, if it is positive.

    Raises:
        ValueError: the number of epochs is not one step.
    """
    examples = num_examples(config.data, given)
    return count_steps(config, examples) if config.train.num_steps or examples else 0
