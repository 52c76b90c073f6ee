"""Laws of the step on several devices: its numbers do not depend on how many there are, and none does the work of another."""
import dataclasses
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from oasis_jax.eqgan.alignment import Alignment
from oasis_jax.parallel.mesh import make_mesh, put_batch, replicated
from oasis_jax.training.step import compile_step
from oasis_jax.updates import adam_without_momentum
from tests.eqgan.tiny import SIDE, batch_of, tiny_step

BATCH = 16
WIDTHS = {"channel_base": 256, "channel_max": 16}  # at which nearly all operations are those of convolutions
# Groups of statistics and alignment, hidden channels of the SELs, alignment, and numbers of devices.
CASES = {
    "full": (1, 4, True, (1, 4)),
    "full in two groups": (2, 4, True, (1, 2, 8)),
    "sel": (1, 4, False, (1, 4)),
    "baseline": (1, 0, False, (1, 4)),
}


def step_of(groups, hidden, aligned):
    """Both regularisations and mixed styles."""
    step = tiny_step(r1_every=2, path_length=2.0, path_every=2, style_mixing=0.5)
    # Adam makes whole steps out of rounding errors where the gradient is nothing else; low rates keep them below the tolerance.
    rates = {name: adam_without_momentum(1e-5, 0.99, 1e-6) for name in ("optimizer_g", "optimizer_d")}
    generator, discriminator = step.generator.clone(sel_hidden=hidden, **WIDTHS), step.discriminator.clone(groups=groups, **WIDTHS)
    alignment = Alignment(groups=groups) if aligned else None
    return dataclasses.replace(step, generator=generator, discriminator=discriminator, alignment=alignment, **rates)


def three_steps(step, state, devices):
    """Operations of a step on each of so many devices, and the losses and the state after three steps."""
    mesh, losses = make_mesh(jax.devices()[:devices]), []
    state = jax.device_put(state, replicated(mesh))
    batches = [put_batch(batch_of(BATCH, seed), mesh) for seed in range(3)]
    compiled = compile_step(step, mesh, state, batches[0])
    for batch in batches:
        state, metrics = compiled(state, batch)
        losses.append([float(metrics[name]) for name in sorted(metrics)])
    return compiled.cost_analysis()["flops"], np.array(losses), np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state)])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_devices_share_the_work_and_change_nothing(case):
    """In a process of its own: other tests see one device, as a user of a CPU does."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, __file__, case], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["every loss counts"] and [several["devices"] for several in found["several"]] == list(CASES[case][-1][1:])
    for several in found["several"]:
        assert several["losses"] <= 1e-9 and several["state"] <= 1e-9, several
        # What each device does for itself is Adam and the average.
        assert several["work"] < 1.2 / several["devices"], several


def compare(case):
    """What the steps on several devices differ in from those on one, and their share of its operations, for JSON."""
    groups, hidden, aligned, counts = CASES[case]
    step = step_of(groups, hidden, aligned)
    initial = jax.device_get(jax.jit(lambda: step.init((SIDE, SIDE)))())
    several = []
    for devices in counts:
        found = three_steps(step, initial, devices)
        if devices == 1:
            alone = found
            continue
        losses, state = (float(np.abs(one - other).max()) for one, other in zip(alone[1:], found[1:], strict=True))
        several.append({"devices": devices, "work": found[0] / alone[0], "losses": losses, "state": state})
    return {"every loss counts": bool(np.all(np.any(alone[1] != 0, axis=0))), "several": several}


if __name__ == "__main__":
    print(json.dumps(compare(sys.argv[1])))
