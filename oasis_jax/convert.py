"""The conversion command: converts a published PyTorch checkpoint to a run folder.

    python -m oasis_jax.convert --config=configs/cityscapes.py --ema=cityscapes_EMA.pth --output=runs/published
    python -m oasis_jax.convert --family=NAME --FLAG=FILE --output=runs/published

The second form is for files that say which model they hold. `--help` lists the families and the flags of their files.

`oasis_jax.load` and `oasis_jax.sample` then read the folder. If the files also hold the networks in training,
`oasis_jax.main --workdir=` the same folder trains them further: from step 0 and with fresh optimizer states, as published files hold none.
Reading .pth files needs PyTorch, of which only the loader of plain tensors is used: pip install 'oasis_jax[convert]'.
"""
import shlex
import sys

import jax
from absl import flags

from oasis_jax import command_line, config_flag
from oasis_jax.allowed import check_fields
from oasis_jax.checkpoint import CheckpointError, Checkpoints, config_of_run
from oasis_jax.family import all_families, family_names, find_family, name_of, rules_of
from oasis_jax.files import expanded, refuse_unwritable


def write_run(workdir, config, ema, state=None):
    """Writes the checkpoint of step 0 into a run folder.

    Args:
        workdir: folder of the run.
        config: ConfigDict.
        ema: variables of the averaged generator.
        state: train state, or None for a generator that is only sampled from.

    Raises:
        CheckpointError: the folder holds checkpoints already, or cannot be written.
        ValueError: config.eval.score is not a score that the run measures.
    """
    from oasis_jax.training.setup import score_direction  # which imports TensorFlow

    refuse_saved(workdir)
    with Checkpoints(workdir, config.checkpoint.keep, config.eval.score, score_direction(config)) as checkpoints:
        checkpoints.save(0, state, ema, config.to_dict(), wait=True)


def refuse_saved(workdir):
    """Raises CheckpointError if a run folder holds checkpoints."""
    if config_of_run(workdir) is not None:
        raise CheckpointError(f"{workdir} holds checkpoints already: choose another --output")


def run(options, config):
    """Converts the files that the flags (attributes of `options`) name to a run of this config; if it is None, the files must describe it.

    Raises:
        CheckpointError, ImportError, ValueError: the message says how to fix it.
    """
    family = _find_family(options.family, config)
    files = {name: getattr(options, name) for name in family.published_files if getattr(options, name)}
    others = {name for other in all_families() for name in other.published_files} - set(family.published_files)
    if wrong := sorted(name for name in others if getattr(options, name)):
        raise ValueError(f"--{wrong[0]} is not a file of this family, which has {', '.join(family.published_files) or 'none'}")
    first = next(iter(family.published_files), None)
    if first is None:
        raise ValueError("this family has no published checkpoints")
    if first not in files:
        raise ValueError(f"give --{first}=FILE: {family.published_files[first]}")
    if config is None:
        config = family.published_config(files)
    else:
        check_fields(config, rules_of(family))
    if absent := [f"--{name}={path}" for name, path in files.items() if not expanded(path).is_file()]:
        raise ValueError(f"{' and '.join(absent)}: there is no such file; give the path of a published one")
    refuse_saved(options.output)
    refuse_unwritable(expanded(options.output))
    ema, state = family.from_published(config, files)
    write_run(options.output, config, ema, state)
    labels = " --labels=DIR" if "label_map" in family.columns(config) else ""
    checkpoint = shlex.quote(f"--checkpoint={options.output}")
    print(f"wrote {options.output}; to sample: python -m oasis_jax.sample {checkpoint}{labels} --output=DIR")


def _find_family(name, config):
    if config is None and not name:
        raise ValueError("give --config=FILE, or --family=NAME for files that say which model they hold")
    if config is not None and name not in (None, name_of(config)):
        raise ValueError(f"--family={name}, but --config is of the family {name_of(config)}: leave out one of them")
    return find_family({"family": name} if config is None else config)


def main(_):
    jax.config.update("jax_platforms", "cpu")  # copying arrays needs no accelerators, and on a pod these would need all hosts
    try:
        run(flags.FLAGS, flags.FLAGS.config)
    except (CheckpointError, ValueError, ImportError) as error:
        sys.exit(f"convert: {error}")


def _define_flags():
    config_flag.define()
    flags.DEFINE_enum("family", None, family_names(), "In place of --config: the model family of files that say which model they hold.")
    flags.DEFINE_string("output", None, "Run folder to write.")
    described = {}
    for family in all_families():
        for name, description in family.published_files.items():
            described.setdefault(name, []).append(description)
    for name, descriptions in described.items():
        flags.DEFINE_string(name, None, " ".join(dict.fromkeys(descriptions)))


if __name__ == "__main__":
    _define_flags()
    command_line.run(main, "convert", ["output"], config_flag.parse_flags, reads_data=False)
