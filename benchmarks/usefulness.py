"""Measures whether generated pairs help a segmentation network, trained on a share of the real photos with and without generated pairs.

    python -m oasis_jax.sample --checkpoint=RUN --labels=/data/camvid/trainannot --as_dataset --examples=1000 --output=OUT
    python -m benchmarks.usefulness --config=camvid_small --root=/data/camvid --generated OUT
    python -m benchmarks.usefulness --config=scenes     # without data, and without generated pairs

The network is OASIS's discriminator (the sizes are those of the config) with one logit for each class. It is trained from random initial
values with cross-entropy weighted by class (1 / ln(1.02 + share of the real pixels), Paszke et al. 2016), Adam with a cosine schedule, and
mirrored images. The numbers of steps and of images per batch are the same in all runs; with generated pairs, half of each batch is
generated. The real photos of a seed are nested: the smaller shares are parts of the larger ones. All networks are scored on the real
validation photos: mean IoU over the classes that occur in their label maps, without don't-care, and the IoU of each class.

Generated pairs hold what their generator has learnt from its photos. If the generator was trained on more photos than a share, the
comparison does not say what generated pairs are worth to someone who has only this share. To measure that, train the generator on the
share: --write_subset links its photos.

    python -m benchmarks.usefulness --root=/data/camvid --shares 10 --subset_seed=0 --write_subset=TENTH     # prints what to do with it
    python -m benchmarks.usefulness --root=/data/camvid --shares 10 --subset_seed=0 --generated OUT
"""
import argparse
import dataclasses
import itertools
import json
import math
import os
import shlex
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.faults import without_traceback
from oasis_jax import config_flag
from oasis_jax.data.check import check_split
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.folders import LAYOUTS
from oasis_jax.data.labels import DataError
from oasis_jax.data.pipeline import eval_batches, train_batches
from oasis_jax.files import expanded, new_folder
from oasis_jax.layers.dtype import compute_dtype
from oasis_jax.layers.initial import initial_variables
from oasis_jax.metrics.segmentation import MeanOver, confusion_matrix, iou_per_class, mean_iou
from oasis_jax.oasis.discriminator import Discriminator
from oasis_jax.oasis.losses import cross_entropy
from oasis_jax.ranges import normalise
from oasis_jax.updates import descend

ALONE = "real photos alone"
_EVALUATED = 8  # photos at once


