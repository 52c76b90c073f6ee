"""Measures two defects of generated images: a lattice in wide regions, and resampling that changes more than it should.

    python -m benchmarks.defects --root=/data/camvid runs/camvid_small runs/other

Both are measured on the label maps of the validation split, with the noise of the seeds 0, 1, ...

Lattice: brightness steps between neighbouring columns, and rows, of all squares of 16x16 pixels that lie in one class. A step that all 16
pixels of a column share is an edge of a lattice; texture has steps of either sign, which cancel. The table has the mean size (of 255) of
the steps of single pixels and of shared steps, for each run and for the photos. Walls and posts in photos cause shared steps too: those of
generated images should be similar to those of photos.

Locality: in every image, the noise of its largest class is redrawn. The table has the mean absolute change (of 255) of the pixels of this
class, of other pixels at most 8 pixels away from it, and of those farther away. Batch statistics are those of the run, so all changes of
other pixels come from the receptive field.
"""
import argparse

import numpy as np
from scipy import ndimage

import oasis_jax
from benchmarks.faults import without_traceback
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.pipeline import eval_batches
from oasis_jax.editing import mean_absolute_change
from oasis_jax.metrics.texture import BRIGHTNESS
from oasis_jax.recipes import Recipe

SIDE = 16  # of the squares
NEAR = 8
_BATCH = 8
_OTHER = 1_000_000  # added to a seed to redraw noise


def squares(label_map, dontcare=-1):
    """Corners (n, 2) of the squares of one class, on a grid of half their side."""
    corners = []
    for top in range(0, label_map.shape[0] - SIDE + 1, SIDE // 2):
        for left in range(0, label_map.shape[1] - SIDE + 1, SIDE // 2):
            ids = label_map[top : top + SIDE, left : left + SIDE]
            if ids[0, 0] != dontcare and (ids == ids[0, 0]).all():
                corners.append((top, left))
    return np.array(corners, int).reshape(-1, 2)


def steps(image, corners):
    """Mean absolute steps in the squares at `corners` of an image (H, W, 3) uint8, of 255: (n, 4).

    The first two are the steps between columns, of single pixels and shared by a whole column of the square; the others are between rows.
    """
    grey, found = image @ BRIGHTNESS, []
    for top, left in corners:
        square = grey[top : top + SIDE, left : left + SIDE]
        both = [np.diff(square, axis=1), np.diff(square, axis=0)]
        shared = [both[0].mean(0), both[1].mean(1)]
        found.append([np.abs(each).mean() for pair in zip(both, shared, strict=True) for each in pair])
    return np.array(found).reshape(-1, 4)


def change_by_distance(before, after, chosen):
    """Mean absolute change, of 255, of the pixels `chosen` (H, W) bool, of others within NEAR of one, and of the rest; NaN if none."""
    change = mean_absolute_change([before, after])
    distance = ndimage.distance_transform_edt(~chosen)
    parts = distance == 0, (distance > 0) & (distance <= NEAR), distance > NEAR
    return [change[part].mean() if part.any() else np.nan for part in parts]


def measure(run, root, count):
    """Returns (step of the run, (n, 4) steps of the photos, (n, 4) steps of the images, (count, 3) changes by distance).

    Raises:
        CheckpointError, DataError, OSError, ValueError: the run or its data cannot be read, or the run takes no label maps.
    """
    model = oasis_jax.load(run)
    if "label_map" not in model.columns:
        raise ValueError(f"{run} takes no label maps, so its images have no regions: give a run of OASIS")
    config = model.config
    config.data.root = root or config.data.root
    spec = DataSpec.of_config(config.data)
    split = open_split(spec, "val")
    split = split.spread(min(count, len(split)))
    found = [], [], []
    for number, batch in enumerate(eval_batches(split, spec, _BATCH)):
        label_maps, seeds = batch["label_map"].astype(np.int32), range(number * _BATCH, (number + 1) * _BATCH)
        largest = [np.bincount(ids[ids != spec.dontcare_id], minlength=1).argmax() for ids in label_maps]
        redrawn = [Recipe(seed, {int(class_id): seed + _OTHER}) for seed, class_id in zip(seeds, largest, strict=True)]
        before, after = (model.images(model.inputs(each, {"label_map": label_maps})) for each in (seeds, redrawn))
        for i in np.flatnonzero(batch["mask"]):
            corners = squares(label_maps[i], spec.dontcare_id)
            found[0].append(steps(batch["image"][i], corners))
            found[1].append(steps(before[i], corners))
            found[2].append([change_by_distance(before[i], after[i], label_maps[i] == largest[i])])
    return model.step, *(np.concatenate(each) for each in found)


@without_traceback("defects", ValueError)
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="workdirs of runs, of one data set, or names of packed models")
    parser.add_argument("--root", default="", help="folder of the data set; by default that of each run's config")
    parser.add_argument("--count", type=int, default=101, help="number of label maps, evenly spaced over the validation split")
    args = parser.parse_args()
    print("steps of 255       at columns: of pixels, shared   at rows: of pixels, shared   change of the class, near it, farther")
    for number, run in enumerate(args.runs):
        step, photos, images, changes = measure(run, args.root, args.count)
        if not number:
            print(f"photos, {len(photos)} squares{row(photos)}")
        print(f"{run}, step {step}{row(images)}{row(changes)}")


def row(values):
    """The means of the columns of (n, m) as text; NaN values are ignored, and a column without other values is NaN."""
    known = ~np.isnan(values)
    means = np.where(known.any(0), np.nansum(values, axis=0) / np.maximum(known.sum(0), 1), np.nan)
    return "".join(f"{mean:12.2f}" for mean in means)


if __name__ == "__main__":
    main()
