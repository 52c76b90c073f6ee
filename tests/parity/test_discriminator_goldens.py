"""The discriminator equals the published one on every golden case: proven in float64, checked again in float32."""
import functools

import jax
import jax.numpy as jnp
import pytest
from goldens import make_image
from published import Comparison, cases_of, check_forward, load_discriminator, nhwc, outputs_wanted


@pytest.mark.parametrize("case", cases_of("D_forward"))
def test_discriminator_equals_published(case, precision):
    entry, stored = case.entry, case.arrays("in/")
    size = (entry["height"], entry["width"])
    discriminator, variables = load_discriminator(case, "state_dict", precision, size)
    image = stored["image"] if "image" in stored else make_image(entry["image_seed"], entry["batch"], *size)
    image = jnp.asarray(nhwc(image), discriminator.dtype)
    comparison = Comparison(case, precision)
    modes = [mode for mode in ("eval", "train") if any(name.startswith(mode) for name in comparison.expected)]
    forward = functools.partial(discriminator.apply, **outputs_wanted(comparison))
    results = jax.jit(lambda *inputs: [forward(*inputs, train=mode == "train") for mode in modes])(variables, image)
    for mode, result in zip(modes, results, strict=True):
        check_forward(comparison, mode, result, "logits", stored.get("pos"))
    comparison.finish()
