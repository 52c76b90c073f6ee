"""Laws of EqGAN-SA's configs: the numbers of the published recipes, the automatic rule, and errors for fields that do not fit."""
from pathlib import Path

import jax
import pytest

from oasis_jax import config_flag
from oasis_jax.config_flag import flat
from oasis_jax.eqgan.family import columns, train_step
from oasis_jax.training.step import split_of_run

CONFIGS = Path(__file__).parents[2] / "configs"
PUBLISHED = ["eqgan_ffhq", "eqgan_lsun_cat", "eqgan_lsun_church"]


def load(name):
    file, *variant = name.split(":")
    return config_flag.load(":".join([str(CONFIGS / f"{file}.py"), *variant]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_recipe(name):
    config = load(name)
    model, loss, train = config.model, config.loss, config.train
    assert (model.channel_base, model.channel_max, model.z_dim, model.w_dim, model.mapping_layers) == (16_384, 512, 512, 512, 8)
    assert (model.mbstd_group_size, model.mbstd_groups, loss.align_groups, model.clamp, model.num_reduced) == (8, 8, 8, 256, 4)
    assert (model.encoder_features, model.sel_hidden) == (32, 64)
    assert (loss.align, loss.r1_gamma, loss.r1_every, loss.path_length, loss.path_every, train.style_mixing) == (1, 1, 16, 0, 4, 0)
    assert (train.batch_size, train.lr_g, train.lr_d, train.adam_b2, train.adam_eps) == (64, 0.0025, 0.0025, 0.99, 1e-8)
    assert train.num_steps * train.batch_size == 25_000_000
    assert (train.ema_images, train.ema_ramp, config.data.flip, config.data.image_size) == (20_000, 0, False, (256, 256))


def test_the_train_state_of_the_published_recipe_has_the_published_number_of_parameters():
    state = jax.eval_shape(lambda: train_step(load("eqgan_ffhq")).init((256, 256)))
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(network["params"])) for network in (state.generator, state.discriminator)]
    assert sizes == [56_222_346, 24_001_089]


def test_the_learning_rates_are_corrected_for_lazy_regularisation():
    assert train_step(load("eqgan_ffhq")).learning_rates(0) == pytest.approx({"lr_g": 0.002, "lr_d": 0.0025 * 16 / 17})


@pytest.mark.parametrize("name", [*PUBLISHED, "eqgan", "eqgan_scenes", "eqgan_auto"])
def test_variants_differ_in_spatial_awareness_and_alignment_alone(name):
    full, sel, baseline = (flat(load(f"{name}{variant}")) for variant in ("", ":sel", ":baseline"))
    assert {field for field in full if full[field] != sel[field]} == {"loss.align"}
    assert {field for field in sel if sel[field] != baseline[field]} == {"model.spatial_awareness"}
    steps = [train_step(load(f"{name}{variant}")) for variant in ("", ":sel", ":baseline")]
    assert [(step.generator.spatially_aware, step.alignment is not None) for step in steps] == [(True, True), (True, False), (False, False)]
    assert columns(load(f"{name}:baseline")) == ("image",) and columns(load(name)) == ("image", "heatmaps")


@pytest.mark.parametrize(
    "variant, batch, group, gamma, base, rate",
    [
        ("64", 32, 4, 0.0256, 16_384, 0.0025),
        ("128,devices=8", 64, 4, 0.0512, 16_384, 0.0025),
        ("512,devices=8,baseline", 64, 4, 0.8192, 32_768, 0.0025),
        ("1024", 4, 4, 52.4288, 32_768, 0.002),
        ("64,batch=16,sel", 16, 4, 0.0512, 16_384, 0.0025),
        ("64,batch=6", 6, 3, 0.8192 / 6, 16_384, 0.0025),
        ("64,batch=10", 10, 2, 0.08192, 16_384, 0.0025),
        ("64,batch=7", 7, 1, 0.8192 / 7, 16_384, 0.0025),
    ],
)
def test_the_automatic_rule(variant, batch, group, gamma, base, rate):
    config = load(f"eqgan_auto:{variant}")
    assert (config.train.batch_size, config.model.mbstd_group_size, config.model.channel_base) == (batch, group, base)
    assert config.loss.r1_gamma == pytest.approx(gamma) and config.train.lr_g == config.train.lr_d == rate
    assert (config.train.ema_images, config.train.ema_ramp, config.model.mapping_layers) == (batch * 312.5, 0.05, 2)
    devices = 8 if "devices=8" in variant else 1
    assert config.model.mbstd_groups == config.loss.align_groups == devices
    train_step(config)


