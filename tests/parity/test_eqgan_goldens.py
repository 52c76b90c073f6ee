"""Equality with the numbers of the published EqGAN-SA: heatmaps, their encoder, SEL, attention and alignment, in float64 and float32."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import golden_arrays, needs, thinned
from recipe import eqgan_module, eqgan_normal, eqgan_weights

from oasis_jax.heatmaps import explicit
from oasis_jax.layers.attention import alignment_loss, gradcam, normalised, targets
from oasis_jax.layers.spatial import HeatmapEncoder, SpatialEncoding, instance_norm, render, resize

HEATMAPS, ENCODER_SEL, ALIGN = "eqgan/heatmaps", "eqgan/encoder_sel", "eqgan/align"
needs_heatmaps, needs_encoder_sel, needs_align = needs(f"{HEATMAPS}.npz"), needs(f"{ENCODER_SEL}.npz"), needs(f"{ALIGN}.npz")
ALIGNMENTS = [
    pytest.param(case, marks=needs(f"{ALIGN}.npz", arrays=[f"unit.{case}.total"], because="a small set has two of the three cases"))
    for case in ("rand", "zero", "small")
]
LEVELS = {"b8": "l1", "b16": "l2", "b32": "l3"}  # its names and ours
SEED = 1000


@pytest.fixture(params=["f64", "f32"])
def dtype(request):
    with jax.enable_x64(request.param == "f64"), jax.default_matmul_precision("highest"):
        yield jnp.float64 if request.param == "f64" else jnp.float32


def nhwc(array, dtype):
    return jnp.asarray(np.moveaxis(array, 1, -1), dtype)


def close(actual, stored, key, relative):
    """Compares NHWC arrays with stored ones of NCHW, which may be thinned, within `relative` of the largest number."""
    expected, step = thinned(stored, key)
    actual = np.moveaxis(np.asarray(actual), -1, 1)[..., ::step, ::step] if expected.ndim == 4 else np.asarray(actual)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=relative * np.abs(expected).max(), err_msg=key)


def centres_and_widths(stored, prefix, explicit_centres=False):
    """Heatmaps (B, 7, 3) of the published sampler's inputs."""
    centre = stored[f"{prefix}centers"]
    if explicit_centres:
        others = [stored[f"{prefix}{level}_centers"] for level in ("l2", "l3")]
    else:
        others = [centre[..., None] + stored[f"{prefix}{level}_delta"] for level in ("l2", "l3")]
    centres = np.concatenate([centre[..., None], *others], axis=2).transpose(0, 2, 1)
    widths = [np.full((len(centre), 1), stored[f"{prefix}sigma"]), *(stored[f"{prefix}cur_sigma{level}"][:, 0, 0] for level in (2, 3))]
    return explicit(centres, np.concatenate(widths, axis=1))


@needs_heatmaps
@pytest.mark.parametrize("case, size", [("out32", 32), ("out64", 64), ("ovr32", 32)])
def test_rendered_heatmaps(case, size, dtype):
    stored = golden_arrays(HEATMAPS)
    given = centres_and_widths(stored, "in.", explicit_centres=case == "ovr32")
    maps = render(jnp.asarray(given, dtype), (size, size))
    for level, found in zip(LEVELS, jnp.split(maps, [1, 3], axis=-1), strict=True):
        close(found, stored, f"{case}.{level}", 3e-6)


@needs_encoder_sel
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
    maps = render(jnp.asarray(centres_and_widths(stored, "enc.in."), dtype), (32, 32))
    features = jax.jit(HeatmapEncoder().apply)({"params": params}, maps)
    for theirs, ours in LEVELS.items():
        close(features[ours], stored, f"enc.conv1.{theirs}", 3e-5)


