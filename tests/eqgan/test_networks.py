"""Laws of EqGAN-SA's generator and discriminator, on tiny networks."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax import heatmaps
from oasis_jax.eqgan import published
from oasis_jax.eqgan.discriminator import Discriminator, minibatch_deviation
from oasis_jax.eqgan.from_config import make_generator
from oasis_jax.eqgan.generator import Generator, block_dtypes
from oasis_jax.eqgan.mapping import W_AVG_DECAY
from tests.eqgan.tiny import DISCRIMINATOR, GENERATOR, SIDE, random_variables, tiny_config

Z = jax.random.normal(jax.random.key(1), (3, 8))
MAPS = jnp.asarray(np.stack([heatmaps.of_seed(seed) for seed in range(3)]), jnp.float32)
IMAGE = jax.random.uniform(jax.random.key(2), (8, SIDE, SIDE, 3), minval=-1)


@pytest.fixture(scope="module")
def generator():
    return random_variables(GENERATOR, Z[:1], MAPS[:1])


@pytest.fixture(scope="module")
def discriminator():
    return random_variables(DISCRIMINATOR, IMAGE[:1])


@pytest.fixture(scope="module")
def images(generator):
    return synthesise(GENERATOR, generator)


def synthesise(network, variables, noise="const", z=Z, maps=MAPS):
    return jax.jit(lambda variables, z, maps: network.apply(variables, z, maps, noise))(variables, z, maps)


def differ(a, b):
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max())


@pytest.mark.parametrize("side", [16, 32, 64, 128, 256, 512, 1024])
def test_any_power_of_two_is_a_resolution(side):
    widths = {"channel_base": 2 * side, "channel_max": 4}
    network = Generator(side, **widths, z_dim=4, w_dim=4, mapping_layers=1, sel_hidden=2, encoder_features=2)
    critic = Discriminator(side, **widths)

    def both(z, maps):
        image = network.apply(network.init(jax.random.key(0), z, maps), z, maps)
        return image, critic.apply(critic.init(jax.random.key(0), image), image)

    image, logits = jax.eval_shape(both, jnp.zeros((2, 4)), jnp.zeros((2, 7, 3)))
    assert image.shape == (2, side, side, 3) and logits.shape == (2,)
    assert network.num_ws == 2 * int(np.log2(side)) - 2


@pytest.mark.parametrize("size", [(8, 8), (2048, 2048), (24, 24), (16, 32)], ids=str)
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=r"data.image_size=\(\d+, \d+\).*16, 32, 64, 128, 256, 512, 1024"):
        make_generator(tiny_config(data__image_size=size))


def test_a_reduced_dtype_is_of_the_finest_blocks_alone(generator, images):
    assert block_dtypes(64, jnp.bfloat16, 2) == (jnp.float32,) * 3 + (jnp.bfloat16,) * 2
    assert block_dtypes(16, jnp.bfloat16, 4) == (jnp.bfloat16,) * 3
    assert set(block_dtypes(64, jnp.float64, 0)) == {jnp.float64}
    reduced = GENERATOR.clone(dtype=jnp.bfloat16, num_reduced=1)
    run = jax.jit(lambda variables: reduced.apply(variables, Z, MAPS, capture_intermediates=True))
    found, inner = run(generator)
    blocks = {name: values["__call__"][0][0].dtype for name, values in inner["intermediates"]["synthesis"].items() if name[0] == "b"}
    assert blocks == {"b4": jnp.float32, "b8": jnp.float32, "b16": jnp.bfloat16}
    assert found.dtype == jnp.float32
    assert 0 < differ(found, images) < 0.03 * np.abs(images).max()


def test_a_discriminator_in_a_reduced_dtype_judges_nearly_alike(discriminator):
    full, reduced = (jax.jit(network.apply)(discriminator, IMAGE) for network in (DISCRIMINATOR, DISCRIMINATOR.clone(dtype=jnp.bfloat16)))
    assert reduced.dtype == jnp.float32
    assert 0 < differ(full, reduced) < 0.05 * np.abs(full).max()


def gradient_of(network, variables, *inputs):
    return jax.jit(jax.value_and_grad(lambda variables: jnp.square(network.apply(variables, *inputs)).sum()))(variables)


@pytest.mark.slow
def test_recomputation_and_fusing_change_nothing(generator, discriminator, monkeypatch):
    monkeypatch.setattr("oasis_jax.layers.filtered.FINE", 0)  # so that the tiny levels are fused
    for network, variables, inputs in ((GENERATOR, generator, (Z, MAPS)), (DISCRIMINATOR, discriminator, (IMAGE,))):
        expected = gradient_of(network, variables, *inputs)
        for same in (network.clone(remat=True), network.clone(fused=False)):
            for a, b in zip(*map(jax.tree.leaves, (gradient_of(same, variables, *inputs), expected)), strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max() + 1e-9)


def test_noise_is_given_stored_or_none(generator, images):
    count = GENERATOR.noise_size
    assert count == 4 * 4 + 2 * 8 * 8 + 2 * 16 * 16
    stored = jnp.concatenate(
        [generator["noise"]["synthesis"][name].ravel() for name in ("b4_conv1", "b8_conv0", "b8_conv1", "b16_conv0", "b16_conv1")]
    )
    given = synthesise(GENERATOR, generator, jnp.broadcast_to(stored, (3, count)))
    np.testing.assert_allclose(given, images, atol=1e-5)
    none, zero = (synthesise(GENERATOR, generator, noise) for noise in (None, jnp.zeros((3, count))))
    np.testing.assert_allclose(none, zero, atol=1e-5)
    assert differ(none, images) > 0.1
    other = synthesise(GENERATOR, generator, jnp.broadcast_to(stored, (3, count)).at[1].set(0))
    changed = np.abs(other - given).max((1, 2, 3))
    assert changed[1] > 0.1 and max(changed[0], changed[2]) == 0


def test_the_mean_style_moves_in_training_alone(generator):
    before = generator["averages"]["mapping"]["w_avg"]
    ws, updated = GENERATOR.apply(generator, Z, train=True, method="styles", mutable=["averages"])
    np.testing.assert_array_equal(ws, np.broadcast_to(ws[:, :1], (3, GENERATOR.num_ws, 8)))
    expected = W_AVG_DECAY * before + (1 - W_AVG_DECAY) * ws[:, 0].mean(0)
    np.testing.assert_allclose(updated["averages"]["mapping"]["w_avg"], expected, rtol=1e-5)
    _, same = GENERATOR.apply(generator, Z, method="styles", mutable=["averages"])
    np.testing.assert_array_equal(same["averages"]["mapping"]["w_avg"], before)
    none = GENERATOR.apply(generator, ws, jnp.zeros((3, GENERATOR.num_ws)), method="truncate")
    np.testing.assert_array_equal(none, np.broadcast_to(before, ws.shape))


def test_parts_of_a_batch_and_sets_share_no_deviation():
    x = jax.random.normal(jax.random.key(0), (8, 4, 4, 3)) * jnp.arange(1, 9)[:, None, None, None]
    whole = minibatch_deviation(x, 2, groups=2)
    np.testing.assert_allclose(whole, jnp.concatenate([minibatch_deviation(part, 2) for part in jnp.split(x, 2)]), rtol=1e-6)
    assert differ(whole, minibatch_deviation(x, 2)) > 0.1
    interleaved = minibatch_deviation(x, 2, sets=2)
    for i in (0, 1):
        np.testing.assert_allclose(interleaved[i::2], minibatch_deviation(x[i::2], 2), rtol=1e-6)


@pytest.mark.parametrize("group, groups", [(3, 1), (2, 3), (2, 16)])
def test_batches_that_do_not_divide_are_refused(group, groups):
    with pytest.raises(ValueError, match=f"8 images cannot be divided into {groups} parts .* groups of {group}"):
        minibatch_deviation(jnp.zeros((8, 4, 4, 1)), group, groups)


def test_sets_of_images_are_judged_as_by_themselves(discriminator):
    judge = jax.jit(DISCRIMINATOR.apply, static_argnames="sets")
    both = judge(discriminator, jnp.stack([IMAGE, -IMAGE], 1).reshape(-1, SIDE, SIDE, 3), sets=2)
    for i, image in enumerate((IMAGE, -IMAGE)):
        np.testing.assert_allclose(both[i::2], judge(discriminator, image), rtol=1e-4, atol=1e-5)


def test_without_spatial_awareness_there_are_no_layers_for_it(generator):
    plain = GENERATOR.clone(sel_hidden=0)
    variables = jax.eval_shape(plain.init, jax.random.key(0), Z)
    names = {name for name in published.generator_to_state_dict(jax.tree.map(lambda leaf: np.zeros(leaf.shape), variables))}
    assert not [name for name in names if "sel" in name or "hm_conv" in name]
    assert names < set(published.generator_to_state_dict(generator))


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_reading_a_published_state_dict_undoes_writing(kind, request):
    variables = jax.tree.map(np.asarray, request.getfixturevalue(kind))
    read, write = (getattr(published, f"{kind}_{way}_state_dict") for way in ("from", "to"))
    state_dict = write(variables)
    state_dict["b8.resample_filter"] = np.ones((4, 4), np.float32)
    jax.tree.map(np.testing.assert_array_equal, read(state_dict, variables), variables)
    del state_dict[name := next(iter(state_dict))]
    with pytest.raises(ValueError, match=f"missing {name}"):
        read(state_dict, variables)
