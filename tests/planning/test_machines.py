"""Laws of the names of machines, and of the number of steps of a recipe, without its data."""
import pytest

from configs import ade20k, cityscapes, custom, eqgan_ffhq, scenes
from oasis_jax.planning.machines import CHIPS, GIB, find_machine
from oasis_jax.planning.recipe import num_steps


@pytest.mark.parametrize(
    "topology, slices, chips, hosts",
    [
        ("v6e:2x4", 1, 8, 1),  # one host
        ("v5e:4x4", 1, 16, 4),
        ("v5e:4x4", 2, 32, 8),
        ("2xv5e:4x4", 1, 32, 8),
        ("v4:2x2x4", 1, 16, 4),
        ("v5e:1x1", 1, 1, 1),
        ("h100:8", 1, 8, 1),
    ],
)
def test_a_topology_names_its_chips(topology, slices, chips, hosts):
    machine = find_machine(topology, slices)
    assert (machine.chips, machine.hosts) == (chips, hosts)
    assert find_machine(str(machine)) == machine


@pytest.mark.parametrize("topology", ["v5x:4x4", "v5e", "v5e:", "4x4", "v5e:4x", "v5e-16", "0xv5e:4x4", "v5e:0x4", ""])
def test_an_unknown_machine_is_an_error_that_shows_the_form(topology):
    with pytest.raises(ValueError, match=f"--topology={topology}"):
        find_machine(topology)


def test_an_unknown_chip_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=", ".join(CHIPS)):
        find_machine("a100:8")


def test_two_different_numbers_of_slices_are_an_error():
    assert find_machine("2xv5e:4x4", 2) == find_machine("2xv5e:4x4")
    with pytest.raises(ValueError, match="two numbers of slices"):
        find_machine("2xv5e:4x4", 3)


def test_chips_have_sensible_numbers():
    for chip in CHIPS.values():
        assert 16 * GIB <= chip.memory <= 200 * GIB and 1e14 < chip.flops < 1e16 and 5e11 < chip.bandwidth < 1e13


def test_steps_follow_from_the_config_where_it_says_enough():
    assert num_steps(cityscapes.get_config()) == 29_750
    assert num_steps(ade20k.get_config()) == 126_312
    assert num_steps(scenes.get_config()) == 2400
    assert num_steps(eqgan_ffhq.get_config()) == 390_625
    assert num_steps(custom.get_config()) == 0
    assert num_steps(custom.get_config(), given=320) == 2000
    part = ade20k.get_config()
    part.data.scene_categories = ("street",)
    assert num_steps(part) == 0
