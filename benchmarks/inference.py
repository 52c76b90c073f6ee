"""Seconds per image of the published generator, with conditioning computed densely and on regions in turn.

    python -m benchmarks.inference --root=/data/camvid --height=256 --width=512

The label maps are spread over the training split; without --root, they are of procedural scenes. Both ways generate the same images. On
regions, capacities are those of sampling at this size; the check that a label map fits them is part of the measured time.
"""
import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import label_maps
from benchmarks.faults import without_traceback
from oasis_jax.layers.initial import initial_variables
from oasis_jax.oasis.boundaries import boundary_counts
from oasis_jax.oasis.capacities import describe, fit, of_size
from oasis_jax.oasis.generator import Generator


def compile_for(generator, variables, ids, noise):
    """Compiles a generator as `Model.images` runs it: (variables, ids, noise) -> (image, fits). Prints the compile time and memory."""

    def generate(variables, ids, noise):
        image = generator.apply(variables, ids, noise)
        return image, generator.fits(ids) if generator.capacities else True

    start = time.perf_counter()
    compiled = jax.jit(generate).lower(variables, ids, noise).compile()
    memory = compiled.memory_analysis().temp_size_in_bytes / 2**30
    levels = describe(generator.capacities, ids.shape[1:])
    print(f"compiled in {time.perf_counter() - start:.1f} s, {memory:.2f} GiB besides the weights: {levels}")
    return compiled


def run(args):
    size = args.height, args.width
    maps, num_classes = label_maps.read(args, size, args.count)
    dense = Generator(num_classes=num_classes, dtype=jnp.dtype(args.dtype))
    noise = jnp.asarray(np.random.default_rng(0).standard_normal((1, dense.z_dim), np.float32))
    variables = jax.jit(lambda: initial_variables(dense, 1.0, jax.random.key(0), jnp.zeros((1, *size), jnp.int32), noise))()
    print(f"one image {args.height}x{args.width}, {num_classes} ids, {args.dtype}; {jax.devices()[0].device_kind}")
    compiled, times, differences = {}, {"dense": [], "regions": []}, []
    for ids in maps:
        images = []
        for name, capacities in (("dense", ()), ("regions", of_size(size))):
            if capacities not in compiled:
                generator = dense.clone(capacities=capacities, known_to_fit=True)
                compiled[capacities] = compile_for(generator, variables, jnp.asarray(ids[None]), noise)
            for repeat in range(args.repeats + 1):
                start = time.perf_counter()
                assert fit(ids, capacities)
                image, fits = compiled[capacities](variables, jnp.asarray(ids[None]), noise)
                image.block_until_ready()
                if repeat:
                    times[name].append(time.perf_counter() - start)
            assert fits
            images.append(image)
        differences.append(float(jnp.abs(images[0] - images[1]).max()))
    shares = [boundary_counts(ids, 1)[0, 1] / ids.size for ids in maps]
    print(f"pixels with a mixed 5x5 neighbourhood: median {np.median(shares):.0%}, worst {max(shares):.0%}")
    seconds = {name: np.median(values) for name, values in times.items()}
    for name, value in seconds.items():
        print(f"{name:10}{value:8.3g} s")
    print(f"ratio     {seconds['dense'] / seconds['regions']:8.2f}     largest difference {max(differences):.1e} of a range of 2")


@without_traceback("inference")
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    label_maps.add_flags(parser)
    parser.add_argument("--count", type=int, default=5, help="number of label maps")
    parser.add_argument("--repeats", type=int, default=2, help="timed images of each label map")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    run(parser.parse_args())


if __name__ == "__main__":
    main()