class Segmenter:
    """A segmentation network whose training step and prediction are compiled once for all runs.

    Args:
        config: ConfigDict of OASIS, whose discriminator fields set blocks and channels.
        num_classes: N.
        dontcare_id: class that is neither learnt nor predicted, or -1.
        size: (H, W).
        batch_size: B.
        steps: of a training, 2 or more.
        learning_rate: the peak of the schedule.
    """

    def __init__(self, config, num_classes, dontcare_id, size, batch_size, steps, learning_rate):
        model, self.steps, self.num_classes = config.model, steps, num_classes
        network = Discriminator(  # has one logit more than classes, for fakes
            num_classes - 1, tuple(model.d_channels), model.d_last, model.num_blocks, dtype=compute_dtype(model.dtype)
        )
        schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, max(steps // 20, 1), steps)
        optimizer = optax.adam(schedule)
        known = jnp.arange(num_classes) != dontcare_id

        def init(key):
            variables = initial_variables(network, 1.0, key, jnp.zeros((1, *size, 3)))
            return variables, optimizer.init(variables["params"])

        def loss(params, others, image, label_map, weights):
            logits, others = network.apply({"params": params, **others}, image, train=True, mutable=["spectral_norm"])
            weights = (weights * known)[label_map]
            return jnp.sum(weights * cross_entropy(logits, label_map)) / jnp.maximum(jnp.sum(weights), 1e-6), others

        def update(state, image, label_map, weights):
            variables, opt_state = state
            params, others = variables["params"], {name: each for name, each in variables.items() if name != "params"}
            batch = others, normalise(image), label_map.astype(jnp.int32), weights
            params, opt_state, others = descend(loss, params, optimizer, opt_state, batch)
            return {"params": params, **others}, opt_state

        def predict(variables, image):
            return jnp.argmax(jnp.where(known, network.apply(variables, normalise(image)), -jnp.inf), axis=-1)

        self._init, self._predict = jax.jit(init), jax.jit(predict)
        state, image = jax.eval_shape(init, jax.random.key(0)), jax.ShapeDtypeStruct((batch_size, *size, 3), np.uint8)
        label_map, weights = jax.ShapeDtypeStruct(image.shape[:3], np.int32), jax.ShapeDtypeStruct((num_classes,), np.float32)
        self._update = jax.jit(update, donate_argnums=0).lower(state, image, label_map, weights).compile()

    def train(self, batches, weights, seed):
        """The variables after `steps` updates with batches {"image", "label_map"}; `weights` (N,) are those of the classes."""
        state = self._init(jax.random.key(seed))
        for batch in itertools.islice(batches, self.steps):
            state = self._update(state, batch["image"], batch["label_map"].astype(np.int32), weights)
        return jax.block_until_ready(state)[0]

    def confusion(self, variables, batches, dontcare_id):
        """(N, N) pixel counts over batches of `eval_batches`, rows by real class; don't-care pixels are left out."""
        total = np.zeros((self.num_classes,) * 2, np.int64)
        for batch in batches:
            target = batch["label_map"].astype(np.int32)
            target[(target == dontcare_id) | ~batch["mask"][:, None, None]] = -1
            total += confusion_matrix(target, np.asarray(self._predict(variables, batch["image"])), self.num_classes)
        return total


def class_weights(pixels):
    """1 / ln(1.02 + share) float32 (N,) of pixel counts (N,): from 1.4 for a class that is everywhere to 50 for one that is absent."""
    return (1 / np.log(1.02 + pixels / max(pixels.sum(), 1))).astype(np.float32)


def subset_of(count, share, seed):
    """Sorted numbers of the examples, of `count`, in a seed's share (0 to 1), which includes all smaller shares of the seed."""
    return np.sort(np.random.default_rng(seed).permutation(count)[: math.ceil(round(share * count, 6))]).tolist()


def generated_spec(spec, folder, num_classes):
    """The DataSpec of a folder that `sample --as_dataset` has written, whose label maps hold the ids of the real ones, or classes."""
    path = expanded(folder) / "samples.json"
    summary = json.loads(path.read_text()) if path.exists() else {}
    ids = {"label_offset": 0, "label_map": ""} if summary.get("label_ids") == "classes" else {}
    if not summary.get("label_ids"):
        raise DataError(f"{path} is not there, or not that of a data set: write one with python -m oasis_jax.sample --as_dataset")
    own = ("train_photos", "train_labels", "photo_suffix", "label_suffix", "scene_categories")  # the defaults are what it writes
    ids |= {name: getattr(DataSpec, name) for name in own}
    return dataclasses.replace(spec, layout="folders", root=str(folder), num_classes=num_classes, **ids)


def joined(*streams):
    """Yields batches that each join one batch of every stream."""
    for batches in zip(*streams, strict=True):
        yield {name: np.concatenate([batch[name] for batch in batches]) for name in ("image", "label_map")}


def count_pixels(split, spec, num_classes):
    """int64 (n, N): pixels of each class in each label map of a split."""
    batches = eval_batches(split, spec, _EVALUATED, ("label_map",))
    rows = (np.bincount(ids.ravel(), minlength=num_classes) for batch in batches for ids in batch["label_map"][batch["mask"]])
    return np.stack(list(rows))


def write_subset(spec, folder, share, seed):
    """Links the files of a seed's share (0 to 1) into folders that configs/custom.py reads, and prints how to train on them."""
    for place in (spec.root, os.fspath(folder)):
        if "://" in place:
            raise DataError(f"--write_subset links files, which {place} does not allow: copy the data to a disk, and link them there")
    split = open_split(spec, "train")
    if split.read_arrays is not None:
        raise DataError("--write_subset links files, and this data set has none")
    folder, numbers = os.path.abspath(new_folder(folder, "write_subset")), subset_of(len(split), share, seed)
    for example in (split.examples[i] for i in numbers):
        for column, kind in (("image", "photos"), ("label_map", "labels")):
            file = os.path.abspath(example.files[column])
            link = os.path.join(folder, "train", kind, example.name + os.path.splitext(file)[1])
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(file, link)
    folders = "--config.data.layout=folders --config.data.train_photos=train/photos --config.data.train_labels=train/labels"
    if spec.scene_categories:  # for a list of images that is not in these folders; only those of the categories are linked
        folders += " --config.data.scene_categories="
    print(f"{len(numbers)} pairs are linked in {folder}; train a generator on them with the config of the data set and")
    print(f"  --config.data.root={shlex.quote(str(folder))} {folders} --config.data.val_photos=DIR --config.data.val_labels=DIR")
    print(f"and sample with --labels={shlex.quote(f'{folder}/train/labels')} --as_dataset")


def run(config, spec, generated, shares, seeds, batch_size, steps, learning_rate, subset_seed=None):
    """Trains and scores all networks, and prints the tables.

    Args:
        config: ConfigDict of OASIS.
        spec: DataSpec of the real data, cached.
        generated: folders of generated pairs.
        shares: of the real photos, 0 to 1.
        seeds: of the subsets, the initial values and the order of examples.
        batch_size, steps, learning_rate: of a training.
        subset_seed: one seed for all subsets, instead of the seeds.

    Returns:
        {(share, ALONE or folder): float64 (seeds, 1 + N): mean IoU, and the IoU of each class}, NaN for classes that do not occur.
    """
    real, val = (open_split(spec, name) for name in ("train", "val"))
    num_classes, names = real.rule.num_classes, real.class_names
    sources = {}
    for folder in generated:
        of_folder = generated_spec(spec, folder, num_classes)
        split = open_split(of_folder, "train")
        check_split(split, of_folder)
        sources[folder] = split, of_folder
    pixels, counted = count_pixels(real, spec, num_classes), np.arange(num_classes) != spec.dontcare_id
    size = spec.image_size
    start = time.process_time()
    segmenter = Segmenter(config, num_classes, spec.dontcare_id, size, batch_size, steps, learning_rate)
    print(
        f"{len(real)} real photos to train, {len(val)} to validate, {size[0]}x{size[1]}; {steps} steps of batch {batch_size}; "
        f"compiled in {time.process_time() - start:.0f} s of processor time",
        flush=True,
    )
    for folder, (split, _) in sources.items():
        print(f"{len(split)} generated pairs in {folder}")
    found, begun = {(share, source): [] for share in shares for source in (ALONE, *sources)}, time.process_time()
    for seed, (share, source) in itertools.product(seeds, found):
        start = time.process_time()
        numbers = subset_of(len(real), share, seed if subset_seed is None else subset_seed)
        part = real.subset(numbers)
        if source == ALONE:
            batches = train_batches(part, spec, batch_size, seed)
        else:
            half = batch_size // 2
            batches = joined(train_batches(part, spec, batch_size - half, seed), train_batches(*sources[source], half, seed))
        variables = segmenter.train(batches, class_weights(pixels[numbers].sum(0) * counted), seed)
        confusion = segmenter.confusion(variables, eval_batches(val, spec, _EVALUATED), spec.dontcare_id)
        labelled = np.where(confusion.sum(1) > 0, iou_per_class(confusion), np.nan)
        score = mean_iou(confusion, MeanOver.LABELLED)
        found[share, source].append([score, *labelled])
        seconds = time.process_time() - start
        told = f"{share:.0%} of the real photos ({len(numbers)}), {_told(source)}, seed {seed}"
        print(f"{told}: mIoU {100 * score:.1f}; {seconds:.0f} s of processor time", flush=True)
    print(f"{len(seeds) * len(found)} trainings took {(time.process_time() - begun) / 60:.1f} processor minutes")
    found = {key: np.asarray(rows) for key, rows in found.items()}
    print_tables(found, names, len(real))
    return found


def _told(source):
    return "alone" if source == ALONE else f"with {source}"


def print_tables(found, names, count):
    """Prints, in percent, mean and standard deviation over the seeds of mIoU, of its gain over the photos alone, and of IoU by class."""
    print(f"\nmIoU, mean and standard deviation over the seeds\n{'photos':>12}  {'':30}{'mIoU':>14}{'gain':>14}")
    for (share, source), rows in found.items():
        gain = "" if source == ALONE else _spread(rows[:, 0] - found[share, ALONE][:, 0], "+")
        photos = f"{share:.0%} ({math.ceil(round(share * count, 6))})" if source == ALONE else ""
        print(f"{photos:>12}  {_told(source)[-30:]:30}{_spread(rows[:, 0]):>14}{gain:>14}".rstrip())
    columns = [f"{share:.0%} {'alone' if source == ALONE else 'with ' + os.path.basename(source.rstrip('/'))}" for share, source in found]
    columns = [column[:18] for column in columns]
    width = max(map(len, names))
    print("\nIoU by class\n" + " " * width + "".join(f"{column:>20}" for column in columns))
    for i, name in enumerate(names):
        cells = [rows[:, 1 + i] for rows in found.values()]
        if not all(np.isnan(cell).all() for cell in cells):
            print(f"{name:{width}}" + "".join(f"{_spread(cell):>20}" for cell in cells))


def _spread(values, sign=""):
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):{sign}.1f}{spread}"


