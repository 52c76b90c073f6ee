"""Laws of the step on several devices: its results do not depend on their number, and the devices share the work."""
import dataclasses
import json
import sys

import jax
import pytest

from oasis_jax.eqgan.alignment import Alignment
from oasis_jax.updates import adam_without_momentum
from tests.devices import compare, in_own_process
from tests.eqgan.tiny import SIDE, batch_of, tiny_step

BATCH = 16
WIDTHS = {"channel_base": 256, "channel_max": 16}  # at which nearly all operations belong to convolutions
# Number of groups (statistics, alignment), hidden channels of the SELs (0: no SELs or alignment), meshes (parts of the batch, of the rows).
CASES = {
    "full": (1, 4, [(4, 1)]),
    "full in two groups": (2, 4, [(8, 1)]),
    "baseline": (1, 0, [(4, 1)]),
}


def step_of(groups, hidden):
    """Returns a TrainStep with both regularisations and style mixing."""
    step = tiny_step(r1_every=2, path_length=2.0, path_every=2, style_mixing=0.5)
    # Where a gradient is nothing but rounding error, Adam still takes full steps; low learning rates keep them below the tolerance.
    rates = {name: adam_without_momentum(1e-5, 0.99, 1e-6) for name in ("optimizer_g", "optimizer_d")}
    generator, discriminator = step.generator.clone(sel_hidden=hidden, **WIDTHS), step.discriminator.clone(groups=groups, **WIDTHS)
    alignment = Alignment(groups=groups) if hidden else None
    return dataclasses.replace(step, generator=generator, discriminator=discriminator, alignment=alignment, **rates)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_devices_share_the_work_and_change_nothing(case):
    every_loss_counts, found = in_own_process(__file__, case)
    assert every_loss_counts and [tuple(one["mesh"]) for one in found] == CASES[case][-1]
    for one in found:
        assert one["losses"] <= 1e-9 and one["state"] <= 1e-9 and one["gradients"] <= 1e-12, one
        assert not one["gathered rows"], one  # no device gathers examples of others
        # Adam and the averaged generator are computed in full on every device, hence 1.2.
        assert one["work"] < 1.2 / one["mesh"][0], one


if __name__ == "__main__":
    groups, hidden, meshes = CASES[sys.argv[1]]
    step = step_of(groups, hidden)
    initial = jax.device_get(jax.jit(lambda: step.init((SIDE, SIDE)))())
    print(json.dumps(compare(step, initial, [batch_of(BATCH, seed) for seed in range(3)], meshes)))
