"""Laws of dividing a batch over devices."""
import dataclasses
import itertools

import numpy as np
import pytest

from oasis_jax.axes import splits_rows
from oasis_jax.parallel.mesh import Split, choose_split, describe_split, make_mesh, mesh_of_split, own_positions, work


@pytest.mark.parametrize("devices, expected", [(1, (1, 1)), (4, (4, 1)), (8, (4, 2)), (16, (4, 4)), (32, (4, 8))])
def test_the_published_recipe_of_cityscapes_uses_every_chip(devices, expected):
    split = choose_split(20, 256, devices)
    assert (split.data, split.space) == expected and split.devices == devices


@pytest.mark.parametrize("batch_size, height, devices", [*itertools.product((1, 2, 7, 20, 32), (16, 96, 256), (1, 2, 3, 6, 8, 16, 32))])
def test_a_split_always_exists_and_no_other_is_faster(batch_size, height, devices):
    split = choose_split(batch_size, height, devices)
    assert batch_size % split.data == 0 and split.devices <= devices
    assert split.space == 1 or splits_rows(height, split.space)
    for data, space in itertools.product(range(1, devices + 1), repeat=2):
        if data * space <= devices and batch_size % data == 0 and (space == 1 or splits_rows(height, space)):
            assert work(split, batch_size, height) <= work(Split(data, space), batch_size, height)


def test_rows_are_split_only_where_the_batch_alone_does_not_do():
    assert choose_split(32, 256, 8) == Split(8, 1)
    assert choose_split(8, 256, 8, space=2) == Split(4, 2)


@pytest.mark.parametrize("processes, devices", [(2, 8), (4, 16), (8, 32), (3, 6)])
def test_every_process_has_equally_many_devices_in_use(processes, devices):
    for batch_size in (24, 48):
        assert choose_split(batch_size, 256, devices, processes=processes).devices % processes == 0


def test_impossible_requests_name_the_possible_ones():
    with pytest.raises(ValueError, match=r"mesh\.space=3 is impossible .* 256 rows on 8 devices; possible: 1, 2, 4, 8"):
        choose_split(20, 256, 8, space=3)
    with pytest.raises(ValueError, match=r"train\.batch_size=20 .* over 3 devices of 3 processes: choose a multiple of 3, such as 21"):
        choose_split(20, 256, 3, processes=3)
    with pytest.raises(ValueError, match=r"train\.batch_size=0"):
        choose_split(0, 256, 1)
    with pytest.raises(ValueError, match="in 2 parts .train.accumulate., does not divide over 3 devices of 3 processes: .* 6, such as 24"):
        choose_split(20, 256, 3, processes=3, accumulate=2)
    with pytest.raises(ValueError, match="train.accumulate=3 does not divide train.batch_size=20"):
        choose_split(20, 256, 1, accumulate=3)
    with pytest.raises(ValueError, match="train.batch_size=6 .* over 4 devices of 4 processes: choose a multiple of 4, such as 8"):
        choose_split(6, 256, 4, processes=4, can_split_rows=False)


def test_what_is_divided_is_a_part_of_an_accumulated_batch():
    assert choose_split(20, 256, 4, accumulate=2, can_split_rows=False) == Split(2, 1)
    assert choose_split(20, 256, 4, accumulate=2) == Split(2, 2)


@dataclasses.dataclass(frozen=True)
class Chip:
    """A chip of a slice of 4x4 with hosts of 2x2 chips, as JAX describes one."""

    id: int
    coords: tuple
    process_index: int
    slice_index: int = 0
    core_on_chip: int = 0
    platform: str = "tpu"
    device_kind: str = "TPU v5 lite"


def chips(slices):
    """Chips in the order of JAX: host by host."""
    found = []
    for piece, y, x, dy, dx in itertools.product(range(slices), (0, 2), (0, 2), (0, 1), (0, 1)):
        found.append(Chip(len(found), (x + dx, y + dy, 0), len(found) // 4, piece))
    return found


@pytest.mark.parametrize("slices, batch_size", [*itertools.product((1, 2), (1, 4, 6, 8, 20, 32)), (3, 24)])
def test_every_split_of_the_chips_of_slices_makes_a_mesh(slices, batch_size):
    devices = chips(slices)
    split = choose_split(batch_size, 256, len(devices), processes=4 * slices)
    mesh = mesh_of_split(split, devices)
    assert mesh.devices.shape == (split.data, split.space)
    of_hosts = np.bincount([device.process_index for device in mesh.devices.flat], minlength=4 * slices)
    assert len(set(mesh.devices.flat)) == split.devices and (of_hosts == split.devices // (4 * slices)).all()
    if split.devices == len(devices) and split.data % slices == 0:  # rows are exchanged within a slice
        assert all(len({device.slice_index for device in part}) == 1 for part in mesh.devices)


def test_idle_devices_are_named_and_equally_many_of_each_process():
    devices = chips(1)
    assert describe_split(Split(4, 2), 4, devices).count("Chip(") == 8
    assert {device.process_index for device in mesh_of_split(Split(4, 2), devices).devices.flat} == set(range(4))
    assert "idle" not in describe_split(Split(4, 4), 4, devices)


@pytest.mark.parametrize("shape", [(4, 4), (2, 8), (16, 1), (1, 16)])
def test_processes_read_every_example_and_those_that_share_images_the_same(shape, monkeypatch):
    mesh = make_mesh(chips(1), shape[1], chips(1))
    read = {}
    for process in range(4):
        monkeypatch.setattr("jax.process_index", lambda process=process: process)
        read[process] = own_positions(mesh, 32)
    assert set(np.concatenate(list(read.values()))) == set(range(32))
    for part, row in enumerate(mesh.devices):
        of_part = set(range(part * 32 // shape[0], (part + 1) * 32 // shape[0]))
        assert all(of_part <= set(read[device.process_index]) for device in row)
