"""The number of steps of a run."""
from oasis_jax.allowed import MOST


def count_steps(config, num_examples):
    """train.num_steps, or the steps of train.num_epochs; raises ValueError if that is less than one step, or more than MOST."""
    train = config.train
    num_steps = train.num_steps or train.num_epochs * num_examples // train.batch_size
    if num_steps < 1:
        examples = f"{num_examples} training examples with train.batch_size={train.batch_size}"
        raise ValueError(f"train.num_epochs={train.num_epochs} of {examples} is less than one step: set train.num_steps")
    if num_steps > MOST:
        raise ValueError(f"train.num_epochs={train.num_epochs} of {num_examples} training examples is {num_steps} steps: {MOST} at most")
    return num_steps


def check_rates_last(train_step, num_steps):
    """Raises ValueError if all learning rates of a TrainStep are 0 before the last of `num_steps` steps, which would then learn nothing."""
    rates = train_step.learning_rates(max(num_steps - 2, 0))  # of the last step but one: a linear decay reaches 0 in the last one
    if not any(rates.values()):
        fields = ", ".join(f"train.{name}" for name in rates)
        raise ValueError(
            f"the learning rates ({fields}) are 0 before the last of {num_steps} steps: set a smaller train.num_steps, "
            "or let them fall later or more slowly (train.linear_decay, train.half_life)"
        )
