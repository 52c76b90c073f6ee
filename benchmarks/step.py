"""Speed, memory and compile time of the whole training step, against a plain matrix product timed in the same run.

    python -m benchmarks.step --height=128 --width=128
    python -m benchmarks.step --height=256 --width=512 --compile_only

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
from oasis_jax.models import layers
from oasis_jax.training.state import create_state


def convolution_work(module, *inputs):
    """{path of a convolution: GFLOP of one forward} of one application."""
    work = {}

    def count(next_method, args, kwargs, context):
        result = next_method(*args, **kwargs)
        if isinstance(context.module, layers.Conv) and context.method_name == "__call__":
            work["/".join(context.module.path)] = 2e-9 * result.size * args[0].shape[-1] * context.module.kernel_size**2
        return result

    with nn.intercept_methods(count):
        jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return work


def step_work(step, batch, size):
    """GFLOP of the convolutions of one step."""
    labels = jnp.zeros((batch, *size), jnp.int32)
    noise = jnp.zeros((batch, step.generator.z_dim)) if step.generator.z_dim else None
    of_g = convolution_work(step.generator, labels, noise)
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


def get_config(args):
    config = default.get_config()
    config.data.num_classes = args.num_classes
    config.data.image_size = (args.height, args.width)
    config.model.dtype = args.dtype
    config.model.remat = args.remat
    config.train.batch_size = args.batch
    config.train.discriminator_schedule = args.schedule
    return config


def run(args):
    size = (args.height, args.width)
    step = build.train_step(get_config(args))
    create = jax.jit(lambda: create_state(step.generator, step.discriminator, (step.optimizer_g, step.optimizer_d), size, seed=0))
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (args.batch, *size, 3), np.uint8),
        "label_map": rng.integers(0, args.num_classes, (args.batch, *size), np.uint8),
    }
    lowered = jax.jit(step, donate_argnums=0).lower(jax.eval_shape(create), batch)
    wall, processor = time.perf_counter(), time.process_time()
    compiled = lowered.compile()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    memory = compiled.memory_analysis()
    peak = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes + memory.temp_size_in_bytes
    gflop = step_work(step, args.batch, size)
    machine = f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores"
    print(f"step {args.height}x{args.width}, batch {args.batch}, {args.dtype}, {args.schedule}; {machine}")
    print(f"{'compile':34}{wall:10.1f} s ({processor:.1f} s of processor time)")
    print(f"{'memory':34}{peak / 2**30:10.2f} GiB")
    print(f"{'convolutions of a step':34}{gflop:10.0f} GFLOP")
    if args.compile_only:
        return
    state, rates, times = create(), [], []
    for i in range(args.steps + 1):
        rates.append(matrix_product_rate())
        start = time.perf_counter()
        state, _ = jax.block_until_ready(compiled(state, batch))
        if i:  # the first call touches its memory for the first time
            times.append(time.perf_counter() - start)
    rate, product_rate = gflop / np.median(times), np.median(rates)
    print(f"{'step':34}{np.median(times):10.2f} s")
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
    parser.add_argument("--steps", type=int, default=5, help="to time")
    parser.add_argument("--compile_only", action="store_true")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
