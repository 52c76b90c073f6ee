"""OASIS's own config fields, in addition to the shared ones. The defaults are the published recipe for ADE20K and COCO-Stuff."""
import ml_collections

from oasis_jax import fields
from oasis_jax.allowed import BELOW_ONE, SMALL, Rule, choice, either, number, several, switch, text, whole
from oasis_jax.fields import BATCH, SIDE


def add_fields(config):
    """Adds config.model, config.loss and OASIS's own fields of config.train to a ConfigDict."""
    config.model = model = ml_collections.ConfigDict()
    model.num_blocks = 6  # R, the number of residual blocks; image sides must be divisible by 2**R
    model.channels = 64  # ch, base width of the generator: widths are 16, 16, 16, 8, 4, 2, 1 times this; R < 6 drops the coarsest
    model.spade_hidden = 128  # channels of SPADE's hidden layer
    model.z_dim = 64  # length of a noise vector; 0 for the ablation without 3D noise
    model.pixel_noise = 0  # number of finest blocks that add per-pixel noise, for texture inside large regions; 0 for none
    model.affine_blocks = 0  # number of finest blocks with a scale and shift per class (CLADE) instead of SPADE; 0 for none
    model.d_channels = (128, 128, 256, 256, 512, 512)  # channels of the discriminator's encoder, fine to coarse; the first R are used
    model.d_last = 64  # channels before the discriminator's logits
    model.dtype = "auto"  # dtype of activations: float32, bfloat16 or float64; auto is bfloat16 on TPU and GPU, float32 on CPU
    # How SPADE's convolutions of the label map are computed: "dense" at every pixel, "regions" once for each distinct neighbourhood of ids.
    # "auto" chooses regions on CPU for images of more than 10,000 pixels, and dense otherwise. The images are the same.
    model.conditioning = "auto"
    model.region_share = 0.8  # levels where a larger share of the pixels is near a boundary are computed densely
    model.remat = False  # recompute each residual block in the backward pass: less memory, about a third more time
    model.spatial_awareness = False  # EqGAN-SA: the generator takes heatmaps, in spatial encoding layers (SELs) after its blocks
    # Heatmaps that the SEL after each block sees, coarse to fine: l1 (coarse), l2 (middle), l3 (fine), cat (all), or none for no SEL. By
    # default there is none at full image size, where it costs most. The first R are used.
    model.sel_blocks = "l1,l2,l3,cat,cat,none"
    model.sel_strength = 1.0  # strength of the SELs, in multiples of the published 0.1
    model.isotropic = False  # True: heatmaps are round; False: they have the aspect ratio of the image

    config.loss = loss = ml_collections.ConfigDict()
    loss.balance = True  # weight each class by its inverse frequency; if off, all pixels weigh 1, those of data.dontcare_id too
    loss.balance_groups = 1  # count classes within this many groups of the global batch (published: 4, one per GPU)
    loss.max_weight = 0.0  # upper limit of these weights; 0 for no limit
    loss.labelmix = 10.0  # weight of the LabelMix consistency loss; 0 turns it off
    loss.vgg = 0.0  # weight of the VGG19 feature loss, an ablation (published weight: 10); 0 turns it off
    loss.vgg_weights = ""  # .npz of VGG19 with torchvision's names, required if loss.vgg > 0; docs/evaluation.md says how to make it
    # The alignment loss, with spatial awareness: the distance of D's attention (GradCAM) from the heatmaps that G was given.
    loss.align = 0.1  # weight of the alignment loss; 0 trains the SELs without alignment
    loss.align_warmup = 5000  # steps over which the weight rises linearly from 0
    loss.align_every = 1  # interval in steps; 4 computes the loss in every fourth step, with four times the weight
    loss.align_levels = (1.0, 1.0, 1.0)  # weights of the coarse, middle and fine heatmaps
    loss.attn_side = "decoder"  # features of D whose attention is used: decoder, encoder, or both (the mean of the two attention maps)
    loss.attn_objective = "ce"  # GradCAM's scalar: ce is G's adversarial loss; fake is the log-probability of the fake class (costs more)
    loss.mask_dontcare = True  # exclude don't-care pixels from the alignment loss

    train = config.train
    train.lr_g = 1e-4
    train.lr_d = 4e-4
    # The published initial kernels are so small that, for some hundred steps, each step changes them faster than one power iteration can
    # follow: losses jump, and Adam's second moments show it for a thousand steps. Short runs need a gain of 1 and some warm-up steps.
    train.init_gain = 0.02  # gain of the Xavier-normal initial kernels
    train.warmup_steps = 0  # steps over which the learning rates rise linearly from 0
    # Steps after which the learning rates have halved; 0 for no decay. High rates learn fast, but their noise keeps images from sharpening.
    train.half_life = 0
    # The learning rates fall linearly to zero between two steps, as in (13000, 26000); a run that lasts longer is refused. (0.5, 1) means
    # from half of the run's steps (train.num_steps or train.num_epochs) to its last: if a run is resumed with more steps, its rates are
    # higher again. If train.max_minutes ends a run, its rates have not fallen to zero.
    train.linear_decay = ()
    train.adam_b2 = 0.999  # beta1 is 0
    train.adam_eps = 1e-8
    train.ema_decay = 0.9999
    train.ema_refresh_batches = 51  # forward passes that refresh the averaged generator's batch statistics before it is used or saved
    train.discriminator_schedule = "batched"  # D sees fake, real and mixed images as one batch; "sequential": one by one, as published
    # D trains on the fakes of the G update, not on new fakes of the updated G: saves a pass through G, but differs from what is published.
    train.shared_fakes = False
    train.segmentation_steps = 0  # number of first steps that only train D, on the classes of real photos; fixed once a run has begun
    train.coarse_steps = 0  # number of first steps at half the height and width, including segmentation_steps (which are at full size)
    train.ema_warmup = False  # use the decay min(ema_decay, (1 + t) / (10 + t)) after t updates of G, to forget the initial weights


