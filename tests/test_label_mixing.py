"""Laws of label maps that are drawn from given ones."""
import numpy as np
import pytest

from oasis_jax.label_mixing import Mixing, region_of_class

NONE, ROAD, CAR, SIGN = range(4)


def sources():
    """Twelve label maps 16x32: all hold road, four also cars, one also a sign; don't-care borders are 0, 1 or 2 columns wide."""
    maps = np.full((12, 16, 32), ROAD, np.uint8)
    for i, ids in enumerate(maps):
        ids[:, : i % 3] = NONE
        if i % 3 == 0:
            ids[2:6, i + 3 : i + 9] = ids[10:12, 4:7] = CAR
    maps[5, 8:10, 20:22] = SIGN
    return maps


def mixing(maps, **how):
    pixels = np.stack([np.bincount(ids.ravel(), minlength=4) for ids in maps])
    pixels[:, NONE] = 0
    return Mixing(lambda i: maps[i], pixels, **how)


@pytest.mark.parametrize("how", [{}, {"mirror": True}, {"mirror": True, "classes": (CAR, SIGN), "favour_rare": True}])
def test_what_is_drawn_is_a_function_of_the_seed_and_leaves_the_sources_alone(how):
    maps = sources()
    kept = maps.copy()
    first, again = ([mixing(maps, **how).draw(seed) for seed in order] for order in (range(20), reversed(range(20))))
    for one, other in zip(first, reversed(again), strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        assert (one.source, one.mirrored, one.pasted) == (other.source, other.mirrored, other.pasted)
    np.testing.assert_array_equal(maps, kept)


def test_without_regions_a_drawn_label_map_is_a_source_or_its_mirror_image():
    maps, mirrored = sources(), 0
    for seed in range(40):
        drawn = mixing(maps, mirror=True).draw(seed)
        np.testing.assert_array_equal(drawn.labels, maps[drawn.source][:, ::-1] if drawn.mirrored else maps[drawn.source])
        mirrored += drawn.mirrored
    assert 8 < mirrored < 32
    assert not any(mixing(maps).draw(seed).mirrored for seed in range(40))


def test_consecutive_seeds_take_every_source_once():
    rounds = [[mixing(sources()).draw(seed).source for seed in range(start, start + 12)] for start in (0, 12)]
    assert sorted(rounds[0]) == sorted(rounds[1]) == list(range(12)) and rounds[0] != rounds[1]


@pytest.mark.parametrize("favour_rare", [False, True])
def test_mixing_only_inserts_regions_of_the_named_classes(favour_rare):
    maps, changed = sources(), 0
    for seed in range(40):
        drawn = mixing(maps, mirror=True, classes=(CAR, SIGN), favour_rare=favour_rare).draw(seed)
        expected = maps[drawn.source][:, ::-1] if drawn.mirrored else maps[drawn.source]
        others_change_it = drawn.source % 3 and drawn.source != 5  # it has no car where the others have them, and no sign
        assert bool(others_change_it) <= len(drawn.pasted) <= 3 and {each.class_id for each in drawn.pasted} <= {CAR, SIGN}
        donors = [maps[each.source][:, ::-1] if each.mirrored else maps[each.source] for each in drawn.pasted]
        possible = [donor == each.class_id for donor, each in zip(donors, drawn.pasted, strict=True)]
        differs = drawn.labels != expected
        assert not (differs & ~np.any(possible, axis=0)).any()
        assert set(np.unique(drawn.labels[differs])) <= {each.class_id for each in drawn.pasted}
        assert all((donor == each.class_id).any() for donor, each in zip(donors, drawn.pasted, strict=True))
        assert differs.any() or not drawn.pasted
        changed += differs.any()
    assert changed > 20


@pytest.mark.parametrize("favour_rare", [False, True])
def test_the_only_source_of_a_class_is_not_said_to_be_pasted_onto_itself(favour_rare):
    maps = np.full((3, 6, 8), ROAD)
    maps[1, 2:4, 2:4] = CAR
    drawn = [mixing(maps, classes=(CAR,), favour_rare=favour_rare).draw(seed) for seed in range(30)]
    assert all(bool(each.pasted) == (each.source != 1) for each in drawn)
    assert all((each.labels == maps[1]).all() for each in drawn)
    with pytest.raises(ValueError, match="there is only one: give more, or mirror it"):
        mixing(maps[1:2], classes=(CAR,))
    assert any(mixing(maps[1:2], mirror=True, classes=(CAR,)).draw(seed).pasted for seed in range(10))


def test_a_region_is_whole_and_one():
    mask = np.zeros((8, 8), bool)
    mask[1:3, 1:3] = mask[3, 3] = True  # touches at a corner
    mask[6, 6] = True
    found = {region_of_class(mask, np.random.default_rng(seed)).sum() for seed in range(30)}
    assert found == {5, 1}


@pytest.mark.parametrize("classes", [(), (ROAD, CAR, SIGN)])
def test_favouring_raises_the_share_of_a_rare_class(classes):
    maps = sources()

    def holding(favour_rare):
        return sum((mixing(maps, classes=classes, favour_rare=favour_rare).draw(seed).labels == SIGN).any() for seed in range(120))

    assert holding(False) < 40 and holding(True) > 1.5 * holding(False)


def test_favoured_label_maps_are_drawn_by_inverse_frequencies():
    maps = sources()[:2].repeat(2, axis=0)
    maps[0, 0, 9:12] = maps[1, 0, 9] = SIGN  # three pixels and one
    drawn = [mixing(maps, favour_rare=True).draw(seed).source for seed in range(600)]
    pixels = np.stack([np.bincount(ids.ravel(), minlength=4) for ids in maps])[:, 1:]
    expected = (pixels / pixels.sum(0)).mean(1)
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 600, expected, atol=0.06)


def test_dontcare_is_neither_favoured_nor_needed():
    maps = sources()
    maps[7] = NONE
    assert all(mixing(maps, favour_rare=True).draw(seed).source != 7 for seed in range(60))
    with pytest.raises(ValueError, match="don't-care throughout"):
        mixing(np.zeros((2, 4, 4), np.uint8), favour_rare=True)
    with pytest.raises(ValueError, match="no label map holds class 3"):
        mixing(maps[:3], classes=(SIGN,))
