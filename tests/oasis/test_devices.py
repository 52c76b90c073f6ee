"""Laws of OASIS's step on several devices: the numbers do not depend on how many there are, or on how batch and rows are divided."""
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.axes import LEAST_ROWS
from oasis_jax.heatmaps import of_seed
from oasis_jax.oasis.alignment import Alignment
from oasis_jax.oasis.capacities import Capacity
from oasis_jax.oasis.discriminator import Discriminator
from oasis_jax.oasis.generator import Generator
from oasis_jax.oasis.train_step import Hyperparameters, TrainStep
from oasis_jax.updates import adam_without_momentum
from tests.devices import compare, in_own_process

N, SIZE, FEW_ROWS, BATCH = 4, (64, 16), (16, 16), 8
CASES = {
    "oasis": {"meshes": [(8, 1), (4, 2), (1, 8)]},
    "in parts": {"meshes": [(4, 2)], "accumulate": 2},
    "divided state": {"meshes": [(2, 4)], "shard_state": True},
    "on regions": {"meshes": [(8, 1), (4, 2)], "capacities": (Capacity(*[4000] * 4), Capacity(*[2] * 4))},
    "spatially aware": {"meshes": [(2, 4)], "aware": True},
    "short training": {"meshes": [(2, 2)], "size": FEW_ROWS, "short": True, "ema_warmup": True, "max_weight": 3.0},
}


def make_step(aware=False, capacities=(), short=False, **hyper):
    """A step of four blocks. At SIZE, G's blocks have 8, 16, 32 and 64 rows, and D's coarsest level has 4; at FEW_ROWS, a quarter of that.

    `short` turns on the options for short training.
    """
    return TrainStep(
        generator=Generator(
            num_classes=N,
            num_blocks=4,
            channels=2,
            spade_hidden=3,
            z_dim=2,
            dtype=jnp.float64,
            capacities=capacities,
            sel_blocks=("l1", "cat", "l3", "none") if aware else (),
            grain_blocks=3 * short,
            affine_blocks=int(short),
        ),
        discriminator=Discriminator(num_classes=N, num_blocks=4, channels=(3, 4, 4, 5), last=2, dtype=jnp.float64),
        # The gradient of a bias that a normalisation removes is a rounding error. Adam scales it up; low rates keep the steps small enough.
        optimizer_g=adam_without_momentum(1e-4),
        optimizer_d=adam_without_momentum(2e-4),
        hyper=Hyperparameters(ema_decay=0.9, **hyper),
        alignment=Alignment(weight=1.0, warmup=3, every=2) if aware else None,
    )


def batch_of(seed, aware, size):
    rng = np.random.default_rng(seed)
    label_map = rng.integers(0, N, (BATCH, size[0] // 4, size[1] // 4), np.uint8).repeat(4, 1).repeat(4, 2)
    heatmaps = [[of_seed(1000 * seed + 2 * i + update) for update in range(2)] for i in range(BATCH)]
    batch = {"image": rng.integers(0, 256, (BATCH, *size, 3), np.uint8), "label_map": label_map}
    return batch | ({"heatmaps": np.asarray(heatmaps, np.float32)} if aware else {})


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_five_steps_do_not_depend_on_the_mesh(case):
    every_loss_counts, found = in_own_process(__file__, case)
    assert every_loss_counts and [tuple(one["mesh"]) for one in found] == CASES[case]["meshes"]
    for one in found:
        assert one["losses"] <= 1e-9 and one["state"] <= 1e-9 and one["gradients"] <= 1e-12, one
        # Rows are gathered only where they are too few to split. What is not split is computed by several devices, which adds work.
        assert all(rows <= LEAST_ROWS for rows in one["gathered rows"]), one
        assert one["work"] < 1.45 / np.prod(one["mesh"]), one


if __name__ == "__main__":
    fields = dict(CASES[sys.argv[1]])
    meshes, shard_state, size = fields.pop("meshes"), fields.pop("shard_state", False), fields.pop("size", SIZE)
    step = make_step(**fields)
    initial = jax.device_get(jax.jit(lambda: step.init(size))())
    batches = [batch_of(seed, fields.get("aware", False), size) for seed in range(5)]
    print(json.dumps(compare(step, initial, batches, meshes, shard_state)))
