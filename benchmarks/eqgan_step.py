"""Speed, memory and compile time of EqGAN-SA's training step, compared with the same step with resampling in plain JAX.

    python -m benchmarks.eqgan_step                        # the small network of configs/eqgan_scenes.py
    python -m benchmarks.eqgan_step --config=configs/eqgan_ffhq.py --resolution=64 --batch=4
    python -m benchmarks.eqgan_step --config=configs/eqgan_ffhq.py --batch=8 --compile_only

Three steps take turns: as trained; with resampling in plain JAX (filters as depthwise convolutions, strided and transposed convolutions
with XLA's gradients); and as trained but without R1, which shows how much memory the R1 branch of the one compiled step needs. Steps with
and without the R1 update are timed separately.
"""
import argparse
import contextlib
import itertools
import os
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.candidates import Candidate
from benchmarks.faults import without_traceback
from oasis_jax import config_flag
from oasis_jax.eqgan import discriminator, family, synthesis
from oasis_jax.heatmaps import of_seed

_FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
_AXES = ("NHWC", "HWIO", "NHWC")


def _filtered(x, padding, gain=1, stride=1, dilation=1):
    """Pads, filters by a depthwise convolution, and keeps every `stride`-th pixel; `dilation` puts zeros between the pixels first."""
    kernel = jnp.broadcast_to(jnp.asarray(gain * _FILTER, x.dtype)[..., None, None], (4, 4, 1, x.shape[-1]))
    return lax.conv_general_dilated(
        x, kernel, (stride,) * 2, [padding] * 2, (dilation,) * 2, dimension_numbers=_AXES, feature_group_count=x.shape[-1]
    )


def plain_upsample(x):
    return _filtered(x, (2, 2), gain=4, dilation=2)


def plain_downsample(x):
    return _filtered(x, (1, 1), stride=2)


def plain_conv2d_up(x, kernel):
    up = lax.conv_general_dilated(x, kernel[::-1, ::-1], (1, 1), [(2, 2)] * 2, lhs_dilation=(2, 2), dimension_numbers=_AXES)
    return _filtered(up, (1, 1), gain=4)


def plain_conv2d_down(x, kernel):
    return lax.conv_general_dilated(_filtered(x, (2, 2)), kernel, (2, 2), "VALID", dimension_numbers=_AXES)


@contextlib.contextmanager
def plain_resampling():
    """Within this context, networks are traced with resampling in plain JAX."""
    jax.clear_caches()  # otherwise a step that was traced before would not be traced again
    with (
        mock.patch.multiple(synthesis, conv2d_up=plain_conv2d_up, upsample=plain_upsample),
        mock.patch.multiple(discriminator, conv2d_down=plain_conv2d_down, downsample=plain_downsample),
    ):
        yield


def get_config(args):
    """The config that the flags select, with their overrides."""
    config = config_flag.load_or_exit(args.config)
    with config.unlocked():
        if args.resolution:
            config.data.image_size = (args.resolution,) * 2
        config.train.batch_size = args.batch or config.train.batch_size
        config.model.dtype = args.dtype
        config.model.remat = args.remat
    return config


def make_candidates(config):
    """The Candidates: as trained, in plain JAX, and without R1."""
    size, count = tuple(config.data.image_size), config.train.batch_size
    batch = {"image": np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8)}
    if config.model.spatial_awareness:
        batch["heatmaps"] = np.asarray([[of_seed(2 * i + update) for update in range(2)] for i in range(count)], np.float32)
    step = family.train_step(config)
    candidates = [Candidate("as trained", step, batch, size)]
    with plain_resampling():
        candidates.append(Candidate("resampling in plain JAX", step, batch, size))
    config.loss.r1_gamma = 0.0
    return [*candidates, Candidate("as trained, without R1", family.train_step(config), batch, size)]


def run(args):
    config = get_config(args)
    side, every = config.data.image_size[0], config.loss.r1_every
    print(f"{args.config}: step {side}x{side}, batch {config.train.batch_size}, {args.dtype}; ", end="")
    print(f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores")
    candidates = make_candidates(config)
    if not args.compile_only:
        for _ in range(args.steps + 1):
            for candidate in candidates:
                candidate.take()
        for candidate in candidates:
            # Step 0 is not among the times. Steps 16, 32, ... have the R1 update.
            times = np.asarray(candidate.times)
            with_r1 = np.arange(1, len(times) + 1) % every == 0
            line = f"{candidate.name}: {np.median(times[~with_r1]):.3g} s a step"
            print(line + (f", {np.median(times[with_r1]):.3g} s in every {every}th" if with_r1.any() else ""))
    for other, candidate in itertools.combinations(candidates, 2):
        candidate.compare(other)


@without_traceback("eqgan_step")
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/eqgan_scenes.py")
    parser.add_argument("--resolution", type=int, default=0, help="instead of the config's")
    parser.add_argument("--batch", type=int, default=0, help="instead of the config's")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float64"), help="float64 needs JAX_ENABLE_X64=1")
    parser.add_argument("--remat", action="store_true", help="recompute the blocks in the backward pass")
    parser.add_argument("--steps", type=int, default=16, help="number of timed steps; every 16th has the R1 update")
    parser.add_argument("--compile_only", action="store_true", help="take no step")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