def sel_params(name, dtype):
    weights = eqgan_weights(name)

    def entry(*layers):
        return {
            "weight": jnp.asarray(np.concatenate([weights[f"{layer}.weight"] for layer in layers]).transpose(2, 3, 1, 0), dtype),
            "bias": jnp.asarray(np.concatenate([weights[f"{layer}.bias"] for layer in layers]), dtype),
        }

    return {"shared": entry("shared.0"), "sigma_mu": entry("sigma", "mu"), "output": entry("output.1")}


@needs_encoder_sel
@pytest.mark.parametrize("name", ["sel0", "sel1"])
def test_spatial_encoding_layer(name, dtype):
    stored, params = golden_arrays(ENCODER_SEL), sel_params(name, dtype)
    batch, side, _ = stored[f"{name}.grad_hm_mean"].shape  # a draw begins with the same examples, however many are drawn
    channels = eqgan_module(name)["kwargs"]["map_dim"]
    feature = nhwc(eqgan_normal(f"{name}.hm", (batch, channels, side, side), SEED + 22), dtype)
    x = nhwc(stored[f"{name}.x"], dtype)

    @jax.jit
    def layer(x, feature):
        resized = resize(feature, x.shape[1:3])
        return SpatialEncoding().apply({"params": params}, x, resized, capture_intermediates=True), resized

    (out, found), resized = layer(x, feature)
    found = {key: value["__call__"][0] for key, value in found["intermediates"].items() if key != "__call__"}
    close(resized[..., :4], stored, f"{name}.hm_resized", 3e-5)
    close(instance_norm(x), stored, f"{name}.inorm", 3e-5)
    sigma, mu = jnp.split(found["sigma_mu"], 2, axis=-1)
    for key, value in {"sigma": sigma, "mu": mu, "branch": found["output"], "out": out}.items():
        close(value, stored, f"{name}.{key}", 3e-5)

    cotangent = nhwc(eqgan_normal(f"{name}.cot", stored[f"{name}.out"].shape, SEED + 22), dtype)
    gradient = jax.grad(lambda x, feature: jnp.sum(layer(x, feature)[0][0] * cotangent), argnums=(0, 1))
    of_x, of_feature = jax.jit(gradient)(x, feature)
    close(of_x, stored, f"{name}.grad_x", 1e-4)
    close(of_feature.mean(-1), stored, f"{name}.grad_hm_mean", 1e-4)


@pytest.mark.parametrize("case", ALIGNMENTS)
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
    np.testing.assert_allclose(total, stored[f"{prefix}total"], rtol=1e-4)
    for level, loss, gradient in zip(LEVELS, levels, gradients, strict=True):
        # The published numbers of "small" include a loss that is zero but for rounding.
        np.testing.assert_allclose(loss, stored[f"{prefix}level.{level}"], rtol=1e-4, atol=5e-8)
        if case != "small":  # the case without gradients
            close(gradient, stored, f"{prefix}grad.{level}", 1e-4)
        assert np.isfinite(gradient).all()


@needs_align
def test_attention_and_alignment_of_the_small_networks(dtype):
    """The features, weights and maps that its generator and discriminator gave; the networks themselves are not here."""
    stored = golden_arrays(ALIGN)
    maps = render(jnp.asarray(centres_and_widths(stored, "hm."), dtype), (32, 32))
    total = 0
    for level, target in zip(LEVELS, targets(maps), strict=True):
        features = nhwc(stored[f"feat.{level}"], dtype)
        weights = nhwc(stored[f"gradcam_w.{level}"], dtype)
        attention = gradcam(features, jnp.broadcast_to(weights[: len(features)], features.shape))
        expected = stored[f"act_raw.{level}"][:, 0]
        np.testing.assert_allclose(attention, expected[: len(features)], rtol=0, atol=1e-4 * expected.max())
        found = normalised(jnp.asarray(expected, dtype), (32, 32))
        close(found[..., None], stored, f"act_norm.{level}", 1e-4)
        loss = alignment_loss(found, target)
        np.testing.assert_allclose(loss, stored[f"align.{level}"], rtol=1e-4)
        total += loss
    np.testing.assert_allclose(total, stored["align.total"], rtol=1e-4)
