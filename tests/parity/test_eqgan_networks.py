"""Equality with the numbers of the published EqGAN-SA: operations, generator, discriminator and attention, in float64 and float32."""
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eqgan_cases import (
    FORWARD,
    GRADIENT,
    HEATMAPS,
    LEVELS,
    LOSS,
    OPERATION,
    centres_and_widths,
    compare,
    discriminator,
    drawn,
    generator,
    nhwc,
    set_seed,
)
from goldens import golden_arrays, needs
from recipe import eqgan_array

from oasis_jax.eqgan.alignment import Alignment, attended_forward
from oasis_jax.eqgan.discriminator import minibatch_deviation
from oasis_jax.eqgan.losses import r1_penalty, real_loss
from oasis_jax.eqgan.mapping import EqualizedDense, Mapping
from oasis_jax.eqgan.synthesis import activate, modulated_conv2d
from oasis_jax.layers import filtered
from oasis_jax.layers.attention import alignment_loss, gradcam, normalised, targets
from oasis_jax.layers.convolution import conv2d
from oasis_jax.layers.spatial import render, resize

OPS, ALIGN = "eqgan/ops", "eqgan/align"
G_SMALL, D_SMALL = "eqgan/g_small", "eqgan/d_small"
G_256, D_256 = "eqgan/g_256", "eqgan/d_256"
float32_is_slow = pytest.mark.parametrize("dtype", ["f64", pytest.param("f32", marks=pytest.mark.slow)], indirect=True)


@needs(f"{OPS}.npz", arrays=["x", "w", "w1", "styles", "noise", "b", "mbstd_x", "interp_x", "pixel_norm"])
def test_operations(dtype):
    stored = golden_arrays(OPS)
    x, small, many = (nhwc(stored[name], dtype) for name in ("x", "interp_x", "mbstd_x"))
    kernel, pointwise = (jnp.asarray(stored[name].transpose(2, 3, 1, 0), dtype) for name in ("w", "w1"))
    styles, noise, bias = (jnp.asarray(stored[name], dtype) for name in ("styles", "noise", "b"))
    z = jnp.asarray(drawn("ops.z", stored["pixel_norm"].shape, 25), dtype)
    linear = next(key for key in stored if key.startswith("fc_lr"))
    features = stored[linear].shape[1]
    dense = {
        name: jnp.asarray(eqgan_array(f"mapping.fc9.{name}", shape, set_seed() + 25).T, dtype)
        for name, shape in {"weight": (features, z.shape[1]), "bias": (features,)}.items()
    }
    downsampling = {
        "downsample2d": filtered.downsample,
        "conv3_down2": lambda x: filtered.conv2d_down(x, kernel),
        "conv1_down2": lambda x: conv2d(filtered.downsample(x), pointwise),
    }

    @jax.jit
    def compute(x):
        identity, modulated = Mapping(z.shape[1], num_layers=0), modulated_conv2d(x, kernel, styles)
        found = {
            "upsample2d": filtered.upsample(x),
            "conv3_up2": filtered.conv2d_up(x, kernel),
            "mod_demod": modulated + noise[..., None],
            "mod_demod_unfused": modulated + noise[..., None],
            "mod_demod_up2": modulated_conv2d(x, kernel, styles, filtered.conv2d_up),
            "mod_nodemod_1x1": modulated_conv2d(x, pointwise, styles, demodulate=False),
            "bias_lrelu": activate(x + bias),
            "pixel_norm": identity.apply(identity.init(jax.random.key(0), z), z),
        }
        for key in stored:  # names that contain the arguments of an operation
            if of := re.fullmatch(rf"({'|'.join(downsampling)})(?:_x\[:(\d+),:(\d+)\])?", key):
                found[key] = downsampling[of[1]](x[:, : int(of[2] or x.shape[1]), : int(of[3] or x.shape[2])])
            elif of := re.fullmatch(r"bias_lrelu_g([\d.]+)_c([\d.]+)", key):
                found[key] = activate(x + bias, gain=float(of[1]), clamp=float(of[2]))
            elif of := re.fullmatch(r"fc_lr([\d.]+)", key):
                found[key] = activate(EqualizedDense(features, lr_mult=float(of[1])).apply({"params": dense}, z))
            elif of := re.fullmatch(r"mbstd_g(\d+)(?:_N(\d+))?", key):
                found[key] = minibatch_deviation(many[: int(of[2] or len(many))], int(of[1]))[:, None, None, None]
            elif of := re.fullmatch(r"interp_ac_(\d+)", key):
                found[key] = resize(small, (int(of[1]),) * 2)
        return found

    compare(compute(x), OPS, dtype, OPERATION, inputs=r"x|w|w1|styles|noise|b|mbstd_x|interp_x")


