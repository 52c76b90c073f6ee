"""Label maps to measure on: of a data set where its folder is given, procedural scenes otherwise."""
import numpy as np

from oasis_jax.data import datasets, scenes
from oasis_jax.data.labels import resize_label_map


def add_flags(parser, height=256, width=512):
    """The size, --root, and the fields that say how its label maps are read; their defaults are the folders and ids of CamVid."""
    parser.add_argument("--height", type=int, default=height)
    parser.add_argument("--width", type=int, default=width)
    parser.add_argument("--root", default="", help="folder of a data set; without it, procedural scenes are drawn")
    parser.add_argument("--train_photos", default="train")
    parser.add_argument("--train_labels", default="trainannot")
    parser.add_argument("--num_classes", type=int, default=12, help="of the folder; the scenes have their own")
    parser.add_argument("--label_offset", type=int, default=1)
    parser.add_argument("--label_map", default="11:0")


def read(args, size, count):
    """`count` label maps (count, H, W) int32, evenly spread over the training split, and the number of their classes."""
    if not args.root:
        drawn = scenes.Scenes(count, size, seed=0)
        return np.stack([drawn.scene(i)[1] for i in range(count)]).astype(np.int32), len(scenes.CLASS_NAMES)
    spec = datasets.DataSpec(
        root=args.root,
        train_photos=args.train_photos,
        train_labels=args.train_labels,
        num_classes=args.num_classes,
        label_offset=args.label_offset,
        label_map=args.label_map,
    )
    split = datasets.open_split(spec, "train").spread(count)
    maps = [split.rule(resize_label_map(split.read(i)[1], size), pair.name) for i, pair in enumerate(split.pairs)]
    return np.stack(maps).astype(np.int32), args.num_classes