@without_traceback("usefulness", ValueError)
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="camvid_small", help="of OASIS: its data fields, and the sizes of its discriminator")
    parser.add_argument("--root", default="", help="folder of the real data; by default that of the config")
    parser.add_argument("--generated", nargs="*", default=[], help="folders that sample --as_dataset has written; each is compared")
    parser.add_argument("--shares", type=float, nargs="+", default=[10, 25, 100], help="percent of the real photos")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--subset_seed", type=int, default=None, help="take the same photos for all seeds: those of this one")
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1400, help="of each training; by default one takes 3 to 4 processor minutes on CPU")
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--write_subset", default="", metavar="DIR", help="link the pairs of the first share in DIR, and stop")
    args = parser.parse_args()
    if not all(0 < share <= 100 for share in args.shares):
        parser.error("--shares are percent, above 0 and up to 100")
    if min(args.batch_size, args.steps) < 2 or min(*args.seeds, args.subset_seed or 0) < 0:
        parser.error("--batch_size and --steps are 2 or more, and seeds are not negative")
    config = config_flag.load_or_exit(args.config)
    if config.family != "oasis":
        raise ValueError(f"--config={args.config} is of the family {config.family}, which has no label maps: give one of OASIS")
    size = {"image_size": (args.height, args.width), "resize_size": (), "cache": True}
    spec = dataclasses.replace(DataSpec.of_config(config.data), root=args.root or config.data.root, **size)
    if not spec.root and spec.layout in LAYOUTS:
        raise DataError(f"--config={args.config} does not say where the real data are: give --root=DIR")
    shares = [share / 100 for share in args.shares]
    if args.write_subset:
        write_subset(spec, args.write_subset, shares[0], args.subset_seed or 0)
        return
    training = args.batch_size, args.steps, args.learning_rate
    run(config, spec, args.generated, shares, args.seeds, *training, subset_seed=args.subset_seed)


if __name__ == "__main__":
    main()
