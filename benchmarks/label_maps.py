"""Label maps to measure on: those of a data set whose folder is given, otherwise those of procedural scenes."""
import numpy as np

from oasis_jax.data import datasets, scenes


def add_flags(parser, height=256, width=512):
    """Adds the image size, --root, and the fields that say how label maps are read; the defaults are the folders and ids of CamVid."""
    parser.add_argument("--height", type=int, default=height)
    parser.add_argument("--width", type=int, default=width)
    parser.add_argument("--root", default="", help="folder of a data set; without it, procedural scenes are drawn")
    parser.add_argument("--train_labels", default="trainannot")
    parser.add_argument("--num_classes", type=int, default=12, help="of the data set; scenes have their own number")
    parser.add_argument("--label_offset", type=int, default=1)
    parser.add_argument("--label_map", default="11:0")


def read(args, size, count):
    """Returns `count` label maps (count, H, W) int32, evenly spread over the training split, and the number of classes.

    Raises:
        DataError: the folder cannot be read, or holds ids without a class.
    """
    if not args.root:
        drawn = scenes.Scenes(count, size, seed=0)
        return np.stack([drawn.scene(i)[1] for i in range(count)]).astype(np.int32), len(scenes.CLASS_NAMES)
    spec = datasets.DataSpec(
        root=args.root,
        train_labels=args.train_labels,
        num_classes=args.num_classes,
        label_offset=args.label_offset,
        label_map=args.label_map,
    )
    split = datasets.open_split(spec, "train", ("label_map",)).spread(count)
    column = split.column("label_map")
    maps = [column.fit(split.read(i)["label_map"], size, source=split.examples[i].source("label_map")) for i in range(count)]
    return np.stack(maps).astype(np.int32), args.num_classes
