"""Speed, memory and compile time of the whole training step, compared with a plain matrix product in the same run.

    python -m benchmarks.step --height=128 --width=128
    python -m benchmarks.step --height=256 --width=512 --compile_only
    python -m benchmarks.step --height=256 --width=256 --conditioning=both --root=/data/camvid
    python -m benchmarks.step --spatial_awareness     # with and without it in turn

With --conditioning=both, three steps take turns: with the convolutions as published, with those of D fused with its resampling, and with
that and conditioning on regions. The label maps are those of the data set at --root, or of procedural scenes.

The networks have the published widths. The work of a step is counted from the shapes of its convolutions alone, with 2 operations per
multiply-add: the forward pass, the gradient of the input and the gradient of the kernel, each where the step needs it.
"""
import argparse
import dataclasses
import itertools
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from benchmarks import label_maps
from benchmarks.candidates import Candidate
from benchmarks.faults import without_traceback
from configs import default
from oasis_jax.heatmaps import NUM_MAPS, of_seed
from oasis_jax.layers import convolution, normalised
from oasis_jax.layers.spatial import EqualizedConv
from oasis_jax.oasis import family
from oasis_jax.oasis.boundaries import boundary_counts
from oasis_jax.oasis.capacities import choose_capacities
from oasis_jax.oasis.discriminator import conv2d_then_downsample
from oasis_jax.oasis.spade import SPADE


def convolution_work(module, *inputs):
    """{path of a convolution: GFLOP} of one forward pass of a module, without resampling."""
    work = {}

    def count(next_method, args, kwargs, context):
        layer, result = context.module, next_method(*args, **kwargs)
        path = "/".join(layer.path)
        if isinstance(layer, (normalised.Conv, EqualizedConv)) and context.method_name == "__call__":
            pooled = 4 if getattr(layer, "convolve", None) is conv2d_then_downsample else 1
            work[path] = 2e-9 * pooled * result.size * args[0].shape[-1] * layer.kernel_size**2
        if isinstance(layer, SPADE):
            pixels, (x, y) = result.size // result.shape[-1], args
            work[f"{path}/shared"] = 2e-9 * 9 * pixels * y.channels * layer.hidden
            work[f"{path}/gamma_beta"] = 2e-9 * 9 * pixels * layer.hidden * 2 * x.shape[-1]
        return result

    with nn.intercept_methods(count):
        jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return work


def step_work(step, batch, size):
    """GFLOP of the convolutions of one step as published, however it is computed."""
    labels = jnp.zeros((batch, *size), jnp.int32)
    noise = jnp.zeros((batch, step.generator.z_dim)) if step.generator.z_dim else None
    heatmaps = jnp.ones((batch, NUM_MAPS, 3)) if step.generator.spatially_aware else None
    of_g = convolution_work(step.generator.clone(capacities=()), labels, noise, heatmaps)
    of_d = convolution_work(step.discriminator.clone(fused=False), jnp.zeros((batch, *size, 3)))
    inputs_of_d = 3 if step.hyper.labelmix else 2
    # G: forward and both gradients for its own update, and forward for D's. Label maps and noise need no gradient.
    total = sum(gflop * (3 if name == "conv_in" or name.endswith("/shared") else 4) for name, gflop in of_g.items())
    # D: forward and input gradient for G's update, forward and both gradients for its own, where images need no gradient.
    first = ("encoder_0/conv_0", "encoder_0/conv_s")
    return total + sum(gflop * (2 + inputs_of_d * (2 if name in first else 3)) for name, gflop in of_d.items())


