"""The config fields that OASIS has besides the shared ones, with their defaults: the published recipe for ADE20K and COCO-Stuff."""
import ml_collections

from oasis_jax import fields
from oasis_jax.allowed import BELOW_ONE, SMALL, Rule, choice, either, number, several, switch, text, whole
from oasis_jax.fields import BATCH, SIDE


def add_fields(config):
    """Adds config.model, config.loss and OASIS's own fields of config.train to a ConfigDict."""
    config.model = model = ml_collections.ConfigDict()
    model.num_blocks = 6  # R: image sides must be divisible by 2**R
    model.channels = 64  # ch of the generator: widths are 16, 16, 16, 8, 4, 2, 1 times this, cut at the coarse end for R < 6
    model.spade_hidden = 128  # channels of SPADE's hidden layer
    model.z_dim = 64  # length of a noise vector; 0 is the ablation without 3D noise
    model.pixel_noise = 0  # so many of the finest blocks add noise that differs from pixel to pixel: texture inside of wide regions
    model.affine_blocks = 0  # so many of the finest blocks take scale and shift from a table of classes instead of SPADE's convolutions
    model.d_channels = (128, 128, 256, 256, 512, 512)  # encoder of the discriminator, fine to coarse; the first R are used
    model.d_last = 64  # channels before the discriminator's logits
    model.dtype = "auto"  # of activations: bfloat16 on TPU and GPU and float32 on CPU, or float32, bfloat16, float64
    # How SPADE's convolutions of the label map are computed: "regions" once for each different neighbourhood of ids, "dense" at every
    # pixel, "auto" on regions on CPU, for images above 10,000 pixels. The images are the same.
    model.conditioning = "auto"
    model.region_share = 0.8  # levels on which a larger share of the pixels is near a boundary stay dense
    model.remat = False  # recompute each residual block in the backward pass: less memory, about a third more time
    model.spatial_awareness = False  # EqGAN-SA: the generator takes heatmaps, through a spatial encoding layer (SEL) after its blocks
    # What the SEL after each block sees, coarse to fine: the coarse, middle or fine heatmaps (l1, l2, l3), all of them (cat), or none for
    # no SEL, as at the full size of the image, where it costs most. The first R are used.
    model.sel_blocks = "l1,l2,l3,cat,cat,none"
    model.sel_strength = 1.0  # of the SELs, in multiples of the published 0.1
    model.isotropic = False  # heatmaps are round; otherwise they have the aspect ratio of the image

    config.loss = loss = ml_collections.ConfigDict()
    loss.balance = True  # weight each class by its inverse frequency
    loss.balance_groups = 1  # count classes within this many groups of the global batch (published: 4, one per GPU)
    loss.max_weight = 0.0  # no class weighs more than this; 0 for no limit
    loss.labelmix = 10.0  # weight of the LabelMix consistency loss; 0 turns it off
    loss.vgg = 0.0  # weight of the VGG19 feature loss (ablation; published with 10)
    loss.vgg_weights = ""  # .npz with torchvision's names of VGG19, needed if loss.vgg > 0: docs/evaluation.md says how to make it
    # With spatial awareness: the distance of D's attention (GradCAM) from the heatmaps that G was given.
    loss.align = 0.1  # weight; 0 trains the SELs without alignment
    loss.align_warmup = 5000  # steps over which the weight rises from 0
    loss.align_every = 1  # 4: compute it in every fourth step only, with four times the weight
    loss.align_levels = (1.0, 1.0, 1.0)  # weights of the coarse, the middle and the fine heatmaps
    loss.attn_side = "decoder"  # attended features of D: of its decoder, of its encoder, or both: the mean of the two maps
    loss.attn_objective = "ce"  # attention follows G's adversarial loss; "fake": where D takes pixels for fake (costs more)
    loss.mask_dontcare = True  # don't-care pixels do not count

    train = config.train
    train.lr_g = 1e-4
    train.lr_d = 4e-4
    # The published kernels start so small that for some hundred steps each step changes them faster than one power iteration can follow:
    # losses jump, and Adam remembers that for a thousand steps. Short runs need a gain of 1 and some steps of warm-up.
    train.init_gain = 0.02  # of the Xavier-normal kernels
    train.warmup_steps = 0  # over which the learning rates rise linearly from 0
    # Steps in which the learning rates halve; 0: they stay. High rates learn fast, and their noise keeps images from getting sharper.
    train.half_life = 0
    train.linear_decay = ()  # (13000, 26000): between these two steps the learning rates fall linearly to zero; no run is longer
    train.adam_b2 = 0.999  # beta1 is 0
    train.adam_eps = 1e-8
    train.ema_decay = 0.9999
    train.ema_refresh_batches = 51  # forward passes that refresh the averaged generator's batch statistics before it is used or saved
    train.discriminator_schedule = "batched"  # fake, real and mixed as one batch; "sequential": one power iteration each, as published
    # D learns from the fakes of the G update instead of new ones of the updated G: another algorithm than published, a pass through G less.
    train.shared_fakes = False
    train.segmentation_steps = 0  # first steps, in which D alone learns, the classes of real photos; they take little time
    train.coarse_steps = 0  # first steps, which train on images of half the height and width; the former are among them
    train.ema_warmup = False  # the average forgets the initial weights: its decay is min(ema_decay, (1 + step) / (10 + step))