@needs(f"{G_SMALL}.npz", arrays=["z", "ws", "cot", "clamp", "trunc_psi", "trunc_cutoff", "hm.centers"])
@float32_is_slow
def test_generator(dtype):
    stored, (network, variables) = golden_arrays(G_SMALL), generator("G_small", dtype)
    z, ws = (jnp.asarray(stored[name], dtype) for name in ("z", "ws"))
    moved = centres_and_widths(stored | {"hm.centers": stored["hm.centers"] + np.float32(0.2)}, "hm.")
    maps, moved = jnp.asarray(centres_and_widths(stored, "hm."), dtype), jnp.asarray(moved, dtype)
    psi = jnp.full((len(z), network.num_ws), stored["trunc_psi"], dtype)
    styles = network.apply(variables, z, method="styles")
    truncated = network.apply(variables, styles, psi, method="truncate")
    first = jnp.where(jnp.arange(network.num_ws) < stored["trunc_cutoff"], psi, 1)

    @functools.partial(jax.jit, static_argnames=("network", "noise", "capture_intermediates"))
    def synthesise(network, variables, *inputs, noise="const", **options):
        return network.apply(variables, *inputs, noise, method="synthesise", **options)

    inputs = jnp.concatenate([ws, truncated, styles]), jnp.concatenate([maps, maps, moved])
    images, inner = synthesise(network, variables, *inputs, capture_intermediates=True)
    found = {
        "num_ws": network.num_ws,
        "map.w": styles[:, 0],
        "map.w_trunc": truncated[:, 0],
        "map.ws_trunc_cutoff": network.apply(variables, styles, first, method="truncate"),
        **dict(zip(("img.const", "img.e2e", "img.moved"), jnp.split(images, 3), strict=True)),
        "img.none": synthesise(network, variables, ws, maps, noise=None),
        "img.clamped": synthesise(network.clone(clamp=float(stored["clamp"])), variables, ws, maps),
    }
    for block, values in inner["intermediates"]["synthesis"].items():
        if block in ("__call__", "encoder"):
            continue
        found |= dict(zip((f"const.{block}.x", f"const.{block}.img"), values.pop("__call__")[0], strict=True))
        for layer, of_layer in values.items():
            name = f"const.{block}.{layer}"
            found[f"{name}.style"] = of_layer["affine"]["__call__"][0]
            found[f"{name}.sel_out"], found[f"{name}.out"] = of_layer["sel"]["__call__"][0], of_layer["__call__"][0]

    def product(ws, rendered, variables):
        image = network.apply(variables, ws, rendered, "const", method=lambda module, *args: module.synthesis(*args))
        return jnp.sum(image * nhwc(stored["cot"], dtype))

    found["grad.ws"], of_maps = jax.jit(jax.grad(product, argnums=(0, 1)))(ws, render(maps, (network.resolution,) * 2), variables)
    found |= dict(zip((f"grad.hm.{level}" for level in LEVELS), jnp.split(of_maps, [1, 3], axis=-1), strict=True))
    tolerances = {r"grad\..*": GRADIENT, r".*": FORWARD}
    compare(found, G_SMALL, dtype, tolerances, inputs=rf"z|ws|cot|clamp|trunc_psi|trunc_cutoff|hm\.{HEATMAPS}")


@needs(f"{D_SMALL}.npz", arrays=["img", "clamp"])
@float32_is_slow
def test_discriminator(dtype):
    stored = golden_arrays(D_SMALL)
    network, variables = discriminator("D_small", dtype, stored.get("mbstd_group"))
    image, clamped = nhwc(stored["img"], dtype), network.clone(clamp=float(stored["clamp"]))

    @functools.partial(jax.jit, static_argnums=0)
    def judged(network, variables, image):
        features = network.apply(variables, image, method="trunk")[1]
        return network.apply(variables, image)[:, None], features

    @jax.jit
    def gradients(variables, image):
        def discriminate(image):
            return network.apply(variables, image)

        return jax.grad(lambda image: discriminate(image).sum())(image), r1_penalty(discriminate, image)

    counts = [int(key.removeprefix("logits_first")) for key in stored if key.startswith("logits_first")]
    found = {f"logits_first{count}": judged(network, variables, image[:count])[0] for count in counts}
    found["logits"], features = judged(network, variables, image)
    found |= {f"feat.{name}": value for name, value in features.items()}
    found["clamped.logits"], features = judged(clamped, variables, image)
    found |= {f"clamped.feat.{name}": value for name, value in features.items()}
    found["grad_img_of_sum"], found["r1_penalty_per_sample"] = gradients(variables, image)
    compare(found, D_SMALL, dtype, {r"grad.*|r1.*": GRADIENT, r".*": FORWARD}, inputs="img|clamp|mbstd_group")


