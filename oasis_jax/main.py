"""The training command: python -m oasis_jax.main --config=configs/cityscapes.py --workdir=DIR"""
import contextlib
import errno
import sys

from absl import flags

from oasis_jax import command_line, config_flag

_FULL = (errno.ENOSPC, errno.EDQUOT)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, samples, TensorBoard files. A run in it is resumed.")


@contextlib.contextmanager
def _explaining_a_full_disk(leave):
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        leave(f"error: {error}: make room there, and start the same command again; checkpoints that are complete stay")


def main(_):
    from oasis_jax.parallel.processes import end_together, failing_at_once, join, leave, left_with_others

    try:
        join(saves_when_stopped=True)  # before anything else initialises JAX
    except ValueError as error:
        sys.exit(f"error: {error}")
    from oasis_jax.checkpoint import CheckpointError
    from oasis_jax.data.labels import DataError
    from oasis_jax.parallel.preemption import ending_before_training
    from oasis_jax.training.kept_step import KeptStep
    from oasis_jax.training.setup import check_before_writing, set_up
    from oasis_jax.training.workdir import claimed, keep_compiled

    with contextlib.ExitStack() as stack:
        stack.enter_context(failing_at_once())
        stack.enter_context(left_with_others(lambda: "start all processes again with the same command"))
        stack.enter_context(_explaining_a_full_disk(leave))
        with ending_before_training():
            try:
                check_before_writing(flags.FLAGS.config, _WORKDIR.value)
                workdir = stack.enter_context(claimed(_WORKDIR.value))
                keep_compiled(workdir)
                run = set_up(flags.FLAGS.config, workdir)
                kept = KeptStep(run)
            except (CheckpointError, DataError, ValueError) as error:  # in training, a ValueError is a bug of ours: it keeps its traceback
                leave(f"error: {error}")
            from oasis_jax.training.divergence import TrainingDivergedError
            from oasis_jax.training.loop import train  # imports TensorFlow, while the kept step is compiled

        try:
            train(run, kept, in_command=True)
        except (DataError, CheckpointError, TrainingDivergedError) as error:
            leave(f"error: {error}")
    end_together()


if __name__ == "__main__":
    config_flag.define()
    command_line.run(main, "main", ["config", "workdir"], config_flag.parse_flags, ["tensorflow"])
