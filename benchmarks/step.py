"""Speed, memory and compile time of the whole training step, against a plain matrix product timed in the same run.

    python -m benchmarks.step --height=128 --width=128
    python -m benchmarks.step --height=256 --width=512 --compile_only
    python -m benchmarks.step --spatial_awareness     # alternates steps with and without it

The networks have the published widths. The step's work is counted from the shapes of its convolutions alone, 2 per multiply-add: once
forward, once for the gradient of the input and once for that of the kernel, wherever the step needs them.
"""
import argparse
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from configs import default
from oasis_jax import build
from oasis_jax.heatmaps import NUM_MAPS, of_seed
from oasis_jax.models import layers
from oasis_jax.models.spatial import EqualizedConv
from oasis_jax.training.state import create_state


def convolution_work(module, *inputs):
    """{path of a convolution: GFLOP of one forward} of one application."""
    work = {}

    def count(next_method, args, kwargs, context):
        result = next_method(*args, **kwargs)
        if isinstance(context.module, (layers.Conv, EqualizedConv)) and context.method_name == "__call__":
            work["/".join(context.module.path)] = 2e-9 * result.size * args[0].shape[-1] * context.module.kernel_size**2
        return result

    with nn.intercept_methods(count):
        jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return work


def step_work(step, batch, size):
    """GFLOP of the convolutions of one step."""
    labels = jnp.zeros((batch, *size), jnp.int32)
    noise = jnp.zeros((batch, step.generator.z_dim)) if step.generator.z_dim else None
    heatmaps = jnp.ones((batch, NUM_MAPS, 3)) if step.generator.spatially_aware else None
    of_g = convolution_work(step.generator, labels, noise, heatmaps)
    of_d = convolution_work(step.discriminator, jnp.zeros((batch, *size, 3)))
    inputs_of_d = 3 if step.recipe.labelmix else 2
    # G: forward and both gradients for its own update, and forward for D's; labels and noise need no gradient.
    total = sum(gflop * (3 if name == "conv_in" or name.endswith("/shared") else 4) for name, gflop in of_g.items())
    # D: forward and input gradient for G's update, forward and both gradients for its own; there, images need none.
    first = ("encoder_0/conv_0", "encoder_0/conv_s")
    return total + sum(gflop * (2 + inputs_of_d * (2 if name in first else 3)) for name, gflop in of_d.items())


def seconds(function, *args, repeats):
    """Median time of a call."""
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
    return 2e-9 * side**3 / seconds(product, matrix, matrix, repeats=3)


def kernel_gradient_ratio(side=128, channels=128):
    """How many times faster a convolution's weight gradient by products is than XLA's own, on a fine level."""
    x, gradient = (jnp.ones((1, side, side, channels)) for _ in range(2))
    kernel = jnp.ones((3, 3, channels, channels))
    times = []
    for function in (layers.xla_kernel_gradient, layers.kernel_gradient_by_products):
        function = jax.jit(function)
        jax.block_until_ready(function(x, kernel, gradient))
        times.append(seconds(function, x, kernel, gradient, repeats=5))
    return times[0] / times[1]


def get_config(args, spatial_awareness):
    config = default.get_config()
    config.data.num_classes = args.num_classes
    config.data.image_size = (args.height, args.width)
    config.model.dtype = args.dtype
    config.model.remat = args.remat
    config.train.batch_size = args.batch
    config.train.discriminator_schedule = args.schedule
    config.model.spatial_awareness = spatial_awareness
    config.loss.update(align=args.align, attn_objective=args.attn_objective)
    return config


