"""Whether heatmaps change the images of a run, and where its discriminator looks.

    python -m benchmarks.attention --root=/data/camvid runs/camvid_sa runs/camvid

For each run, on label maps spread over the validation split:
  * the mean absolute difference, of 255, between images with different noise, and between images with different heatmaps;
  * the alignment distance of D's attention from the heatmaps that an image was generated with, and from those of another image: equal
    distances mean that D does not look where G was told to look;
  * the attention to each class in multiples of the mean: how much the layout alone determines where D looks.
"""
import argparse

import jax
import jax.numpy as jnp
import numpy as np

import oasis_jax
from oasis_jax.checkpoint import load_state
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.pipeline import eval_batches
from oasis_jax.heatmaps import LEVELS, of_seed
from oasis_jax.layers.attention import alignment_loss, attention_maps, targets
from oasis_jax.layers.spatial import render
from oasis_jax.oasis import losses
from oasis_jax.oasis.alignment import attended_blocks, attended_forward
from oasis_jax.oasis.from_config import make_discriminator
from oasis_jax.oasis.train_step import MUTABLE_D
from oasis_jax.ranges import normalise


def attended(discriminator, variables, image, label_map, dontcare_id, side="decoder"):
    """D's attention to images (B, H, W, 3) in [-1, 1], with G's adversarial loss as its scalar: three (B, H, W), coarse to fine."""
    blocks = attended_blocks(side, discriminator.num_blocks)
    weights = losses.class_weights(label_map, discriminator.num_classes, dontcare_id)
    passed = attended_forward(discriminator, variables, image, blocks, MUTABLE_D)
    of_logits = jax.grad(losses.real_target_loss)(passed.logits, label_map, weights)
    return attention_maps(passed.features, passed.of_features(passed.of_carry(of_logits)), blocks, image.shape[1:3])


def measure(run, root, count):
    """Prints the numbers of one run, of `count` label maps."""
    model, variables = oasis_jax.load(run), load_state(run)["discriminator"]
    config = model.config
    config.data.root = root or config.data.root
    spec, discriminator, dontcare_id = DataSpec.of_config(config.data), make_discriminator(config), config.data.dontcare_id
    split = open_split(spec, "val", model.columns).spread(count)
    labels = next(eval_batches(split, spec, count))["label_map"].astype(np.int32)
    own_seeds, other_seeds = range(count), range(count, 2 * count)
    own, others = (np.stack([of_seed(seed) for seed in seeds]) for seeds in (own_seeds, other_seeds))
    aware = model.spatially_aware

    def images(seeds, heatmaps):
        return model.sample(labels, seed=seeds, heatmaps=heatmaps if aware else None)

    def change(seeds, heatmaps):
        return np.abs(images(seeds, heatmaps).astype(float) - generated).mean()

    generated = images(own_seeds, own)
    print(f"{run}, step {model.step}: {count} label maps {labels.shape[1]}x{labels.shape[2]}")
    print(f"  other noise changes pixels by {change(other_seeds, own):.2f} of 255", end="")
    print(f", other heatmaps by {change(own_seeds, others):.2f}" if aware else "")

    maps = jax.jit(lambda image: attended(discriminator, variables, image, jnp.asarray(labels), dontcare_id))(normalise(generated))
    counted = jnp.asarray(labels != dontcare_id)
    wanted = [targets(render(jnp.asarray(heatmaps), labels.shape[1:], model.generator.isotropic)) for heatmaps in (own, others)]
    present = np.unique(labels)
    for level, name in enumerate(LEVELS):
        attention = np.asarray(maps[level])
        distances = [float(alignment_loss(maps[level], of_levels[level], mask=counted)) for of_levels in wanted]
        of_class = [f"{model.class_names[i]} {attention[labels == i].mean() / attention.mean():.1f}" for i in present]
        distance = f"{distances[0]:.3f} from {'its own' if aware else 'some'} heatmaps, {distances[1]:.3f} from others"
        print(f"  {name}: {distance}; classes: {', '.join(of_class)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="workdirs of runs; their checkpoints must hold the discriminator")
    parser.add_argument("--root", default="", help="folder of the data set; by default that of each run's config")
    parser.add_argument("--count", type=int, default=24, help="number of label maps")
    args = parser.parse_args()
    for run in args.runs:
        measure(run, args.root, args.count)


if __name__ == "__main__":
    main()
