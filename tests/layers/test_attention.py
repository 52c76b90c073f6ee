"""Laws of the alignment loss in parts of a batch."""
import jax
import numpy as np
import pytest

from oasis_jax.layers.attention import alignment_loss

pytestmark = pytest.mark.usefixtures("float64")
SCALE = np.array([0.1, 0.2, 1, 3])[:, None, None]  # in the first half of the batch all differences are small


def arrays():
    rng = np.random.default_rng(0)
    return SCALE * rng.random((4, 5, 6)), np.zeros((4, 5, 6)), rng.random((4, 5, 6)) < 0.7


@pytest.mark.parametrize("masked", [False, True], ids=["all pixels", "masked"])
def test_a_loss_in_parts_is_the_mean_of_the_losses_of_the_parts(masked):
    attention, target, mask = arrays()
    mask = mask if masked else None
    found, gradient = jax.value_and_grad(lambda attention: alignment_loss(attention, target, mask=mask, groups=2))(attention)
    parts = [slice(0, 2), slice(2, 4)]
    losses = [
        jax.value_and_grad(lambda each, part=part: alignment_loss(each, target[part], mask=None if mask is None else mask[part]))(
            attention[part]
        )
        for part in parts
    ]
    np.testing.assert_allclose(found, np.mean([loss for loss, _ in losses]), rtol=1e-12)
    np.testing.assert_allclose(gradient, np.concatenate([each / 2 for _, each in losses]), rtol=1e-12)
    whole = alignment_loss(attention, target, mask=mask)
    assert abs(found - whole) > 0.1  # the part without large differences takes the mean of all its differences


def test_parts_must_divide_the_batch():
    attention, target, _ = arrays()
    with pytest.raises(ValueError, match="reshape"):
        alignment_loss(attention, target, groups=3)
