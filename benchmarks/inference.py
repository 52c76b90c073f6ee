"""Seconds of one image of the published generator, dense and on regions in turn, on real label maps.

    python -m benchmarks.inference --root=/data/camvid --height=256 --width=512

The label maps are spread over the training split; without --root they are procedural scenes. Both ways draw the same images.
"""
import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import label_maps
from oasis_jax.boundaries import boundary_counts
from oasis_jax.models import Generator, regions
from oasis_jax.training.state import initial_variables


def run(args):
    size = args.height, args.width
    maps, num_classes = label_maps.read(args, size, args.count)
    dense = Generator(num_classes=num_classes, dtype=jnp.dtype(args.dtype))
    counts = np.asarray([boundary_counts(ids, dense.num_blocks) for ids in maps])
    capacities = regions.choose_capacities(counts.max(0), size)
    generators = {"dense": dense, "regions": dense.clone(capacities=capacities, known_to_fit=True)}
    noise = jnp.asarray(np.random.default_rng(0).standard_normal((1, dense.z_dim), np.float32))
    variables = jax.jit(lambda: initial_variables(dense, 1.0, jax.random.key(0), jnp.zeros((1, *size), jnp.int32), noise))()
    compiled, memory = {}, {}
    print(f"one image {args.height}x{args.width}, {num_classes} ids, {args.dtype}; {jax.devices()[0].device_kind}")
    for name, generator in generators.items():
        start = time.perf_counter()
        compiled[name] = jax.jit(generator.apply).lower(variables, jnp.asarray(maps[:1]), noise).compile()
        memory[name] = compiled[name].memory_analysis().temp_size_in_bytes / 2**30
        print(f"{name:10}compiled in {time.perf_counter() - start:.1f} s, {memory[name]:.2f} GiB beside the weights")
    times, difference = {name: [] for name in compiled}, 0
    for ids in maps:
        images = []
        for name, generate in compiled.items():
            generate(variables, jnp.asarray(ids[None]), noise).block_until_ready()
            for _ in range(args.repeats):
                start = time.perf_counter()
                image = generate(variables, jnp.asarray(ids[None]), noise).block_until_ready()
                times[name].append(time.perf_counter() - start)
            images.append(image)
        difference = max(difference, float(jnp.abs(images[0] - images[1]).max()))
    seconds = {name: np.median(values) for name, values in times.items()}
    shares = counts[:, 0, 1] / (args.height * args.width)
    print(f"5x5-mixed pixels at the full size: median {np.median(shares):.0%}, worst {shares.max():.0%}")
    print(regions.describe(capacities, size))
    for name, value in seconds.items():
        print(f"{name:10}{value:8.3f} s")
    print(f"ratio     {seconds['dense'] / seconds['regions']:8.2f}     largest difference {difference:.1e} of 2")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    label_maps.add_flags(parser)
    parser.add_argument("--count", type=int, default=5, help="label maps")
    parser.add_argument("--repeats", type=int, default=2, help="of each label map")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    run(parser.parse_args())


if __name__ == "__main__":
    main()