@needs(f"{ALIGN}.npz", arrays=["z"])
@float32_is_slow
def test_attention_and_alignment_of_generated_images(dtype):
    stored, (network, variables) = golden_arrays(ALIGN), generator("G_small", dtype)
    critic, weights = discriminator("D_small", dtype, stored["mbstd_group"])
    size = (critic.resolution,) * 2
    z, heatmaps = jnp.asarray(stored["z"], dtype), jnp.asarray(centres_and_widths(stored, "hm."), dtype)

    @jax.jit
    def networks(variables, weights, z, heatmaps):
        fake = network.apply(variables, z, heatmaps)
        passed = attended_forward(critic, weights, fake)
        gradients = passed.of_features(passed.of_carry(jax.grad(real_loss)(passed.logits)))
        total = Alignment().loss(passed.features, gradients, heatmaps, size)
        return fake, passed.logits, passed.features, gradients, total

    fake, logits, features, gradients, total = networks(variables, weights, z, heatmaps)
    found = {"fake_img": fake, "fake_logits": logits[:, None], "adv": real_loss(logits), "align.total": total}
    for level, target in zip(LEVELS, targets(render(heatmaps, size)), strict=True):
        # The published scalar is the sum over the images, ours is the mean.
        of_channels = len(z) * gradients[level].mean((1, 2), keepdims=True)
        attention = gradcam(features[level], gradients[level])
        aligned = normalised(attention, size)
        found |= {f"feat.{level}": features[level], f"gradcam_w.{level}": of_channels, f"act_norm.{level}": aligned[..., None]}
        found[f"act_raw.{level}"] = len(z) * attention[..., None]
        found[f"align.{level}"] = alignment_loss(aligned, target)
    tolerances = {r"(gradcam_w|act_.*)\..*": GRADIENT, r"align\..*": LOSS, r".*": FORWARD}
    compare(found, ALIGN, dtype, tolerances, names=r"(?!unit\.).*", inputs=rf"z|mbstd_group|hm\.{HEATMAPS}")


def at_positions(stored, name, array):
    """{name: value} to compare, if an array (B, H, W, C) is stored in part: its shape, and values at positions of the flat NCHW array."""
    if f"{name}.pos" not in stored:
        return {}
    values = np.moveaxis(np.asarray(array), -1, 1)
    return {f"{name}.shape": values.shape, f"{name}.val": values.ravel()[stored[f"{name}.pos"]]}


@pytest.mark.slow
@needs(f"{G_256}.npz", because="a small set has no case of full width")
def test_generator_of_published_widths(dtype):
    stored, (network, variables) = golden_arrays(G_256), generator("G_256", dtype)
    z, heatmaps = jnp.asarray(stored["z"], dtype), jnp.asarray(centres_and_widths(stored, "hm."), dtype)
    run = jax.jit(lambda variables, z, heatmaps: network.apply(variables, z, heatmaps, capture_intermediates=True))
    image, inner = run(variables, z, heatmaps)
    found = {"num_ws": network.num_ws, "map.w": network.apply(variables, z, method="styles")[:, 0]}
    for key in stored:
        if of := re.fullmatch(r"img\.stride(\d+)", key):
            found[key] = image[:, :: int(of[1]), :: int(of[1])]
    found |= at_positions(stored, "img", image) | {"img.mean_std": [image.mean(), image.std(ddof=1)]}
    for block, values in inner["intermediates"]["synthesis"].items():
        if block not in ("__call__", "encoder"):
            x, rgb = values["__call__"][0]
            found |= at_positions(stored, f"{block}.x", x) | at_positions(stored, f"{block}.img", rgb)
    compare(found, G_256, dtype, FORWARD, inputs=rf"z|.*\.pos|hm\.{HEATMAPS}")


@pytest.mark.slow
@needs(f"{D_256}.npz", because="a small set has no case of full width")
def test_discriminator_of_published_widths(dtype):
    stored, (network, variables) = golden_arrays(D_256), discriminator("D_256", dtype)
    image = nhwc(np.float32(0.6) * drawn("D256.img", stored["img.shape"], 52), dtype)
    carry, features = jax.jit(lambda variables, image: network.apply(variables, image, method="trunk"))(variables, image)
    found = {"img.shape": np.moveaxis(image, -1, 1).shape, "logits": network.apply(variables, carry, method="head")[:, None]}
    for name, feature in features.items():
        found |= at_positions(stored, name, feature)
    compare(found, D_256, dtype, FORWARD, inputs=r".*\.pos")