_STEPS = several("two numbers of steps", whole(0), 2, 2)
_SHARES = several("two shares of a run", number(0, 1), 2, 2)  # the second is 1: the rates fall until the end
_WEIGHTS = several("three weights, of the coarse, the middle and the fine level", number(0), 3, 3)


def _some_weight(value, config):
    return _WEIGHTS.accepts(value, config) and any(value)


def _rising(rule):
    return lambda value, config: rule.accepts(value, config) and value[0] < value[1]


# The allowed values of each single field of an OASIS config: the shared fields and OASIS's own.
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
    "loss.align_levels": Rule(f"{_WEIGHTS.words}, at least one of them above 0", _some_weight),
    "loss.attn_side": choice("decoder", "encoder", "both"),
    "loss.attn_objective": choice("ce", "fake"),
    **dict.fromkeys(("train.lr_g", "train.lr_d", "train.init_gain", "train.adam_eps"), number(SMALL)),
    **dict.fromkeys(("train.warmup_steps", "train.half_life", "train.segmentation_steps", "train.coarse_steps"), whole(0)),
    "train.linear_decay": either(
        Rule("two numbers of steps, the smaller one first, such as 13000,26000", _rising(_STEPS)),
        Rule("a share of the run and 1, such as 0.5,1", lambda value, config: _rising(_SHARES)(value, config) and value[1] == 1),
        several("() for no decay", whole(0), 0, 0),
    ),
    "loss.max_weight": number(0, fix="give 0 for no limit"),
    **dict.fromkeys(("train.adam_b2", "train.ema_decay"), number(0, BELOW_ONE)),
    "train.ema_refresh_batches": whole(0, 10_000),  # the label maps of these batches are kept in memory
    "train.discriminator_schedule": choice("batched", "sequential"),
    **dict.fromkeys(("train.shared_fakes", "train.ema_warmup"), switch()),
}
