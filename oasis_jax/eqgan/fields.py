"""EqGAN-SA's own config fields, in addition to the shared ones. The defaults are the published recipe for 256x256 (paper256)."""
import ml_collections

from oasis_jax import fields
from oasis_jax.allowed import BELOW_ONE, SMALL, choice, number, switch, whole
from oasis_jax.fields import BATCH, SIDE, shared


def default_config():
    """The published recipe for 256x256 on photos without label maps, as an unlocked ConfigDict."""
    config = shared()
    config.family = "eqgan"
    add_fields(config)
    config.data.update(layout="images", fit="crop", flip=False)
    config.train.update(batch_size=64, num_steps=390_625)  # 25 million images
    config.log.images_every_steps = 3125  # 200,000 images
    config.eval.update(batch_size=64, every_steps=12_500, max_examples=5000, score="texture_distance")
    config.checkpoint.every_steps = 3125
    return config


def add_fields(config):
    """Adds config.model, config.loss and EqGAN-SA's own fields of config.train to a ConfigDict."""
    config.model = model = ml_collections.ConfigDict()
    model.channel_base = 16384  # a block of side r has min(channel_base / r, channel_max) channels, in G and in D
    model.channel_max = 512  # largest number of channels of a block
    model.z_dim = 512  # length of a latent
    model.w_dim = 512  # length of a style
    model.mapping_layers = 8  # layers of the mapping network, from latents to styles
    model.mbstd_group_size = 8  # images per group of D's minibatch standard deviation
    model.mbstd_groups = 1  # number of parts of the global batch within which these groups are formed (published: 8, one per GPU)
    model.dtype = "auto"  # dtype of activations: float32, bfloat16 or float64; auto is bfloat16 on TPU and GPU, float32 on CPU
    model.num_reduced = 4  # number of finest blocks that use model.dtype if it is below float32; the others use float32
    model.clamp = 256.0  # bound of the outputs of each layer; 0 for no bound
    model.noise = "random"  # noise maps of sampled images: "random", a function of the image's seed; "const", the same for all; "none"
    model.remat = False  # recompute each block in the backward pass: less memory, about a third more time
    model.spatial_awareness = True  # G takes heatmaps, in a spatial encoding layer (SEL) before each convolution
    model.encoder_features = 32  # channels per level of the heatmap encoder, at full image size
    model.sel_hidden = 64  # channels of the SELs' hidden layers

    config.loss = loss = ml_collections.ConfigDict()
    loss.align = 1.0  # weight of the alignment loss, the distance of D's attention from G's heatmaps; 0 trains the SELs without it
    loss.align_groups = 1  # number of parts of the global batch that average their large differences separately (published: 8, one per GPU)
    loss.r1_gamma = 1.0  # weight of R1, the gradient penalty of D on real images; 0 turns it off
    loss.r1_every = 16  # interval in steps; R1 has its own update, with its weight multiplied by this number
    loss.path_length = 0.0  # weight of the path-length regularisation of G; 0 turns it off, as published (StyleGAN2: 2)
    loss.path_every = 4  # interval in steps; G's learning rate is corrected for these updates even if they are off, as published

    train = config.train
    # Values before the correction for lazy regularisation every k steps: rates times r, beta2 to the power of r, with r = k / (k + 1).
    train.lr_g = 0.0025
    train.lr_d = 0.0025
    train.adam_b2 = 0.99  # beta1 is 0
    train.adam_eps = 1e-8
    train.style_mixing = 0.0  # share of training images whose styles come from two latents (StyleGAN2: 0.9)
    train.ema_images = 20_000.0  # half-life of the averaged generator, in images
    train.ema_ramp = 0.0  # limits the half-life to this share of the images seen so far; 0 for no limit; converted runs need 0


# The allowed values of each single field of an EqGAN-SA config: the shared fields and EqGAN-SA's own.
ALLOWED = fields.ALLOWED | {
    "model.channel_base": whole(1, 2**26),
    **dict.fromkeys(("model.channel_max", "model.z_dim", "model.w_dim", "model.sel_hidden"), SIDE),
    "model.mapping_layers": whole(1, 1024),
    **dict.fromkeys(("model.mbstd_group_size", "model.mbstd_groups", "loss.align_groups"), BATCH),
    "model.dtype": choice("auto", "float32", "bfloat16", "float64"),
    "model.num_reduced": whole(0),
    "model.clamp": number(0, fix="give 0 for no bound"),
    "model.noise": choice("random", "const", "none"),
    **dict.fromkeys(("model.remat", "model.spatial_awareness"), switch()),
    "model.encoder_features": whole(2, 2**16),
    **dict.fromkeys(("loss.align", "loss.r1_gamma", "loss.path_length"), number(0, fix="give 0 to turn it off")),
    **dict.fromkeys(("loss.r1_every", "loss.path_every"), whole(1)),
    **dict.fromkeys(("train.lr_g", "train.lr_d", "train.adam_eps"), number(SMALL)),
    "train.adam_b2": number(0, BELOW_ONE),
    "train.style_mixing": number(0, 1),
    **dict.fromkeys(("train.ema_images", "train.ema_ramp"), number(0)),
}
