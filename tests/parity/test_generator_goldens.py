"""The generator numerically matches the published one on every golden case, in float64 and in float32."""
import jax.numpy as jnp
import pytest
from goldens import make_normal
from published import Comparison, cases_of, check_forwards, load_generator, on_regions_alone

from oasis_jax.oasis.conditioning import from_noise, from_regions


def inputs_of_generator(case, generator):
    entry, stored = case.entry, case.arrays("in/")
    label_map = jnp.asarray(case.label_map(), jnp.int32)
    if "z_regions" in stored:
        noise = jnp.asarray(stored["z_regions"], generator.dtype)
        return from_regions(label_map, jnp.asarray(stored["region"], jnp.int32), noise, generator.num_classes, generator.dtype)
    noise = None
    if generator.z_dim:
        noise = stored.get("z")
        noise = make_normal(entry["z_seed"], (entry["batch"], generator.z_dim)) if noise is None else noise
        noise = jnp.asarray(noise, generator.dtype)
    return from_noise(label_map, noise, generator.num_classes, generator.dtype)


@pytest.fixture(scope="module")
def weights(case):
    """The recipe's weights, made once per case."""
    return case.state_dict("state_dict")


@pytest.mark.slow
@pytest.mark.parametrize("case", cases_of("G_forward"), scope="module")
def test_generator_equals_published(case, weights, precision, on_regions):
    size = (case.entry["height"], case.entry["width"])
    generator, variables = load_generator(case, weights, precision, size)
    conditioning, positions = inputs_of_generator(case, generator), case.arrays("in/pos").get("")
    if on_regions and size > (64, 64) and "z_regions" not in case.arrays("in/"):
        pytest.skip("regions depend on neighbourhoods, not on the size: smaller cases prove them")
    if on_regions:
        generator = on_regions_alone(generator, conditioning.ids)
    comparison = Comparison(case, precision)
    check_forwards(comparison, generator, variables, conditioning, "image", positions)
    comparison.finish()