class Compiled:
    """The compiled step with or without spatial awareness: prints compile time and memory, and runs from a fresh state."""

    def __init__(self, args, spatial_awareness):
        size, rng = (args.height, args.width), np.random.default_rng(0)
        self.step = step = build.train_step(get_config(args, spatial_awareness))
        self.batch = {
            "image": rng.integers(0, 256, (args.batch, *size, 3), np.uint8),
            "label_map": rng.integers(0, args.num_classes, (args.batch, *size), np.uint8),
        }
        if spatial_awareness:
            heatmaps = [[of_seed(2 * i + update) for update in range(2)] for i in range(args.batch)]
            self.batch["heatmaps"] = np.asarray(heatmaps, np.float32)
        self.create = jax.jit(
            lambda: create_state(step.generator, step.discriminator, (step.optimizer_g, step.optimizer_d), size, seed=0)
        )
        lowered = jax.jit(step, donate_argnums=0).lower(jax.eval_shape(self.create), self.batch)
        wall, processor = time.perf_counter(), time.process_time()
        self.compiled = lowered.compile()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        memory = self.compiled.memory_analysis()
        self.peak = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes + memory.temp_size_in_bytes
        self.gflop, self.times = step_work(step, args.batch, size), []
        self.flops = self.compiled.cost_analysis()["flops"]
        print(f"{'compile':34}{wall:10.1f} s ({processor:.1f} s of processor time)")
        print(f"{'memory':34}{self.peak / 2**30:10.2f} GiB")
        print(f"{'convolutions of a step':34}{self.gflop:10.0f} GFLOP")

    def time_once(self):
        """Runs one step; the first makes the state and touches its memory, and is not counted."""
        first = not hasattr(self, "state")
        self.state = self.create() if first else self.state
        start = time.perf_counter()
        self.state, _ = jax.block_until_ready(self.compiled(self.state, self.batch))
        if not first:
            self.times.append(time.perf_counter() - start)


def run(args):
    machine = f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores"
    print(f"step {args.height}x{args.width}, batch {args.batch}, {args.dtype}, {args.schedule}; {machine}")
    plain = Compiled(args, spatial_awareness=False)
    steps = [plain]
    if args.spatial_awareness:
        print("with spatial awareness:")
        steps.append(aware := Compiled(args, spatial_awareness=True))
        print(f"{'memory, ratio':34}{aware.peak / plain.peak:10.3f}")
        print(f"{'convolutions, ratio':34}{aware.gflop / plain.gflop:10.3f}")
        print(f"{'operations counted by XLA, ratio':34}{aware.flops / plain.flops:10.3f}")
    if args.compile_only:
        return
    rates = []
    for _ in range(args.steps + 1):
        rates.append(matrix_product_rate())
        for step in steps:
            step.time_once()
    rate, product_rate = plain.gflop / np.median(plain.times), np.median(rates)
    print(f"{'step':34}{np.median(plain.times):10.2f} s")
    if args.spatial_awareness:
        ratios = np.divide(aware.times, plain.times)
        print(f"{'step with spatial awareness':34}{np.median(aware.times):10.2f} s")
        print(f"{'ratio of neighbouring steps':34}{np.median(ratios):10.3f} ({ratios.min():.3f} to {ratios.max():.3f})")
    print(f"{'step':34}{rate:10.1f} GFLOP/s")
    print(f"{'matrix product 3072x3072':34}{product_rate:10.1f} GFLOP/s")
    print(f"{'ratio':34}{rate / product_rate:10.2f}")
    print(f"{'weight gradient against XLA':34}{kernel_gradient_ratio():10.2f} times as fast")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--num_classes", type=int, default=35)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float64"), help="float64 needs JAX_ENABLE_X64=1")
    parser.add_argument("--schedule", default="batched", choices=("batched", "sequential"), help="of D's inputs")
    parser.add_argument("--remat", action="store_true", help="recompute the blocks in the backward pass")
    parser.add_argument("--spatial_awareness", action="store_true", help="and compare with the step without it")
    parser.add_argument("--align", type=float, default=0.1, help="weight of the alignment loss; 0 leaves SEL alone")
    parser.add_argument("--attn_objective", default="ce", choices=("ce", "fake"))
    parser.add_argument("--steps", type=int, default=5, help="to time")
    parser.add_argument("--compile_only", action="store_true")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
