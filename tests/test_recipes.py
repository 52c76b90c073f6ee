"""Laws of recipes: they are stored and read back, and change only the heatmaps that they name."""
import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.heatmaps import maps_of, of_seed, position
from oasis_jax.noise import Regions, RegionSeed, check_finite, class_noise, noise_vector, slerp
from oasis_jax.recipes import Recipe, count_from, unique_names

CLASS_NAMES = ("unlabelled", "road", "car")
CHANGES = [
    {"seed": 2**32 - 1},
    {"class_seeds": {2: 5, 1: 7}},
    {"end": (3, {1: 4}), "t": 1 / 3},
    {"centres": ((0.1, -0.2),)},
    {"centres": tuple((0.1 * i, -0.3) for i in range(7))},
    {"style_seeds": {0: 4, 11: 5}},
    {"truncation": 0.7, "truncated_rows": 0},
    {"base_heatmaps": tuple(map(tuple, of_seed(5).tolist()))},
    {"shifts": {0: (0.1, 1 / 3), 6: (-1.0, 0.0)}},
    {"width_factors": {3: 2.0}},
    {"regions": Regions(np.array([[0, 1, 2], [2, 2, 0]], np.uint8), (7, (8, 9, 1 / 3)))},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: "-".join(change))
def test_a_stored_recipe_is_read_again(change):
    recipe = Recipe(**({"seed": 1} | change))
    record = recipe.as_json(CLASS_NAMES)
    assert Recipe.from_json(json.loads(json.dumps(record)) | {"file": "a_0.png"}, CLASS_NAMES) == recipe
    assert record.keys() - {"seed", "class_seeds", "interpolation"} == change.keys() - {"seed", "class_seeds", "end", "t"}


@pytest.mark.parametrize(
    ("names", "unique"),
    [
        (CLASS_NAMES, CLASS_NAMES),
        ((), ()),
        (("void", "road", "void", "void"), ("void", "road", "void (2)", "void (3)")),
        (("void", "void", "void (2)"), ("void", "void (3)", "void (2)")),
        (("void (2)", "void", "void", "void (2)"), ("void (2)", "void", "void (3)", "void (2) (2)")),
    ],
)
def test_the_first_class_of_each_name_keeps_it_and_the_others_get_numbers(names, unique):
    assert unique_names(names) == unique


def test_every_field_is_stored():
    assert {name for change in CHANGES for name in change} == {field.name for field in dataclasses.fields(Recipe)}


def test_a_recipe_with_given_heatmaps_has_these_whatever_it_changed_before():
    recipe = Recipe(1, end=(2, {}), t=0.5, centres=((0, 0),), shifts={0: (1, 1)}, width_factors={1: 3})
    np.testing.assert_array_equal(recipe.with_heatmaps(of_seed(9)).heatmaps(), of_seed(9))
    np.testing.assert_array_equal(recipe.with_heatmaps(recipe.heatmaps()).heatmaps(), recipe.heatmaps())


def test_a_shift_of_the_coarse_level_leaves_the_others_where_they_are():
    start, moved = of_seed(1), Recipe(1, shifts={number: (0.25, -0.5) for number in maps_of("l1")}).heatmaps()
    np.testing.assert_array_equal(moved[1:], start[1:])
    np.testing.assert_allclose(moved[0] - start[0], (0.25, -0.5, 0), atol=1e-6)


def test_centres_come_before_shifts_and_widths_are_multiplied():
    found = Recipe(1, centres=((0.5, 0.5),), shifts={0: (0.25, 0)}, width_factors={6: 2}).heatmaps()
    np.testing.assert_allclose(found[0, :2], (0.75, 0.5), atol=1e-6)
    np.testing.assert_allclose(found[1:, :2] - 0.5, of_seed(1)[1:, :2] - of_seed(1)[0, :2], atol=1e-6)
    np.testing.assert_allclose(found[:, 2], of_seed(1)[:, 2] * [1, 1, 1, 1, 1, 1, 2])


