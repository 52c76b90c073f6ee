"""Whether heatmaps move the images of a run, and where its discriminator looks.

    python -m benchmarks.attention --root=/data/camvid runs/camvid_sa runs/camvid

For label maps spread over the validation split, of every run:
  * the mean absolute difference, of 255, between images with different noise, and with different heatmaps;
  * the alignment distance of D's attention on these images from the heatmaps that G had, and from heatmaps that it had not: equal numbers
    mean that D does not look where G was told to look;
  * the attention of each class in multiples of the mean: how far the layout alone decides where D looks.
"""
import argparse

import jax
import jax.numpy as jnp
import numpy as np

import oasis_jax
from oasis_jax import build
from oasis_jax.data.datasets import open_split
from oasis_jax.data.pipeline import eval_batches
from oasis_jax.heatmaps import LEVELS, of_seed
from oasis_jax.models.spatial import render
from oasis_jax.training import attention, losses
from oasis_jax.training.checkpoint import load_state
from oasis_jax.training.step import MUTABLE_D, normalise


def attended(discriminator, variables, image, label_map, dontcare_id, side="decoder"):
    """D's attention to images in [-1, 1] where G's adversarial loss is its scalar: of each level, (B, H, W)."""
    blocks = attention.attended_blocks(side, discriminator.num_blocks)
    weights = losses.class_weights(label_map, discriminator.num_classes, dontcare_id)

    def loss(offsets):
        (carry, features), _ = discriminator.apply(variables, image, offsets, train=True, mutable=MUTABLE_D, method="trunk")
        logits, _ = discriminator.apply(variables, carry, train=True, mutable=MUTABLE_D, method="head")
        return losses.real_target_loss(logits, label_map, weights), {name: features[name] for names in blocks for name in names}

    features = jax.eval_shape(loss, {})[1]
    gradients, features = jax.grad(loss, has_aux=True)({name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in features.items()})
    return attention.attention_maps(features, gradients, blocks, image.shape[1:3])


def measure(run, root, count):
    model, state = oasis_jax.load(run), load_state(run)
    config = model.config
    config.data.root = root
    spec, step = build.data_spec(config), build.train_step(config)
    labels = next(eval_batches(open_split(spec, "val").spread(count), spec, count))["label_map"].astype(np.int32)
    had, others = (range(first, first + count) for first in (0, count))
    given, not_given = (np.stack([of_seed(seed) for seed in seeds]) for seeds in (had, others))
    aware = model.generator.spatially_aware

    def images(seeds, heatmaps):
        return model.sample(labels, seed=seeds, heatmaps=heatmaps if aware else None)

    def change(*arguments):
        return np.abs(images(*arguments).astype(float) - generated).mean()

    generated = images(had, given)
    print(f"{run}, step {model.step}: {count} label maps {labels.shape[1]}x{labels.shape[2]}")
    print(f"  other noise changes pixels by {change(others, given):.2f} of 255", end="")
    print(f", other heatmaps by {change(had, not_given):.2f}" if aware else "")

    look = jax.jit(lambda image: attended(step.discriminator, state["discriminator"], image, jnp.asarray(labels), config.data.dontcare_id))
    maps = look(normalise(generated))
    cared = jnp.asarray(labels != config.data.dontcare_id)
    targets = [attention.targets(render(jnp.asarray(h), labels.shape[1:], model.generator.isotropic)) for h in (given, not_given)]
    for level, level_maps in enumerate(maps):
        distances = [float(attention.alignment_loss(level_maps, target[level], mask=cared)) for target in targets]
        present = [i for i in range(model.num_classes) if (labels == i).any()]
        of_class = [f"{model.class_names[i]} {float(level_maps[labels == i].mean() / level_maps.mean()):.1f}" for i in present]
        distance = f"{distances[0]:.3f} from {'its own' if aware else 'some'} heatmaps, {distances[1]:.3f} from others"
        print(f"  {list(LEVELS)[level]}: {distance}; classes: {', '.join(of_class)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="workdirs of runs, which still hold their discriminator")
    parser.add_argument("--root", required=True, help="folder of the data set")
    parser.add_argument("--count", type=int, default=24, help="label maps")
    args = parser.parse_args()
    for run in args.runs:
        measure(run, args.root, args.count)


if __name__ == "__main__":
    main()
