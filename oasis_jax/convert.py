"""The conversion command: published PyTorch checkpoints in, a run folder out.

    python -m oasis_jax.convert --config=configs/cityscapes.py --ema=cityscapes_EMA.pth --output=runs/published

`oasis_jax.load` and `oasis_jax.sample` then read the folder. With --generator=*_G.pth and --discriminator=*_D.pth besides, training can go
on from it with `oasis_jax.main --workdir=` the same folder: at step 0 and with fresh optimizers, since the published files hold neither.
Reading .pth files needs PyTorch, of which only the loader of plain tensors is used: pip install 'oasis_jax[convert]'.
"""
import functools
import pickle
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from absl import app, flags, logging

from oasis_jax import build, config_flag
from oasis_jax.interop.pytorch import from_state_dict
from oasis_jax.metrics import HIGHER_IS_BETTER
from oasis_jax.training.checkpoint import CheckpointError, Checkpoints
from oasis_jax.training.state import create_state


def converted(config, ema, generator=None, discriminator=None):
    """Our variables from published state dicts.

    Args:
      config: ConfigDict of the data set that the networks were trained on.
      ema: state dict of the averaged generator, {name: numpy array} in PyTorch's layout.
      generator, discriminator: state dicts of the networks in training, both or neither.

    Returns:
      (variables of the averaged generator; a TrainState at step 0 with fresh optimizers, or None without the two networks).

    Raises:
      ValueError: only one of the two networks is given, or an entry is missing, unexpected or of another shape than the config says.
    """
    if (generator is None) != (discriminator is None):
        raise ValueError("training goes on from both networks: give --generator and --discriminator, or neither of them to sample only")
    step = build.train_step(config)
    optimizers = (step.optimizer_g, step.optimizer_d)
    create = functools.partial(create_state, step.generator, step.discriminator, optimizers, tuple(config.data.image_size), config.seed)
    template = jax.eval_shape(create)

    ema = _fill("ema", ema, template.ema)
    if generator is None:
        return ema, None
    generator = _fill("generator", generator, template.generator)
    discriminator = _fill("discriminator", discriminator, template.discriminator)
    return ema, template.replace(
        step=jnp.zeros((), jnp.int32),
        generator=generator,
        discriminator=discriminator,
        ema=ema,
        opt_state_g=step.optimizer_g.init(generator["params"]),
        opt_state_d=step.optimizer_d.init(discriminator["params"]),
    )


def write_run(workdir, config, ema, state=None):
    """Writes the checkpoint of step 0 into a run folder.

    Raises:
      CheckpointError: the folder holds checkpoints already, or cannot be written.
    """
    with Checkpoints(workdir, config.checkpoint.keep, config.eval.score, HIGHER_IS_BETTER[config.eval.score]) as checkpoints:
        if checkpoints.latest_step() is not None:
            raise CheckpointError(f"{checkpoints.directory} holds checkpoints already: choose another --output")
        checkpoints.save(0, state, ema, config.to_dict(), wait=True)


def read_pth(path):
    """The state dict in a .pth file as {name: numpy array}; code that the file may hold is not run.

    Raises:
      ImportError: PyTorch is missing.
      ValueError: the file is missing, damaged, or not a plain state dict.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"reading {path} needs PyTorch: pip install 'oasis_jax[convert]'") from error
    try:
        state_dict = torch.load(Path(path).expanduser(), map_location="cpu", weights_only=True)
        return {name: tensor.numpy() for name, tensor in state_dict.items()}
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read as a state dict ({error}): give a published *_EMA.pth, *_G.pth or *_D.pth") from error


def _fill(name, state_dict, template):
    try:
        variables = from_state_dict(state_dict, template)
    except ValueError as error:
        raise ValueError(f"--{name}: {error}\nIs --config that of the data set it was trained on?") from error
    return jax.tree.map(lambda array, leaf: jnp.asarray(array, leaf.dtype), variables, template)


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"unknown arguments {argv[1:]}: options are written --name=value")
    options = flags.FLAGS
    logging.set_verbosity(logging.WARNING)
    try:
        paths = {"ema": options.ema, "generator": options.generator, "discriminator": options.discriminator}
        state_dicts = {name: read_pth(path) for name, path in paths.items() if path}
        ema, state = converted(options.config, **state_dicts)
        write_run(options.output, options.config, ema, state)
    except (CheckpointError, ValueError, ImportError) as error:
        sys.exit(f"convert: {error}")
    print(f"wrote {options.output}; to sample: python -m oasis_jax.sample --checkpoint={options.output} --labels=DIR --output=DIR")


def _define_flags():
    config_flag.define()
    flags.DEFINE_string("ema", None, "Published *_EMA.pth.", required=True)
    flags.DEFINE_string("generator", None, "Published *_G.pth, to train on.")
    flags.DEFINE_string("discriminator", None, "Published *_D.pth, to train on.")
    flags.DEFINE_string("output", None, "Run folder to write.", required=True)


if __name__ == "__main__":
    _define_flags()
    app.run(main, flags_parser=config_flag.parse_flags)
