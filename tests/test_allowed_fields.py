"""Every field of a config is checked before data are read: a value that makes no sense is refused, in one report of all such fields."""
import itertools
import re

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs import default, eqgan
from oasis_jax.allowed import check_fields, wrong_fields
from oasis_jax.config_flag import flat
from oasis_jax.family import find_family, rules_of
from oasis_jax.fields import ALLOWED
from oasis_jax.training.setup import check_config, set_up
from tests import toy_family
from tests.odd_folders import quick
from tests.training.test_loop import tiny_config

CONFIGS = {"oasis": default.get_config, "eqgan": eqgan.get_config}
NAN, INF, HUGE = float("nan"), float("inf"), 10**12
ABSURD = (-1, 0, -0.5, 0.0, NAN, INF, -INF, HUGE, 1e40, "", "absurd", (), (-1, -1), (0, 0), (NAN,), None, True, [], {"a": 1}, b"x")

# The values of ABSURD that a field may have after all: 0 switches something off or stands for a default; a text may name anything, and is
# looked up before data are read; a tuple of names may be empty.
OFF = (0, 0.0)
NAMES = ("", "absurd")
MEANINGFUL = {
    "oasis": {
        "seed": (0,),
        "data.layout": ("absurd",),
        "data.num_classes": (0,),
        "data.dontcare_id": (-1, 0),
        "data.class_names": ((), []),
        "data.scene_categories": ((), []),
        "data.palette_colours": ((), []),
        "data.label_offset": (-1, 0),
        "data.resize_size": ((), []),
        "data.workers": (0,),
        "train.num_epochs": (0,),
        "train.num_steps": (0,),
        "train.max_minutes": (*OFF, HUGE),
        "mesh.space": (0,),
        "eval.max_examples": (0,),
        "eval.score": ("absurd",),
        **{f"data.tfds_{name}": ("absurd",) for name in ("train_split", "val_split", "image", "label")},
        **{f"data.{name}": NAMES for name in ("root", "val_root", "label_map", "palette", "photo_suffix", "label_suffix")},
        **{f"data.{split}_{kind}": NAMES for split in ("train", "val") for kind in ("photos", "labels")},
        **{f"eval.{name}": NAMES for name in ("protocol", "inception_weights", "vgg16_weights", "segmenter_weights")},
        **{name: (0,) for name in ("log.every_steps", "log.images_every_steps", "eval.every_steps", "checkpoint.every_steps")},
        **{name: (True,) for name in ("data.flip", "data.cache", "mesh.shard_state")},
        "model.z_dim": (0,),
        "model.region_share": OFF,
        "model.sel_blocks": ("absurd",),
        "model.sel_strength": (*OFF, HUGE),
        **{f"model.{name}": (True,) for name in ("remat", "spatial_awareness", "isotropic")},
        **{f"model.{name}": (0,) for name in ("pixel_noise", "affine_blocks")},
        **{f"loss.{name}": (True,) for name in ("balance", "mask_dontcare")},
        **{f"loss.{name}": (*OFF, HUGE) for name in ("labelmix", "align", "max_weight")},
        "loss.vgg": OFF,  # any other value needs loss.vgg_weights
        "loss.vgg_weights": NAMES,
        "loss.align_warmup": (0,),
        **{f"train.{name}": (HUGE,) for name in ("lr_g", "lr_d", "init_gain", "adam_eps")},  # a loss that diverges ends the run
        **{f"train.{name}": (0,) for name in ("warmup_steps", "half_life", "segmentation_steps", "coarse_steps")},
        "train.linear_decay": ((), [], (0.5, 1), (0, 1)),
        **{f"train.{name}": OFF for name in ("adam_b2", "ema_decay")},
        "train.ema_refresh_batches": (0,),
        **{f"train.{name}": (True,) for name in ("shared_fakes", "ema_warmup")},
    },
    "eqgan": {
        "model.num_reduced": (0,),
        "model.clamp": (*OFF, HUGE),
        **{f"model.{name}": (True,) for name in ("remat", "spatial_awareness")},
        **{f"loss.{name}": (*OFF, HUGE) for name in ("align", "r1_gamma", "path_length")},
        **{f"train.{name}": (HUGE,) for name in ("lr_g", "lr_d", "adam_eps")},
        "train.adam_b2": OFF,
        "train.style_mixing": OFF,
        **{f"train.{name}": (*OFF, HUGE) for name in ("ema_images", "ema_ramp")},
    },
}
MEANINGFUL["eqgan"] |= {name: values for name, values in MEANINGFUL["oasis"].items() if name in ALLOWED}


def with_fields(config, fields):
    """A copy of a config with these fields, whatever their types."""
    changed = config.copy_and_resolve_references()
    with changed.unlocked(), changed.ignore_type():
        for name, value in fields.items():
            *sections, field = name.split(".")
            section = changed[sections[0]] if sections else changed
            section._fields[field] = value
    return changed


