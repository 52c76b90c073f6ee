"""Where region-wise conditioning pays off: one SPADE modulation per level of the generator, computed densely and on regions in turn.

    python -m benchmarks.conditioning --root=/data/camvid --height=256 --width=512

Levels and widths are those of the published generator. Each level is measured on the label map with the median share of mixed pixels; the
capacity is what that map needs, times --slack. Without --root, the label maps are of procedural scenes.
"""
import argparse
import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import label_maps
from benchmarks.faults import without_traceback
from oasis_jax.oasis import regions
from oasis_jax.oasis.boundaries import boundary_counts
from oasis_jax.oasis.capacities import choose_capacities
from oasis_jax.oasis.dense import Dense

CHANNELS = (128, 256, 512, 1024, 1024, 1024)  # of the widest modulation of a level, full image first
HIDDEN, Z_DIM = 128, 64


def interleaved(functions, arguments, repeats):
    """Median seconds of each function, with the functions taking turns; compilation is not counted."""
    compiled = [jax.jit(function).lower(*arguments).compile() for function in functions]
    times = np.zeros((repeats, len(functions)))
    for i in range(-1, repeats):
        for j, function in enumerate(compiled):
            start = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            if i >= 0:
                times[i, j] = time.perf_counter() - start
    return np.median(times, axis=0)


def measure(ids, num_ids, channels, capacity, dtype, repeats):
    """Seconds of one modulation of a label map (H, W), forward, then forward with all gradients: ((dense, regions), (dense, regions))."""
    draw = np.random.default_rng(0).standard_normal
    height, width = ids.shape

    def array(*shape):
        return jnp.asarray(draw(shape, np.float32) / np.sqrt(np.prod(shape[:-1])), dtype)

    shared = array(3, 3, Z_DIM + num_ids, HIDDEN), array(HIDDEN)
    scale, shift = ((array(3, 3, HIDDEN, channels), array(channels)) for _ in range(2))
    arguments = array(1, height, width, channels), array(1, num_ids, Z_DIM + num_ids), shared, scale, shift, jnp.asarray(ids[None])

    def dense(x, table, *others):
        *weights, ids = others
        return sum(regions.modulate_dense(x, Dense(regions.look_up(table, ids)), *weights))

    def by_regions(x, table, *others):
        *weights, ids = others
        plan = regions.make_plan(ids, num_ids, capacity)
        return sum(regions.modulate(x, regions.Regions(ids, table, plan), *weights))

    def with_gradients(function):
        return lambda *arguments: jax.vjp(lambda *a: function(*a, arguments[-1]), *arguments[:-1])[1](arguments[0])

    functions = dense, by_regions
    return interleaved(functions, arguments, repeats), interleaved([with_gradients(f) for f in functions], arguments, repeats)


def crossover(shares, ratios):
    """The share of mixed pixels, interpolated between two levels, at which both take equally long; None if one is always faster.

    Args:
        shares: share of mixed pixels of each level.
        ratios: dense seconds over seconds on regions of each level.
    """
    levels = sorted(zip(shares, ratios, strict=True))
    for (share, ratio), (next_share, next_ratio) in itertools.pairwise(levels):
        if (ratio >= 1) != (next_ratio >= 1):
            return float(np.interp(0, *zip(*sorted([(np.log(ratio), share), (np.log(next_ratio), next_share)]), strict=True)))
    return None


def run(args):
    maps, num_ids = label_maps.read(args, (args.height, args.width), args.count)
    print(f"{args.count} label maps {args.height}x{args.width}, {num_ids} ids, {args.dtype}; {jax.devices()[0].device_kind}")
    print(f"{'level':>10}{'5x5':>8}{'3x3':>8}{'worst':>8}{'channels':>10}{'forward':>20}{'ratio':>7}{'with gradients':>20}{'ratio':>7}")
    shares, ratios = [], []
    for halvings, channels in zip(range(args.levels), CHANNELS, strict=False):
        sampled = maps[:, :: 2**halvings, :: 2**halvings]
        counts = np.asarray([boundary_counts(ids, 1)[0] for ids in sampled])
        median = np.argsort(counts[:, 1])[len(counts) // 2]
        ids = sampled[median]
        hidden, modulation = counts[:, 0] / ids.size, counts[:, 1] / ids.size
        (capacity,) = choose_capacities(counts[median][None], ids.shape, largest=1, slack=args.slack)
        forward, gradients = measure(ids, num_ids, channels, capacity, args.dtype, args.repeats)
        row = f"{ids.shape[0]:4}x{ids.shape[1]:<5}{np.median(modulation):8.0%}{np.median(hidden):8.0%}{modulation.max():8.0%}{channels:10}"
        for dense, by_regions in (forward, gradients):
            row += f"{1e3 * dense:10.3g}{1e3 * by_regions:7.3g} ms{dense / by_regions:7.2f}"
        print(row, flush=True)
        shares.append(np.median(modulation))
        ratios.append([dense / by_regions for dense, by_regions in (forward, gradients)])
    for name, column in zip(("forward", "with gradients"), np.transpose(ratios), strict=True):
        share = crossover(shares, column)
        faster = "on regions" if column[0] >= 1 else "dense"
        print(f"{name}: {f'equally fast at {share:.0%} mixed pixels' if share else f'{faster} is faster on all levels'}")


@without_traceback("conditioning")
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    label_maps.add_flags(parser)
    parser.add_argument("--count", type=int, default=15, help="number of label maps, of which the median one is measured")
    parser.add_argument("--levels", type=int, default=5, help="number of levels, from the full image on")
    parser.add_argument("--slack", type=float, default=1.2, help="capacity over what the label map needs")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=5)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