@pytest.mark.parametrize("variant", ["128,devices=3", "256,devices=6", "64,batch=10,devices=4"])
def test_devices_share_the_batch_evenly(variant):
    with pytest.raises(ValueError, match=r"devices=\d does not divide the batch of \d+ images: give another devices=N, or batch=N"):
        load(f"eqgan_auto:{variant}")


@pytest.mark.parametrize("variant", ["100", "fast", "64,batch=0", "64,devices=x"])
def test_a_variant_that_the_rule_does_not_know_is_an_error(variant):
    with pytest.raises(ValueError, match="no variant|must be square"):
        load(f"eqgan_auto:{variant}")


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"data.image_size": (64, 128)}, r"data.image_size=\(64, 128\): images must be square"),
        ({"data.image_size": (96, 96)}, "with a side of 16, 32, 64"),
        ({"model.noise": "pink"}, "model.noise=pink is not one of random, const, none"),
        ({"model.mbstd_groups": 3}, "model.mbstd_groups=3 does not divide train.batch_size=64"),
        ({"loss.align_groups": 7}, "loss.align_groups=7 does not divide train.batch_size=64"),
        ({"model.mbstd_group_size": 5}, "model.mbstd_group_size=5 does not divide the 8 images"),
        ({"model.z_dim": 0}, "model.z_dim=0 is not an integer in 1"),
        ({"loss.r1_every": 0}, "loss.r1_every=0 is not an integer in 1"),
        ({"train.style_mixing": 1.5}, "train.style_mixing=1.5 is not a number from 0 to 1"),
        ({"train.lr_g": -0.1}, "train.lr_g=-0.1 is not a number from 1e-30 to 1e"),
        ({"train.lr_d": 0.0}, "train.lr_d=0.0 is not a number from 1e-30 to 1e"),
        ({"train.adam_eps": float("nan")}, "train.adam_eps=nan is not a number from 1e-30 to 1e"),
        ({"train.adam_b2": 1.0}, "train.adam_b2=1.0 is not a number from 0 to 0.99999994"),
        ({"train.adam_b2": -0.1}, "train.adam_b2=-0.1 is not a number from 0"),
        ({"train.ema_images": -1.0}, "train.ema_images=-1.0 is not a number from 0 to 1e"),
        ({"loss.r1_gamma": -1.0}, "loss.r1_gamma=-1.0 is not a number from 0 to 1e"),
        ({"model.channel_base": 128}, "model.channel_base=128 is below the side of the image, 256"),
        ({"eval.batch_size": 0}, "eval.batch_size=0 is not an integer in 1"),
    ],
)
def test_fields_that_do_not_fit_are_errors(fields, message):
    config = load("eqgan_ffhq")
    config.update_from_flattened_dict(fields)
    with pytest.raises(ValueError, match=message):
        train_step(config)


def test_only_the_batch_is_split_over_devices():
    config = load("eqgan_ffhq")
    split = split_of_run(config, train_step(config), 128)
    assert (split.data, split.space) == (64, 1)
    config.mesh.space = 2
    with pytest.raises(ValueError, match="mesh.space=2 is impossible with family=eqgan, which cannot split image rows: set it to 1"):
        split_of_run(config, train_step(config), 128)
