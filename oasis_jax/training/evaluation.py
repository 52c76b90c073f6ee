"""What a run shows of itself: sample grids, and scores on the validation split that need no other network."""
import functools

import jax
import numpy as np
import tqdm

from oasis_jax.data.pipeline import eval_batches
from oasis_jax.heatmaps import of_key
from oasis_jax.metrics import colour, segmentation
from oasis_jax.metrics.equilibrium import Equilibrium, log_fake_probability
from oasis_jax.metrics.parts import gather, part_of
from oasis_jax.pictures import colour_label_map, grid
from oasis_jax.training.sharding import over_batch, put_batch, replicated

EVALUATION = 4  # purpose of these random numbers; training uses 0 to 3


@functools.partial(jax.jit, static_argnums=(0, 1))
def generate(generator, seed, variables, label_map, index):
    """Images (B, H, W, 3) uint8 by the EMA generator.

    Args:
      generator: Generator module.
      seed: of the run.
      variables: of the EMA generator.
      label_map: (B, H, W) integer.
      index: (B,) integers; an image's noise and heatmaps are functions of the seed and its index.
    """
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), i), EVALUATION))(index)
    noise = jax.vmap(lambda key: jax.random.normal(key, (generator.z_dim,)))(keys) if generator.z_dim else None
    heatmaps = jax.vmap(of_key)(keys) if generator.spatially_aware else None
    image = generator.apply(variables, label_map.astype("int32"), noise, heatmaps)
    return ((image + 1) * 127.5).round().astype("uint8")


@functools.partial(jax.jit, static_argnums=0)
def segment(discriminator, variables, image):
    """What D sees in each pixel of uint8 images: its class (B, H, W), the fake class left out, and the log-probability that it is fake."""
    logits = discriminator.apply(variables, image.astype(float) / 127.5 - 1)
    return logits[..., 1:].argmax(-1), log_fake_probability(logits)


def evaluate(step, ema, state, split, spec, batch_size, max_examples, mesh):
    """Scores of the EMA generator on the validation split; same weights, same numbers. Every process must call this; each does its part.

    Args:
      step: TrainStep; gives networks, seed and don't-care class.
      ema: variables of the EMA generator, statistics refreshed.
      state: TrainState, or its nested dicts; gives the variables of D, and of G for di_seg.
      split, spec: the validation Split and its DataSpec.
      batch_size: rounded up to a multiple of the devices.
      max_examples: 0 takes all.
      mesh: of this process's devices.

    Returns:
      dict of floats: "colour_distance" (0..1, lower is better); "miou_by_d" and "accuracy_by_d", how well the run's own D finds the label
      map in the generated images, and the same "on real photos" as ceiling. D is trained along with G, so its scores compare only
      checkpoints of one run. "di_seg" is the disequilibrium indicator of `metrics.equilibrium`, of G itself, not of its average.
    """
    # By way of the host: in training the variables lie on the devices of all processes.
    place = lambda variables: jax.device_put(jax.device_get(variables), replicated(mesh))  # noqa: E731
    networks = state if isinstance(state, dict) else {"generator": state.generator, "discriminator": state.discriminator}
    ema, discriminator, own = place(ema), place(networks["discriminator"]), place(networks["generator"])
    num_classes, dontcare = step.generator.num_classes, step.recipe.dontcare_id
    batch_size = -(-batch_size // mesh.size) * mesh.size
    part = part_of(min(len(split), max_examples or len(split)), batch_size)
    histograms = {kind: np.zeros((num_classes, 3, colour.BINS), np.int64) for kind in ("real", "generated")}
    confusions = {kind: np.zeros((num_classes, num_classes), np.int64) for kind in ("real", "generated")}
    equilibrium = Equilibrium.empty(num_classes)
    batches = tqdm.tqdm(
        eval_batches(split.subset(part), spec, batch_size),
        "evaluating",
        -(-len(part) // batch_size),
        unit="batch",
        leave=False,
        disable=jax.process_index() > 0,
    )
    for number, batch in enumerate(batches):
        index = part.start + number * batch_size + np.arange(batch_size)
        arrays = put_batch({"label_map": batch["label_map"], "image": batch["image"]}, mesh)
        generated, by_own = (generate(step.generator, step.seed, variables, arrays["label_map"], index) for variables in (ema, own))
        kept, label_map = batch["mask"], batch["label_map"][batch["mask"]]
        log_fake = {}
        for kind, images in (("real", arrays["image"]), ("generated", generated), ("own", by_own)):
            seen, fake = segment(step.discriminator, discriminator, jax.device_put(images, over_batch(mesh)))
            seen, log_fake[kind] = np.asarray(seen)[kept], np.asarray(fake)[kept]
            if kind in histograms:
                cared = label_map != dontcare
                confusions[kind] += segmentation.confusion_matrix(label_map[cared], seen[cared], num_classes)
                histograms[kind] += colour.class_histograms(np.asarray(images)[kept], label_map, num_classes)
        equilibrium = equilibrium.update_log_fake(log_fake["real"], log_fake["own"], label_map)
    counts, equilibria = zip(*gather(((histograms, confusions), equilibrium)), strict=True)
    histograms, confusions = jax.tree.map(lambda *parts: sum(parts), *counts)
    equilibrium = functools.reduce(Equilibrium.merge, equilibria)
    scores = {"colour_distance": colour.colour_distance(histograms["real"], histograms["generated"], dontcare)}
    for kind, suffix in (("generated", ""), ("real", "_on_real_photos")):
        scores[f"miou_by_d{suffix}"] = segmentation.mean_iou(confusions[kind], segmentation.MeanOver.SEEN)
        scores[f"accuracy_by_d{suffix}"] = segmentation.pixel_accuracy(confusions[kind])
    return scores | {"di_seg": equilibrium.di_seg(dontcare)}


def sample_grid(step, ema, examples, mesh, samples=3):
    """A picture (h, w, 3) uint8: for each validation example its label map, its photo and samples with different noise.

    Args:
      step: TrainStep.
      ema: variables of the EMA generator, statistics refreshed.
      examples: {"image", "label_map"} of a few validation examples.
      mesh: of the devices.
      samples: per label map.
    """
    label_maps = examples["label_map"]
    count = len(label_maps)
    padded = np.resize(label_maps, (-(-count // mesh.size) * mesh.size, *label_maps.shape[1:]))
    placed = put_batch({"label_map": padded}, mesh)["label_map"]
    columns = [colour_label_map(label_maps, step.generator.num_classes), examples["image"]]
    for k in range(samples):
        columns.append(np.asarray(generate(step.generator, step.seed, ema, placed, k * len(padded) + np.arange(len(padded))))[:count])
    captions = ["label map", "photo", *(f"sample {k + 1}" for k in range(samples))]
    return grid([list(row) for row in zip(*columns, strict=True)], captions)
