"""Laws of the generator, its conditioning, and the discriminator."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.layers.resampling import upsample
from oasis_jax.oasis.conditioning import from_noise, from_regions
from oasis_jax.oasis.dense import Dense
from oasis_jax.oasis.discriminator import DecoderBlock, Discriminator
from oasis_jax.oasis.generator import MUTABLE_G, Generator, check_sides
from oasis_jax.oasis.spade import SPADEResidualBlock

N, Z = 4, 3
LABELS = np.random.default_rng(0).integers(0, N, (2, 8, 12))


def normal(seed, shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def tiny_generator(**fields):
    return Generator(num_classes=N, num_blocks=2, channels=2, spade_hidden=4, z_dim=Z, **fields)


def tiny_discriminator(**fields):
    return Discriminator(num_classes=N, num_blocks=2, channels=(4, 6), last=4, **fields)


def test_published_widths_have_the_published_numbers_of_parameters():
    def count(module, *inputs):
        return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]))

    assert count(Generator(num_classes=35), jnp.zeros((1, 64, 64), jnp.int32), jnp.zeros((1, 64))) == 71_107_523
    assert count(Discriminator(num_classes=35), jnp.zeros((1, 64, 64, 3))) == 22_251_364


def test_one_vector_per_image_is_one_region_is_the_same_noise_at_every_pixel():
    noise = normal(0, (2, Z))
    per_image = from_noise(LABELS, noise, N)
    others = {
        "one region": from_regions(LABELS, np.zeros_like(LABELS), noise[:, None], N),
        "every class": from_noise(LABELS, jnp.broadcast_to(noise[:, None], (2, N, Z)), N),
        "every pixel": from_noise(LABELS, jnp.broadcast_to(noise[:, None, None], (*LABELS.shape, Z)), N),
    }
    for size in ((8, 12), (4, 6)):
        expected = per_image.dense(*size)
        assert expected.shape == (2, *size, Z + N)
        for name, conditioning in others.items():
            np.testing.assert_array_equal(conditioning.dense(*size), expected, err_msg=name)


def test_conditioning_is_noise_first_then_the_one_hot_label():
    noise = normal(0, (2, N, Z))
    dense = from_noise(LABELS, noise, N).dense(8, 12)
    np.testing.assert_array_equal(dense[..., Z:], np.eye(N)[LABELS])
    np.testing.assert_array_equal(dense[1, ..., :Z], noise[1][LABELS[1]])


def test_noise_that_does_not_fit_names_what_does():
    with pytest.raises(ValueError, match=r"noise is \(2, 5, 3\).*\(2, 4, 'z_dim'\)"):
        from_noise(LABELS, jnp.zeros((2, 5, Z)), N)
    with pytest.raises(ValueError, match="z_dim=3, but noise vectors of length 5"):
        tiny_generator().condition(LABELS, jnp.zeros((2, 5)))
    with pytest.raises(ValueError, match="region_map is"):
        from_regions(LABELS, LABELS[:1], jnp.zeros((2, 1, Z)), N)


def test_sides_that_do_not_fit_name_the_nearest_that_do():
    with pytest.raises(ValueError, match="100x256 does not fit.*divisible by 64; nearest heights 64 or 128, widths 256"):
        check_sides(100, 256, 6)
    with pytest.raises(ValueError, match="nearest heights 64, widths 64"):
        check_sides(0, 10, 6)


def sum_of_outputs(module, variables, *inputs):
    return lambda params: jnp.sum(
        jnp.sin(module.apply({**variables, "params": params}, *inputs, train=True, mutable=["batch_stats", "spectral_norm"])[0])
    )


@pytest.mark.parametrize("build", [tiny_generator, tiny_discriminator])
def test_rematerialisation_does_not_change_gradients(build, float64):
    inputs = (jnp.asarray(LABELS), normal(0, (2, Z))) if build is tiny_generator else (normal(0, (2, 8, 12, 3)),)
    inputs = [array.astype(float) if array.dtype == jnp.float32 else array for array in inputs]
    variables = jax.tree.map(lambda leaf: leaf.astype(float), jax.jit(build().init)(jax.random.key(0), *inputs))
    params = jax.tree.map(lambda x: 30 * x, variables["params"])
    networks = [build(dtype=jnp.float64, remat=remat) for remat in (False, True)]
    plain, remat = (jax.jit(jax.grad(sum_of_outputs(network, variables, *inputs)))(params) for network in networks)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * largest), plain, remat)


def test_bfloat16_activations_give_float32_images_logits_and_parameters():
    generator, discriminator = tiny_generator(dtype=jnp.bfloat16), tiny_discriminator(dtype=jnp.bfloat16)
    image, variables = jax.jit(generator.init_with_output)(jax.random.key(0), jnp.asarray(LABELS), normal(0, (2, Z)))
    logits, variables_d = jax.jit(discriminator.init_with_output)(jax.random.key(1), image)
    assert image.dtype == logits.dtype == jnp.float32
    assert logits.shape == (2, 8, 12, N + 1)
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, variables_d))} == {jnp.dtype("float32")}
    assert np.isfinite(logits).all() and np.abs(image).max() <= 1


def test_fused_resampling_changes_neither_the_logits_nor_the_gradients():
    with jax.enable_x64(True):
        fused = tiny_discriminator(dtype=jnp.float64)
        image = normal(0, (1, 32, 48, 3)).astype(jnp.float64)  # large enough for resampling to be fused
        variables = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), jax.jit(fused.init)(jax.random.key(0), image))

        def logits_and_gradients(discriminator):
            def loss(params, image):
                logits = discriminator.apply({**variables, "params": params}, image)
                return jnp.sum(jnp.sin(1e3 * logits)), logits

            return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(variables["params"], image)

        results = [jax.tree.leaves(logits_and_gradients(network)) for network in (fused, fused.clone(fused=False))]
        for actual, expected in zip(*results, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10 * max(np.abs(expected).max(), 1e-30))


@pytest.mark.parametrize("features", [4, 6], ids=["as many channels", "more channels"])
def test_a_block_that_upsamples_equals_a_block_of_the_upsampled_image(features, float64):
    x, y = normal(0, (2, 3, 2, 4)).astype(float), Dense(normal(1, (2, 6, 4, N)).astype(float))
    plain, upsampling = SPADEResidualBlock(features, 5), SPADEResidualBlock(features, 5, upsamples=True)
    variables = jax.tree.map(lambda leaf: leaf.astype(float), jax.jit(plain.init)(jax.random.key(0), upsample(x), y))
    expected, after_expected = plain.apply(variables, upsample(x), y, True, mutable=MUTABLE_G)
    actual, after_actual = upsampling.apply(variables, x, y, True, mutable=MUTABLE_G)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-11)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-11), after_actual, after_expected)


@pytest.mark.parametrize("channels", [4, 6], ids=["as many channels", "more channels"])
def test_a_decoder_block_that_returns_logits_equals_the_block_and_then_the_logits(channels, float64):
    block, x, matrix = DecoderBlock(4), normal(0, (1, 3, 2, channels)).astype(float), normal(1, (4, 5)).astype(float)
    variables = jax.tree.map(lambda leaf: leaf.astype(float), block.init(jax.random.key(0), x))
    np.testing.assert_allclose(block.apply(variables, x, False, matrix), block.apply(variables, x) @ matrix, rtol=0, atol=1e-12)
