"""Equality with the numbers of the published EqGAN-SA, in float64 and float32: heatmaps, their encoder, SEL, the alignment loss alone."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eqgan_cases import FORWARD, GRADIENT, LEVELS, LOSS, OPERATION, centres_and_widths, compare, drawn, nhwc
from goldens import golden_arrays, needs, skip_without, stored_groups, thinned
from recipe import eqgan_module, eqgan_weights

from oasis_jax.eqgan.synthesis import activate
from oasis_jax.layers.attention import alignment_loss, gradcam, normalised, targets
from oasis_jax.layers.spatial import HeatmapEncoder, SpatialEncoding, instance_norm, render, resize

HEATMAPS, ENCODER_SEL, ALIGN = "eqgan/heatmaps", "eqgan/encoder_sel", "eqgan/align"
needs_heatmaps, needs_encoder_sel = needs(f"{HEATMAPS}.npz"), needs(f"{ENCODER_SEL}.npz")
ZERO = 5e-8  # the published numbers include losses that are zero except for rounding


@needs_heatmaps
@pytest.mark.parametrize("case", stored_groups(HEATMAPS, r"((?:out|ovr)\d+)\..*"))
def test_rendered_heatmaps(case, dtype):
    stored, size = golden_arrays(HEATMAPS), int(case[3:])
    given = centres_and_widths(stored, "in.", explicit_centres=case.startswith("ovr"))
    maps = render(jnp.asarray(given, dtype), (size, size))
    found = dict(zip((f"{case}.{level}" for level in LEVELS), jnp.split(maps, [1, 3], axis=-1), strict=True))
    compare(found, HEATMAPS, dtype, OPERATION, names=rf"{case}\..*")


@needs(f"{ENCODER_SEL}.npz", arrays=["enc.conv1.b8", "enc.in.centers"])
def test_heatmap_encoder(dtype):
    stored, weights = golden_arrays(ENCODER_SEL), eqgan_weights("G_small")
    params = {
        f"{ours}_{i}": {
            "weight": jnp.asarray(weights[f"synthesis.hm_conv{i}_{theirs}.weight"].transpose(2, 3, 1, 0), dtype),
            "bias": jnp.asarray(weights[f"synthesis.hm_conv{i}_{theirs}.bias"], dtype),
        }
        for theirs, ours in LEVELS.items()
        for i in range(2)
    }
    last, step = thinned(stored, "enc.conv1.b8")
    maps = render(jnp.asarray(centres_and_widths(stored, "enc.in."), dtype), (step * last.shape[2], step * last.shape[3]))
    encode = jax.jit(lambda params, maps: HeatmapEncoder().apply({"params": params}, maps, capture_intermediates=True))
    features, inner = encode(params, maps)
    found = dict(zip((f"enc.hm.{level}" for level in LEVELS), jnp.split(maps, [1, 3], axis=-1), strict=True))
    for theirs, ours in LEVELS.items():
        found[f"enc.conv0.{theirs}"] = activate(inner["intermediates"][f"{ours}_0"]["__call__"][0])
        found[f"enc.conv1.{theirs}"] = features[ours]
    compare(found, ENCODER_SEL, dtype, FORWARD, names=r"enc\.(hm|conv.)\..*")


def sel_params(name, dtype):
    weights = eqgan_weights(name)

    def entry(*layers):
        return {
            "weight": jnp.asarray(np.concatenate([weights[f"{layer}.weight"] for layer in layers]).transpose(2, 3, 1, 0), dtype),
            "bias": jnp.asarray(np.concatenate([weights[f"{layer}.bias"] for layer in layers]), dtype),
        }

    return {"shared": entry("shared.0"), "sigma_mu": entry("sigma", "mu"), "output": entry("output.1")}


@needs_encoder_sel
@pytest.mark.parametrize("name", stored_groups(ENCODER_SEL, r"(sel\d+)\..*"))
def test_spatial_encoding_layer(name, dtype):
    skip_without(ENCODER_SEL, f"{name}.x", f"{name}.grad_hm_mean")
    stored, params, fields = golden_arrays(ENCODER_SEL), sel_params(name, dtype), eqgan_module(name)["kwargs"]
    x, size = stored[f"{name}.x"], stored[f"{name}.grad_hm_mean"].shape[1:]
    # The first examples of a draw do not depend on how many are drawn.
    feature = nhwc(drawn(f"{name}.hm", (len(x), fields["map_dim"], *size), 22), dtype)
    cotangent = nhwc(drawn(f"{name}.cot", x.shape, 22), dtype)
    x = nhwc(x, dtype)

    @jax.jit
    def layer(x, feature):
        resized = resize(feature, x.shape[1:3])
        return SpatialEncoding(hidden=fields["nhidden"]).apply({"params": params}, x, resized, capture_intermediates=True), resized

    (out, inner), resized = layer(x, feature)
    inner = {key: value["__call__"][0] for key, value in inner["intermediates"].items() if key != "__call__"}
    sigma, mu = jnp.split(inner["sigma_mu"], 2, axis=-1)
    gradient = jax.grad(lambda x, feature: jnp.sum(layer(x, feature)[0][0] * cotangent), argnums=(0, 1))
    of_x, of_feature = jax.jit(gradient)(x, feature)
    found = {
        "hm_resized": resized[..., :4],
        "inorm": instance_norm(x),
        "shared": activate(inner["shared"])[..., :4],
        "sigma": sigma,
        "mu": mu,
        "dx": instance_norm(x) * (1 + sigma) + mu,
        "branch": inner["output"],
        "out": out,
        "grad_x": of_x,
        "grad_hm_mean": of_feature.mean(-1),
    }
    tolerances = {r".*\.grad_.*": GRADIENT, r".*": FORWARD}
    compare({f"{name}.{key}": value for key, value in found.items()}, ENCODER_SEL, dtype, tolerances, names=rf"{name}\.(?!x$).*")


@pytest.mark.parametrize("case", stored_groups(ALIGN, r"unit\.(\w+)\.total"))
def test_alignment_of_given_features_weights_and_heatmaps(case, dtype):
    stored, prefix = golden_arrays(ALIGN), f"unit.{case}."
    maps = jnp.concatenate([nhwc(stored[f"{prefix}hm.{level}"], dtype) for level in LEVELS], axis=-1)
    features = [nhwc(stored[f"{prefix}feat.{level}"], dtype) for level in LEVELS]
    weights = [nhwc(stored[f"{prefix}w.{level}"], dtype) for level in LEVELS]

    def losses(features):
        found = [normalised(gradcam(f, jnp.broadcast_to(w, f.shape)), maps.shape[1:3]) for f, w in zip(features, weights, strict=True)]
        levels = [alignment_loss(attention, target) for attention, target in zip(found, targets(maps), strict=True)]
        return sum(levels), levels

    (total, levels), gradients = jax.jit(jax.value_and_grad(losses, has_aux=True))(features)
    found = {f"{prefix}total": total} | {f"{prefix}level.{level}": loss for level, loss in zip(LEVELS, levels, strict=True)}
    found |= {f"{prefix}grad.{level}": gradient for level, gradient in zip(LEVELS, gradients, strict=True)}
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    zero = [level for level in LEVELS if stored[f"{prefix}level.{level}"] < ZERO]
    assert all(found[f"{prefix}level.{level}"] < ZERO for level in zero)
    tolerances = {r".*\.grad\..*": GRADIENT, r".*": LOSS}
    inputs = rf"unit\.{case}\.((feat|w|hm)\..*|level\.({'|'.join(zero) or '$'}))"
    compare(found, ALIGN, dtype, tolerances, names=rf"unit\.{case}\..*", inputs=inputs)
