"""The training command: python -m oasis_jax.main --config=configs/cityscapes.py --workdir=DIR"""
import os
import sys

from absl import app, flags, logging

from oasis_jax import config_flag

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow, which only feeds images, is imported

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, samples, TensorBoard files. A run in it is resumed.")


def main(_):
    from oasis_jax.parallel.processes import join

    join()  # before anything else initialises JAX
    from oasis_jax.checkpoint import CheckpointError
    from oasis_jax.data.labels import DataError
    from oasis_jax.training.loop import TrainingDivergedError, train
    from oasis_jax.training.setup import set_up

    logging.set_verbosity(logging.WARNING)
    try:
        run = set_up(flags.FLAGS.config, _WORKDIR.value)
    except (DataError, ValueError) as error:  # a ValueError during training would be a bug of ours, and keeps its traceback
        sys.exit(f"error: {error}")
    try:
        train(run)
    except (DataError, CheckpointError, TrainingDivergedError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    config_flag.define()
    flags.mark_flag_as_required("workdir")
    app.run(main, flags_parser=config_flag.parse_flags)
