"""Laws of dividing a batch over devices."""
import itertools

import pytest

from oasis_jax.axes import splits_rows
from oasis_jax.parallel.mesh import Split, choose_split, work


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