def same(a, b):
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("family", CONFIGS)
def test_every_field_has_a_rule(family):
    config = CONFIGS[family]()
    assert flat(config).keys() - {"family"} == rules_of(find_family(config)).keys()


@pytest.mark.parametrize("family", CONFIGS)
def test_every_absurd_value_of_every_field_is_refused_or_meaningful(family):
    config = CONFIGS[family]()
    rules = rules_of(find_family(config))
    for name, value in itertools.product(rules, ABSURD):
        found = wrong_fields(with_fields(config, {name: value}), rules)
        if any(same(value, each) for each in MEANINGFUL[family].get(name, ())):
            assert not found, (name, value)
        else:
            assert len(found) == 1 and found[0].startswith(f"{name}={value} is not "), (name, value, found)
            assert ": " in found[0].split(" is not ")[1]  # how to fix it


@pytest.mark.parametrize("family", CONFIGS)
def test_the_words_of_a_rule_give_its_exact_bounds(family):
    """Only values beyond the bounds are refused, so a message never says something untrue about a value."""
    config, bounded = CONFIGS[family](), 0
    for name, rule in rules_of(find_family(config)).items():
        if found := re.fullmatch(r"(an integer in|a number from) (\S+?)(?:\.\.| to )(\S+)", rule.words):
            kind = int if found[1] == "an integer in" else float
            least, most = kind(found[2]), kind(found[3])
            beyond = (least - 1, most + 1) if kind is int else (np.nextafter(least, -np.inf), np.nextafter(most, np.inf))
            assert all(rule.accepts(value, config) for value in (least, most)), name
            assert not any(rule.accepts(value, config) for value in beyond), name
            bounded += 1
    assert bounded > 20


def test_a_value_beyond_the_largest_is_told_what_the_largest_is():
    config = default.get_config()
    fields = {"train.num_steps": 99999999999, "data.image_size": (70000, 70000), "model.d_channels": (4, 2**17), "train.lr_g": 1e40}
    fields |= {"loss.align_levels": (1.0, 1e40, 1.0), "train.adam_b2": 0.99999999, "train.adam_eps": 1e-40, "data.resize_size": (3, 2**17)}
    fields |= {"data.dontcare_id": 2**16, "data.class_names": (1, 2)}
    told = {"2147483647", "8192", "65536", "1e+30", "0.99999994", "1e-30", "in quotes"}
    lines = wrong_fields(with_fields(config, fields), rules_of(find_family(config)))
    assert len(lines) == len(fields) and all(any(bound in line for bound in told) for line in lines), lines


@pytest.mark.parametrize("family", CONFIGS)
def test_all_wrong_fields_are_in_one_report(family):
    config = with_fields(CONFIGS[family](), {"seed": 2**40, "data.workers": -2, "eval.batch_size": 0, "train.lr_g": NAN})
    with pytest.raises(ValueError) as report:
        check_fields(config, rules_of(find_family(config)))
    first, *lines = str(report.value).splitlines()
    assert first == "4 fields of the config are wrong:"
    assert [line.split("=")[0].strip() for line in lines] == ["seed", "data.workers", "eval.batch_size", "train.lr_g"]


SENSIBLE = {
    "seed": 7, "data.image_size": (512, 512), "data.resize_size": (286, 286), "data.num_classes": 4, "data.dontcare_id": 3,
    "eval.batch_size": 3, "eval.protocol": "plain", "train.num_steps": 5, "train.lr_g": 1, "data.workers": 2,
}


def faults_of(family, fields):
    """Names of the fields that are wrong by themselves; if there are none, of those that do not fit the other fields."""
    absurd = {name: value for name, value in fields.items() if any(value is each or same(value, each) for each in ABSURD)}
    meaningful = {name for name, value in absurd.items() if any(same(value, each) for each in MEANINGFUL[family].get(name, ()))}
    if wrong := absurd.keys() - meaningful:
        return wrong
    cropped = fields.get("data.image_size") == (512, 512) and fields.get("data.resize_size") == (286, 286)
    scored = fields.get("eval.protocol") == "absurd", fields.get("eval.score") == "absurd"
    return ({"data.resize_size"} if cropped else set()) | ({"eval.protocol"} if scored[0] else {"eval.score"} if scored[1] else set())


