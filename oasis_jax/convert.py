"""The conversion command: a published PyTorch checkpoint in, a run folder out.

    python -m oasis_jax.convert --config=configs/cityscapes.py --ema=cityscapes_EMA.pth --output=runs/published

`oasis_jax.load` and `oasis_jax.sample` then read the folder. If the files of the networks in training are given too
(--generator=*_G.pth --discriminator=*_D.pth), `oasis_jax.main --workdir=` the same folder resumes training: at step 0 and with fresh
optimizer states, since the published files hold neither. Which files there are depends on the family of --config; --help lists them.
Reading .pth files needs PyTorch, of which only the loader of plain tensors is used: pip install 'oasis_jax[convert]'.
"""
import sys

from absl import app, flags, logging

from oasis_jax import config_flag
from oasis_jax.checkpoint import CheckpointError, Checkpoints
from oasis_jax.family import find_family


def write_run(workdir, config, ema, state=None):
    """Writes the checkpoint of step 0 into a run folder.

    Args:
        workdir: of the run.
        config: ConfigDict.
        ema: variables of the averaged generator.
        state: train state, or None for a generator that is only sampled from.

    Raises:
        CheckpointError: the folder holds checkpoints already, or cannot be written.
        ValueError: config.eval.score is not a score that the run measures.
    """
    from oasis_jax.training.setup import score_direction  # which imports TensorFlow

    with Checkpoints(workdir, config.checkpoint.keep, config.eval.score, score_direction(config)) as checkpoints:
        if checkpoints.latest_step() is not None:
            raise CheckpointError(f"{checkpoints.directory} holds checkpoints already: choose another --output")
        checkpoints.save(0, state, ema, config.to_dict(), wait=True)


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"unknown arguments {argv[1:]}: options are written --name=value")
    options = flags.FLAGS
    logging.set_verbosity(logging.WARNING)
    try:
        family = find_family(options.config)
        paths = {name: options[name].value for name in family.published_files}
        ema, state = family.from_published(options.config, {name: path for name, path in paths.items() if path})
        write_run(options.output, options.config, ema, state)
    except (CheckpointError, ValueError, ImportError) as error:
        sys.exit(f"convert: {error}")
    print(f"wrote {options.output}; to sample: python -m oasis_jax.sample --checkpoint={options.output} --labels=DIR --output=DIR")


def define_flags(argv):
    """Defines the flags; those of the published files are the ones that the family of --config has."""
    config_flag.define()
    flags.DEFINE_string("output", None, "Run folder to write.", required=True)
    if path := config_flag.value_of("config", argv):
        try:
            files = find_family(config_flag.load(path)).published_files
        except (FileNotFoundError, ValueError) as error:
            sys.exit(f"convert: --config={path}: {error}")
        for rank, (name, description) in enumerate(files.items()):
            flags.DEFINE_string(name, None, description, required=rank == 0)


if __name__ == "__main__":
    define_flags(sys.argv)
    app.run(main, flags_parser=config_flag.parse_flags)