def median_seconds(function, *args, repeats):
    """Median seconds of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - start)
    return np.median(times)


def matrix_product_rate(side=3072):
    """GFLOP/s of a square float32 matrix product."""
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((side, side), dtype=np.float32))
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(matrix, matrix))
    return 2e-9 * side**3 / median_seconds(product, matrix, matrix, repeats=3)


def kernel_gradient_ratio(side=128, channels=128):
    """Speed of a convolution's kernel gradient by matrix products on a fine level, in multiples of the speed of XLA's."""
    x, gradient = (jnp.ones((1, side, side, channels)) for _ in range(2))
    kernel = jnp.ones((3, 3, channels, channels))
    times = []
    for function in (convolution.xla_kernel_gradient, convolution.kernel_gradient_by_products):
        function = jax.jit(function)
        jax.block_until_ready(function(x, kernel, gradient))
        times.append(median_seconds(function, x, kernel, gradient, repeats=5))
    return times[0] / times[1]


def get_config(args, num_classes, spatial_awareness=False):
    """The default config with the fields that the flags set."""
    config = default.get_config()
    config.data.num_classes = num_classes
    config.data.image_size = (args.height, args.width)
    config.model.dtype = args.dtype
    config.model.remat = args.remat
    config.train.batch_size = args.batch
    config.train.discriminator_schedule = args.schedule
    config.model.spatial_awareness = spatial_awareness
    config.loss.update(align=args.align, attn_objective=args.attn_objective)
    return config


def make_candidates(args):
    """Yields the Candidates that the flags select."""
    size = (args.height, args.width)

    def candidate(name, step, batch):
        return Candidate(name, step, batch, size, step_work(step, args.batch, size))

    maps, num_classes = label_maps.read(args, size, args.batch)
    step = family.train_step(get_config(args, num_classes))
    image = np.random.default_rng(0).integers(0, 256, (args.batch, *size, 3), np.uint8)
    batch = {"image": image, "label_map": maps.astype(np.uint8)}
    counts = np.max([boundary_counts(ids, step.generator.num_blocks) for ids in maps], axis=0)
    on_regions = step.generator.clone(capacities=choose_capacities(counts, size))
    if args.conditioning == "both":
        yield candidate("as published", dataclasses.replace(step, discriminator=step.discriminator.clone(fused=False)), batch)
    if args.conditioning in ("dense", "both"):
        yield candidate("dense", step, batch)
    if args.conditioning in ("regions", "both"):
        yield candidate("regions", dataclasses.replace(step, generator=on_regions), batch)
    if args.spatial_awareness:
        aware = family.train_step(get_config(args, num_classes, spatial_awareness=True))
        heatmaps = [[of_seed(2 * i + update) for update in range(2)] for i in range(args.batch)]
        yield candidate("dense, spatially aware", aware, batch | {"heatmaps": np.asarray(heatmaps, np.float32)})


def run(args):
    print(f"step {args.height}x{args.width}, batch {args.batch}, {args.dtype}, {args.schedule}; ", end="")
    print(f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores")
    candidates, rates = list(make_candidates(args)), []
    if not args.compile_only:
        for _ in range(args.steps + 1):
            rates.append(matrix_product_rate())
            for candidate in candidates:
                candidate.take()
        product_rate = np.median(rates)
        print(f"matrix product 3072x3072: {product_rate:.1f} GFLOP/s")
        for candidate in candidates:
            seconds = np.median(candidate.times)
            rate = candidate.gflop / seconds
            print(f"{candidate.name}: {seconds:.3g} s, published work at {rate:.1f} GFLOP/s, {rate / product_rate:.2f} of the product's")
        print(f"kernel gradient of a convolution: {kernel_gradient_ratio():.2f} times as fast as XLA's")
    for other, candidate in itertools.combinations(candidates, 2):
        candidate.compare(other)


@without_traceback("step")
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    label_maps.add_flags(parser, height=128, width=128)
    parser.add_argument("--conditioning", default="dense", choices=("dense", "regions", "both"))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float64"), help="float64 needs JAX_ENABLE_X64=1")
    parser.add_argument("--schedule", default="batched", choices=("batched", "sequential"), help="how D is run on its inputs")
    parser.add_argument("--remat", action="store_true", help="recompute the blocks in the backward pass")
    parser.add_argument("--spatial_awareness", action="store_true", help="also measure the spatially aware step")
    parser.add_argument("--align", type=float, default=0.1, help="weight of the alignment loss; with 0, only the SELs remain")
    parser.add_argument("--attn_objective", default="ce", choices=("ce", "fake"))
    parser.add_argument("--steps", type=int, default=5, help="number of timed steps")
    parser.add_argument("--compile_only", action="store_true", help="take no step")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