@pytest.mark.parametrize("family", CONFIGS)
def test_of_fields_drawn_at_random_one_report_names_those_that_are_wrong(family):
    config = CONFIGS[family]()
    defaults = {name: value for name, value in flat(config).items() if name != "family"}
    values = {name: st.sampled_from([*ABSURD, *[SENSIBLE.get(name, value)] * 9, *[value] * 9]) for name, value in defaults.items()}
    some = st.lists(st.sampled_from([*defaults, *SENSIBLE, *SENSIBLE, "eval.score"]), max_size=8)

    @quick(100)
    @given(fields=some.flatmap(lambda names: st.fixed_dictionaries({name: values[name] for name in names})))
    def check(fields):
        wrong = faults_of(family, fields)
        try:
            check_config(with_fields(config, fields))
        except ValueError as error:
            lines = str(error).splitlines()[1 if len(wrong) > 1 else 0 :]
            assert {line.strip().split("=")[0].split(" ")[0] for line in lines} == wrong, (str(error), fields)
        else:
            assert not wrong, fields

    check()


_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(max_size=9), st.binary(max_size=3))
ANYTHING = st.one_of(
    _scalars, st.integers(-3, 300), st.lists(_scalars, max_size=4), st.tuples(st.integers(-1, 600), st.integers(-1, 600)),
    st.lists(_scalars, max_size=3).map(tuple), st.floats(width=32).map(np.float32), st.integers(0, 9).map(np.int64),
)


@pytest.mark.parametrize("family", CONFIGS)
def test_whatever_a_field_holds_a_report_names_no_other_field(family):
    config = CONFIGS[family]()
    names = [name for name in flat(config) if name != "family"]

    @quick(100)
    @given(fields=st.dictionaries(st.sampled_from(names), ANYTHING, max_size=4))
    def check(fields):
        try:
            check_config(with_fields(config, fields))
        except ValueError as error:
            count = int(str(error).split(" ")[0]) if " fields of the config are wrong:" in str(error) else 1
            found = [name for name in names if re.search(rf"(?m)^ *{re.escape(name)}(=| is )", str(error))]
            assert count <= len(fields) and 0 < len(found), str(error)
            assert all(name in fields for name in found), str(error)

    check()


@pytest.mark.parametrize("seed", [0, 2**31, 2**32 - 1])
def test_every_seed_that_is_allowed_can_be_used(seed):
    check_fields(with_fields(default.get_config(), {"seed": seed}), rules_of(find_family(default.get_config())))
    assert np.isfinite(jax.random.normal(jax.random.fold_in(jax.random.key(seed), 1)))


def test_a_class_that_does_not_exist_is_refused_with_how_to_map_an_id():
    config = with_fields(default.get_config(), {"data.num_classes": 4, "data.dontcare_id": 255})
    (line,) = wrong_fields(config, rules_of(find_family(config)))
    assert line.startswith("data.dontcare_id=255 is not a class") and "data.num_classes=4" in line and "map id 255" in line
    assert not wrong_fields(with_fields(config, {"data.dontcare_id": 3}), rules_of(find_family(config)))


def test_a_config_that_lacks_fields_is_refused_unless_it_is_that_of_an_older_checkpoint():
    config, rules = toy_family.get_config(), rules_of(find_family(eqgan.get_config()))
    (line,) = wrong_fields(config, rules)  # one line for all missing fields
    assert re.match(r"\d+ fields, such as model.channel_base, .*, are missing: begin with a config of this family in configs/", line)
    config, rules = eqgan.get_config(), rules_of(find_family(eqgan.get_config()))
    with config.unlocked():
        del config.loss.r1_gamma
    assert wrong_fields(config, rules)[0].startswith("loss.r1_gamma is missing: ")
    assert not wrong_fields(config, rules, complete=False)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"eval__batch_size": 0, "eval__max_examples": -1}, "2 fields .*\n  eval.batch_size=0 is not .*\n  eval.max_examples=-1 is not"),
        ({"seed": 2**40}, "seed=1099511627776 is not an integer in 0..4294967295"),
        ({"data__num_classes": 0, "data__dontcare_id": 255}, "data.dontcare_id=255 is not a class"),  # checked after listing the data
        ({"data__fit": "crop", "eval__score": "fid"}, "eval.score=fid"),
        ({"eval__protocol": "absurd"}, "eval.protocol=absurd: there is no protocol 'absurd'; did you mean"),
        ({"data__resize_size": (8, 8), "eval__score": "fid"}, "data.resize_size .*\n  eval.score=fid"),
        ({"loss__vgg": 1.0}, "loss.vgg=1.0 is not .*: give --config.loss.vgg_weights=FILE, the weights of VGG19 "),
        ({"loss__vgg": 1.0, "loss__vgg_weights": "absent.npz"}, "loss.vgg_weights=absent.npz cannot be read .*: give an .npz"),
        ({"eval__protocol": "camvid-espnet", "eval__segmenter_weights": "absent.pth"}, "absent.pth|vgg16"),
    ],
)
def test_a_run_refuses_fields_before_data_are_read(tmp_path, monkeypatch, fields, message):
    def read(*_, **__):
        raise AssertionError("data were read")

    monkeypatch.setattr("oasis_jax.training.setup.check_splits", read)
    with pytest.raises(ValueError, match=message):
        set_up(tiny_config(**fields), tmp_path)