def test_levels_are_names_of_maps():
    assert [maps_of(name) for name in ("l1", "l2", "l3", "6")] == [[0], [1, 2], [3, 4, 5, 6], [6]]
    assert maps_of("all") == list(range(7))
    np.testing.assert_array_equal(position(of_seed(0), "all"), of_seed(0)[0, :2])
    np.testing.assert_allclose(position(of_seed(0), "l2"), of_seed(0)[1:3, :2].mean(0))
    for name in ("l4", "7", "", "-1"):
        with pytest.raises(ValueError, match="choose all, l1, l2, l3 or a map from 0 to 6"):
            maps_of(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shifts": {7: (0, 0)}}, "no heatmap 7: they are 0 to 6"),
        ({"shifts": {0: (float("inf"), 0)}}, "give a finite number"),
        ({"width_factors": {2: 0.0}}, "should be positive"),
        ({"base_heatmaps": ((0, 0, 1),)}, r"should be \(1, 7, 3\)"),
    ],
)
def test_changes_of_heatmaps_that_do_not_fit_are_reported(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(0, **change).heatmaps()


@pytest.mark.parametrize("change", [{"truncation": float("inf")}, {"truncated_rows": -1}, {"style_seeds": {0: -1}}])
def test_numbers_out_of_range_are_reported(change):
    with pytest.raises(ValueError, match="is not a number from|is not an integer"):
        Recipe(0, **change)


def test_a_region_is_interpolated_between_two_seeds():
    vectors = Regions(np.ones((1, 1), np.uint8), (4, (5, 6, 0.25), (5, 6, 0.0))).vectors(8)
    np.testing.assert_array_equal(vectors, [noise_vector(4, 8), slerp(noise_vector(5, 8), noise_vector(6, 8), 0.25), noise_vector(5, 8)])


@pytest.mark.parametrize(
    ("ids", "seeds", "message"),
    [
        ([[0, 2]], (1,), "holds region 2, but there are seeds of 1"),
        ([0, 1], (1,), r"is uint8 \(2,\), but should be uint8 \(H, W\)"),
        ([[1]], (-1,), "seed -1 is not an integer"),
        ([[1]], (RegionSeed(1, 2, float("nan")),), "t is nan, but should be a number from 0"),
        ([[1]], (RegionSeed(1, True),), "seed True is not an integer"),
    ],
)
def test_regions_that_do_not_fit_are_reported(ids, seeds, message):
    with pytest.raises(ValueError, match=message):
        Regions(np.array(ids, np.uint8), seeds)


def test_a_position_beyond_the_two_noises_is_reported():
    with pytest.raises(ValueError, match="t is 1.5, but should be a number from 0, the first noise, to 1"):
        Recipe(0, end=(1, {}), t=1.5)


@pytest.mark.parametrize("wrong", [[1, 2], (7, 5), 3, None])
def test_what_is_no_dict_of_seeds_is_a_type_error_that_names_it(wrong):
    with pytest.raises(TypeError, match="overrides is .*, but should be a dict, number: seed"):
        class_noise(0, wrong, 4, 8)
    for name in ("class_seeds", "style_seeds"):
        with pytest.raises(TypeError, match=f"{name} is .*, but should be a dict"):
            Recipe(0, **{name: wrong})


@pytest.mark.parametrize("count, kind", [(4.0, TypeError), ("4", TypeError), (True, TypeError), (0, ValueError), (-1, ValueError)])
def test_a_number_of_classes_that_is_none_is_named(count, kind):
    with pytest.raises(kind, match=f"num_classes is {count!r}, but should be"):
        class_noise(0, {}, count, 8)


@pytest.mark.parametrize("seed", [True, False, 1.5, None])
def test_a_seed_to_count_from_is_an_integer(seed):
    with pytest.raises(ValueError, match=f"seed {seed!r} is neither an integer"):
        count_from(seed, 2)


@pytest.mark.parametrize("values, told", [(np.nan, "nan"), ([[0.0, np.inf]], "inf"), ("text", "<U4"), (None, "object")])
def test_noise_is_of_finite_numbers(values, told):
    with pytest.raises(ValueError, match=f"noise holds {told}, but should hold finite numbers alone"):
        check_finite("noise", values)


def test_noise_of_any_precision_is_numbers():
    for dtype in (jnp.bfloat16, np.float16, np.float64, np.int8):
        check_finite("noise", np.ones(3, dtype))
    with pytest.raises(ValueError, match="noise holds nan"):
        check_finite("noise", np.full(3, np.nan, jnp.bfloat16))