_STEPS = several("two numbers of steps", whole(0), 2, 2)
_WEIGHTS = several("three weights, of the coarse, the middle and the fine level", number(0), 3, 3)


def _some_weight(value, config):
    return _WEIGHTS.accepts(value, config) and any(value)


def _rising_steps(value, config):
    return _STEPS.accepts(value, config) and value[0] < value[1]


# What the fields of an OASIS config may be, by themselves: the shared ones and its own.
ALLOWED = fields.ALLOWED | {
    "model.num_blocks": whole(1, 6),
    **dict.fromkeys(("model.channels", "model.spade_hidden", "model.d_last"), SIDE),
    "model.z_dim": whole(0, 2**16),
    **dict.fromkeys(("model.pixel_noise", "model.affine_blocks"), whole(0, 6)),
    "model.d_channels": several("one or more numbers of channels", SIDE, 1),
    "model.dtype": choice("auto", "float32", "bfloat16", "float64"),
    "model.conditioning": choice("auto", "dense", "regions"),
    "model.region_share": number(0, 1),
    "model.sel_blocks": text(may_be_empty=False),
    "model.sel_strength": number(0),
    **dict.fromkeys(("model.remat", "model.spatial_awareness", "model.isotropic", "loss.balance", "loss.mask_dontcare"), switch()),
    "loss.balance_groups": BATCH,
    **dict.fromkeys(("loss.labelmix", "loss.align"), number(0, fix="give 0 to turn this loss off")),
    "loss.vgg": Rule(
        f"{number(0).words} with loss.vgg_weights, or 0",
        lambda value, config: number(0).accepts(value, config) and (value == 0 or config.loss.get("vgg_weights") != ""),
        "give --config.loss.vgg_weights=FILE, the weights of VGG19 (docs/evaluation.md, Weights), or 0 to turn this loss off",
    ),
    "loss.vgg_weights": text(),
    "loss.align_warmup": whole(0),
    "loss.align_every": whole(1),
    "loss.align_levels": Rule(f"{_WEIGHTS.words}, of which some is above 0", _some_weight),
    "loss.attn_side": choice("decoder", "encoder", "both"),
    "loss.attn_objective": choice("ce", "fake"),
    **dict.fromkeys(("train.lr_g", "train.lr_d", "train.init_gain", "train.adam_eps"), number(SMALL)),
    **dict.fromkeys(("train.warmup_steps", "train.half_life", "train.segmentation_steps", "train.coarse_steps"), whole(0)),
    "train.linear_decay": either(
        Rule("two numbers of steps, the smaller one first, such as 13000,26000", _rising_steps), several("() for no decay", whole(0), 0, 0)
    ),
    "loss.max_weight": number(0, fix="give 0 for no limit"),
    **dict.fromkeys(("train.adam_b2", "train.ema_decay"), number(0, BELOW_ONE)),
    "train.ema_refresh_batches": whole(0, 10_000),  # their label maps stay in memory
    "train.discriminator_schedule": choice("batched", "sequential"),
    **dict.fromkeys(("train.shared_fakes", "train.ema_warmup"), switch()),
}
