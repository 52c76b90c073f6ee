"""The discriminator numerically matches the published one on every golden case, in float64 and in float32."""
import jax.numpy as jnp
import pytest
from published import Comparison, cases_of, check_forwards, load_discriminator, nhwc, outputs_wanted


@pytest.mark.parametrize("case", cases_of("D_forward"))
def test_discriminator_equals_published(case, precision):
    entry, stored = case.entry, case.arrays("in/")
    size = (entry["height"], entry["width"])
    discriminator, variables = load_discriminator(case, case.state_dict("state_dict"), precision, size)
    image = jnp.asarray(nhwc(case.image()), discriminator.dtype)
    comparison = Comparison(case, precision)
    if outputs_wanted(comparison).get("capture_intermediates"):
        discriminator = discriminator.clone(fused=False)  # every block then has an output of its own; other cases test the fused form
    check_forwards(comparison, discriminator, variables, image, "logits", stored.get("pos"))
    comparison.finish()
