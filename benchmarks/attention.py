"""Measures whether heatmaps change the images of a run, and where its discriminator looks.

    python -m benchmarks.attention --root=/data/camvid runs/camvid_sa runs/camvid
    python -m benchmarks.attention runs/eqgan_scenes

For each run, on label maps spread over the validation split if the model takes them:
  * the mean absolute difference (of 255) between images with different noise or latents, and between images with different heatmaps;
  * the alignment distance of D's attention from the heatmaps that an image was generated with, and from those of another image: equal
    distances mean that D does not look where the heatmaps of G are;
  * with label maps, the attention to each class in multiples of the mean: how much the layout alone determines where D looks.
"""
import argparse

import jax
import jax.numpy as jnp
import numpy as np

import oasis_jax
from benchmarks.faults import without_traceback
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.pipeline import eval_batches
from oasis_jax.family import find_family
from oasis_jax.heatmaps import LEVELS, of_seed
from oasis_jax.layers.attention import alignment_loss, targets
from oasis_jax.layers.spatial import render
from oasis_jax.ranges import normalise
from oasis_jax.saved import load_state


def measure(run, root, count):
    """Prints the measurements of one run, on `count` images."""
    model, networks = oasis_jax.load(run), load_state(run)
    if networks is None:
        raise ValueError(f"{run} has the averaged generator alone: give the folder of a run, which has a discriminator")
    config = model.config
    config.data.root = root or config.data.root
    batch, size = {}, model.image_size
    if "label_map" in model.columns:
        spec = DataSpec.of_config(config.data)
        split = open_split(spec, "val", model.columns).spread(count)
        batch = {"label_map": next(eval_batches(split, spec, count))["label_map"].astype(np.int32)}
    seeds = range(count), range(count, 2 * count)
    own, others = (model.inputs(each, batch) for each in seeds)
    generated = model.images(own)

    def change(inputs):
        return np.abs(model.images(inputs).astype(float) - generated).mean()

    print(f"{run}, step {model.step}: {count} images {size[0]}x{size[1]}")
    print(f"  other noise changes pixels by {change(others | {'heatmaps': own['heatmaps']}):.2f} of 255", end="")
    print(f", other heatmaps by {change(own | {'heatmaps': others['heatmaps']}):.2f}" if model.spatially_aware else "")

    label_map = batch.get("label_map")
    maps = jax.jit(find_family(config).attention(config, networks, batch))(normalise(generated))
    counted = None if label_map is None else jnp.asarray(label_map != config.data.dontcare_id)
    heatmaps = [jnp.stack([of_seed(seed) for seed in each]) for each in seeds]
    isotropic = getattr(model, "isotropic", False)
    wanted = [targets(render(each, size, isotropic)) for each in heatmaps]
    for level, (name, attention) in enumerate(zip(LEVELS, maps, strict=False)):
        distances = [float(alignment_loss(attention, of_levels[level], mask=counted)) for of_levels in wanted]
        whose = "its own" if model.spatially_aware else "some"
        line = f"  {name}: {distances[0]:.3f} from {whose} heatmaps, {distances[1]:.3f} from others"
        if label_map is not None:
            relative = np.asarray(attention) / np.asarray(attention).mean()
            line += "; classes: " + ", ".join(f"{model.class_names[i]} {relative[label_map == i].mean():.1f}" for i in np.unique(label_map))
        print(line)


@without_traceback("attention", ValueError)
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="workdirs of runs; their checkpoints must hold the discriminator")
    parser.add_argument("--root", default="", help="folder of the data set; by default that of each run's config")
    parser.add_argument("--count", type=int, default=24, help="number of images")
    args = parser.parse_args()
    for run in args.runs:
        measure(run, args.root, args.count)


if __name__ == "__main__":
    main()
