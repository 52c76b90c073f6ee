"""Images per second of the input pipeline alone, compared with a plain single-threaded Pillow loader that does the same work.

    python -m benchmarks.pipeline --root=/data/camvid

The work: decode photo and label map, resize them (bicubic and nearest-neighbour), crop at random, mirror half of the examples, and stack
batches. The defaults are the folders and ids of CamVid. Without --root, procedural scenes are written to a temporary folder.
"""
import argparse
import dataclasses
import itertools
import os
import tempfile
import time

import numpy as np
from PIL import Image

from benchmarks.faults import without_traceback
from oasis_jax.data import datasets, pipeline, scenes


def pillow_batches(split, spec, batch_size, seed):
    """Yields batches like those of `pipeline.train_batches` without end, by the loader that one would write first."""
    rng = np.random.default_rng(seed)
    table = split.rule.table
    (height, width), (old_height, old_width) = spec.image_size, spec.decoded_size("train")
    order = itertools.chain.from_iterable(rng.permutation(len(split)) for _ in itertools.count())
    while True:
        photos, labels = [], []
        for index in itertools.islice(order, batch_size):
            files = split.examples[index].files
            photo = Image.open(files["image"]).convert("RGB").resize((old_width, old_height), Image.Resampling.BICUBIC)
            label = Image.open(files["label_map"]).resize((old_width, old_height), Image.Resampling.NEAREST)
            top, left = rng.integers(old_height - height + 1), rng.integers(old_width - width + 1)
            box = (left, top, left + width, top + height)
            photo, label = photo.crop(box), label.crop(box)
            if rng.random() < 0.5:
                photo, label = (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in (photo, label))
            photos.append(np.asarray(photo))
            labels.append(table[np.asarray(label)].astype(np.uint8))
        yield {"image": np.stack(photos), "label_map": np.stack(labels)}


def measure(batches, seconds, warm_up=0.5):
    """(images per second, milliseconds of processor time per image over all threads).

    Args:
        batches: iterator.
        seconds: to measure for.
        warm_up: seconds before that, to consume what this loader has prefetched, and to outlast the prefetching of the previous one.
    """
    _measure(batches, warm_up)
    return _measure(batches, seconds)


def _measure(batches, seconds):
    start, cpu, images = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        images += len(next(batches)["image"])
    return images / (time.perf_counter() - start), 1e3 * (time.process_time() - cpu) / images


def write_scenes(root, count=64, size=(360, 480)):
    """Writes procedural scenes as JPEG photos and PNG label maps in the folders of CamVid."""
    drawn = scenes.Scenes(count, size, seed=0)
    for folder in ("train", "trainannot"):
        os.makedirs(os.path.join(root, folder))
    for i in range(count):
        photo, ids = drawn.scene(i)
        Image.fromarray(photo).save(os.path.join(root, "train", f"{i:04d}.jpg"), quality=95)
        Image.fromarray(ids).save(os.path.join(root, "trainannot", f"{i:04d}.png"))


def run(spec, batch_size, seconds, rounds):
    split = datasets.open_split(spec, "train")
    cached = dataclasses.replace(spec, cache=True)
    loaders = {
        "Pillow, one thread": pillow_batches(split, spec, batch_size, seed=0),
        "pipeline": pipeline.train_batches(split, spec, batch_size, seed=0),
        "pipeline, decoded cache": pipeline.train_batches(split, cached, batch_size, seed=0),
    }
    # The loaders take short turns, so that other work on the machine slows all of them alike.
    rounds = [{name: measure(batches, seconds) for name, batches in loaders.items()} for _ in range(rounds)]
    print(f"{len(split)} examples, resized to {spec.resize_size}, cropped to {spec.image_size}; batch {batch_size}, {os.cpu_count()} cores")
    print(f"{'':26}{'images/s':>10}{'ratio':>8}{'least':>8}{'CPU ms/image':>14}")
    for name in loaders:
        rate, cpu = np.median([row[name] for row in rounds], axis=0)
        ratios = [row[name][0] / row["Pillow, one thread"][0] for row in rounds]
        print(f"{name:26}{rate:10.1f}{np.median(ratios):8.2f}{min(ratios):8.2f}{cpu:14.2f}")


@without_traceback("pipeline")
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="", help="folder of the data set")
    parser.add_argument("--train_photos", default="train")
    parser.add_argument("--train_labels", default="trainannot")
    parser.add_argument("--num_classes", type=int, default=12)
    parser.add_argument("--label_offset", type=int, default=1)
    parser.add_argument("--label_map", default="11:0")
    parser.add_argument("--size", type=int, default=256, help="side of the crop")
    parser.add_argument("--resize", type=int, default=286, help="side before the crop")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1.5, help="per loader and round")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        if not args.root:
            write_scenes(folder)
        spec = datasets.DataSpec(
            root=args.root or folder,
            train_photos=args.train_photos,
            train_labels=args.train_labels,
            num_classes=args.num_classes,
            label_offset=args.label_offset,
            label_map=args.label_map,
            image_size=(args.size, args.size),
            resize_size=(args.resize, args.resize),
        )
        run(spec, args.batch_size, args.seconds, args.rounds)


if __name__ == "__main__":
    main()
