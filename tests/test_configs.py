"""Laws of the configs: the published recipes as numbers, the same fields everywhere, and no misspelt field passes."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from configs import scenes
from oasis_jax import config_flag
from oasis_jax.config_flag import flat, nearest_field, parse_flags
from oasis_jax.oasis import family
from oasis_jax.oasis.from_config import make_generator

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
OF_OASIS = [name for name in NAMES if not name.startswith("eqgan")]

# lr G, lr D, batch, epochs, EMA decay, LabelMix, steps between evaluations, N, label offset, label map, image size, resize size
RECIPES = {
    "cityscapes": (4e-4, 4e-4, 20, 200, 0.999, 5, 2500, 35, 0, "", (256, 512), ()),
    "ade20k": (1e-4, 4e-4, 32, 200, 0.9999, 10, 5000, 151, 0, "", (256, 256), (286, 286)),
    "ade20k_outdoors": (1e-4, 4e-4, 32, 200, 0.9999, 10, 5000, 151, 0, "", (256, 256), (286, 286)),
    "coco_stuff": (1e-4, 4e-4, 32, 100, 0.9999, 10, 5000, 183, 1, "255:0", (256, 256), (286, 286)),
}


def load(name):
    """The config of a file in configs/, or of FILE:VARIANT."""
    file, *variant = name.split(":")
    return config_flag.load(":".join([str(ROOT / "configs" / f"{file}.py"), *variant]))


@pytest.fixture
def parse(monkeypatch):
    """Parses a command line as the training command does; returns its config."""

    def parse(*args, config=ROOT / "configs" / "cityscapes.py"):
        argv = ["main", f"--config={config}", *args]
        values = flags.FlagValues()
        monkeypatch.setattr(sys, "argv", argv)
        monkeypatch.setattr(flags, "FLAGS", values)
        monkeypatch.setattr(config_flag.app, "parse_flags_with_usage", values)
        config_flags.DEFINE_config_file("config", flag_values=values)
        parse_flags(argv)
        return values.config

    return parse


def test_there_are_the_promised_configs():
    assert {"default", "custom", "custom_small", "scenes", "camvid", *RECIPES} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_config_has_the_fields_of_its_family_with_their_types(name):
    default, config = (flat(load(each)) for each in ("default" if name in OF_OASIS else "eqgan", name))
    assert config.keys() == default.keys()
    assert {field: type(value) for field, value in config.items()} == {field: type(value) for field, value in default.items()}


@pytest.mark.parametrize("name", OF_OASIS)
def test_image_sides_are_divisible_by_two_to_the_number_of_blocks(name):
    config = load(name)
    assert all(side % 2**config.model.num_blocks == 0 for side in config.data.image_size)
    assert len(config.model.d_channels) >= config.model.num_blocks


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_the_published_one(name):
    config = load(name)
    train, data = config.train, config.data
    recipe = (train.lr_g, train.lr_d, train.batch_size, train.num_epochs, train.ema_decay, config.loss.labelmix, config.eval.every_steps)
    assert recipe + (data.num_classes, data.label_offset, data.label_map, data.image_size, data.resize_size) == RECIPES[name]
    assert (train.num_steps, train.adam_b2, train.adam_eps, train.ema_refresh_batches) == (0, 0.999, 1e-8, 51)
    assert (config.model.num_blocks, config.model.channels, config.model.z_dim, config.model.spade_hidden) == (6, 64, 64, 128)
    assert (config.model.d_channels, config.model.d_last) == ((128, 128, 256, 256, 512, 512), 64)
    assert config.loss.balance and config.loss.vgg == 0 and data.flip and data.dontcare_id == 0


VARIED = ["cityscapes", "ade20k", "ade20k_outdoors", "coco_stuff", "camvid", "camvid_small", "custom", "custom_small", "scenes"]


@pytest.mark.parametrize("name", VARIED)
def test_the_variant_sa_is_the_same_recipe_with_spatial_awareness(name):
    plain, aware = flat(load(name)), flat(load(f"{name}:sa"))
    differing = {field for field in plain if plain[field] != aware[field]}
    assert "model.spatial_awareness" in differing
    assert differing <= {"model.spatial_awareness", "model.sel_blocks", "loss.align_warmup"}
    assert aware["loss.align"] == 0.1
    for config, is_aware in ((load(name), False), (load(f"{name}:sa"), True)):
        config.data.num_classes = config.data.num_classes or 4
        assert make_generator(config).spatially_aware == is_aware


@pytest.mark.parametrize("name", ["cityscapes", "ade20k", "coco_stuff", "camvid", "scenes"])
def test_the_earlier_file_of_a_variant_gives_the_same_config(name):
    assert flat(load(f"{name}_sa")) == flat(load(f"{name}:sa"))


def test_a_variant_that_does_not_exist_is_an_error(parse, tmp_path):
    with pytest.raises(SystemExit, match="there is no variant 'fast' of this config: use FILE, or FILE:sa"):
        parse(config=f"{ROOT / 'configs' / 'scenes.py'}:fast")
    (tmp_path / "mine.py").write_text("from configs import default\n\ndef get_config():\n    return default.get_config()\n")
    with pytest.raises(SystemExit, match="mine.py has no variants: leave out :sa"):
        parse(config=f"{tmp_path / 'mine.py'}:sa")


def test_levels_of_blocks_can_be_overridden(parse):
    config = parse("--config.model.sel_blocks=l1,none,cat", "--config.model.num_blocks=3", config=f"{ROOT / 'configs' / 'camvid.py'}:sa")
    assert make_generator(config).sel_blocks == ("l1", "none", "cat")


def test_the_learning_rates_follow_their_fields():
    config = load("camvid_small")
    config.train.update(lr_g=0.2, lr_d=0.8, warmup_steps=10, half_life=100, linear_decay=(100, 300))
    rates = [family.train_step(config).learning_rates(step) for step in (4, 99, 199, 299, 400)]
    np.testing.assert_allclose([at["lr_g"] for at in rates], [0.1 * 2**-0.05, 0.1, 0.025, 0, 0], rtol=1e-6)
    np.testing.assert_allclose([at["lr_d"] for at in rates], [0.4 * 2**-0.05, 0.4, 0.1, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("steps", [(20, 20), (30, 20), (20,), (1, 2, 3), (-1, 20), (0.5, 20), (1, 0.5), (-0.5, 1), (0.5, 0.9), 20])
def test_a_linear_decay_lies_between_two_steps_or_shares(steps):
    config = load("camvid_small")
    with config.unlocked(), config.ignore_type():
        config.train.linear_decay = steps
    with pytest.raises(ValueError, match=r"train.linear_decay=.* is not two numbers of steps, .*, or a share .*, or \(\) for no decay"):
        family.train_step(config)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"model.sel_blocks": "l1,l2,l4,cat,cat,cat"}, "sel_blocks=l1,l2,l4,cat,cat,cat: give for each of model.num_blocks=6 blocks"),
        ({"model.sel_blocks": "l1,l2"}, "model.sel_blocks=l1,l2: give for each"),
        ({"model.sel_blocks": "none,none,none,none,none,none"}, "and not none for all"),
        ({"loss.attn_side": "left"}, "loss.attn_side=left is not one of decoder, encoder, both"),
        ({"loss.attn_objective": "real"}, "loss.attn_objective=real is not one of ce, fake"),
        ({"loss.align": -1.0}, "loss.align=-1.0 is not a number from 0 to 1e"),
        ({"loss.align_every": 0}, "loss.align_every=0 is not an integer in 1"),
        ({"loss.align_levels": (1.0, 1.0)}, r"loss.align_levels=\(1.0, 1.0\) is not three weights"),
        ({"loss.attn_side": "both", "model.num_blocks": 3}, "loss.attn_side=both is not possible with model.num_blocks=3: it needs 4"),
    ],
)
def test_fields_of_spatial_awareness_that_do_not_fit_are_errors(fields, message):
    config = load("cityscapes:sa")
    config.update_from_flattened_dict(fields)
    with pytest.raises(ValueError, match=message):
        family.train_step(config)


def test_camvid_names_every_class():
    assert len(load("camvid").data.class_names) == load("camvid").data.num_classes


def test_any_field_can_be_overridden(parse):
    config = parse("--config.train.batch_size=8", "--config.train.lr_g=1", "--noconfig.data.flip", "--config.data.image_size=64,128")
    assert (config.train.batch_size, config.train.lr_g, config.data.flip, config.data.image_size) == (8, 1.0, False, (64, 128))


@pytest.mark.parametrize(
    "misspelt, nearest",
    [
        ("train.batchsize=3", "train.batch_size"),
        ("trian.batch_size=3", "train.batch_size"),
        ("num_classes=3", "data.num_classes"),
        ("train.learning_rate_g=1", "train.lr_g"),
        ("data.flipp", "data.flip"),
        ("sed=1", "seed"),
    ],
)
def test_a_misspelt_field_is_an_error_that_names_the_nearest(parse, misspelt, nearest):
    with pytest.raises(SystemExit, match=rf"no such field; did you mean --config\.{nearest}\?"):
        parse(f"--config.{misspelt}")


@pytest.mark.parametrize(
    "value, wanted",
    [
        *((f"train.batch_size={text}", "an integer: give one, such as ...=20") for text in ("abc", "1.5", "nan", "1e3", "")),
        *((f"train.lr_g={text}", "a number: give one, such as ...=0.0004") for text in ("fast", "0x10", "None", "")),
        *((f"data.flip={text}", "True or False: give one, such as ...=True") for text in ("maybe", "2", "no", "")),
    ],
)
def test_an_ill_typed_value_is_an_error_that_names_the_field(parse, value, wanted):
    with pytest.raises(SystemExit) as error:
        parse("--config.train.num_steps=1_000", "--noconfig.data.cache", "--config.data.flip", f"--config.{value}")
    name, _, text = value.partition("=")
    assert str(error.value) == f"--config.{value} is not {wanted.replace('...', f'--config.{name}')}"
    if name != "data.flip":
        with pytest.raises(SystemExit, match="such as"):
            parse(f"--config.{name}", text)


@pytest.mark.parametrize("args", [["--config.=3"], ["--config."], ["--config.data.=3"]])
def test_a_field_without_a_name_is_no_field(parse, args):
    with pytest.raises(SystemExit, match=r"--config\.(data\.)?: there is no such field; did you mean"):
        parse(*args)


@pytest.mark.parametrize("second", [["--config=scenes"], ["--config", "scenes"], ["-config=scenes:sa"], ["--config=none.py"]])
def test_a_second_config_is_an_error(parse, second):
    with pytest.raises(SystemExit, match="--config is given 2 times: give one file"):
        parse(*second)


@pytest.mark.parametrize(
    "args, found",
    [
        (["--config.data.image_size=32,32", "--config.train.batch_size=2", "--config.data.image_size=64,128"], (64, 128)),
        (["--config.data.image_size", "32,32", "--config.data.image_size", "64,128"], (64, 128)),
        (["--config.data.image_size=(32, 32)", "-config.data.image_size=64,128"], (64, 128)),
        (["--config.data.resize_size=70,70", "--config.data.resize_size="], ()),
        (["--config.data.resize_size=", "--config.data.resize_size=70,70"], (70, 70)),
    ],
)
def test_the_last_value_of_a_tuple_counts_and_an_empty_one_empties_it(parse, args, found):
    config = parse(*args)
    assert found in (config.data.image_size, config.data.resize_size)


@pytest.mark.parametrize("name", NAMES)
def test_every_tuple_field_takes_elements_with_commas_between_them(parse, name):
    """Names need no quotes; texts that look like code are names too; if a field is given twice, the last value counts."""
    config = flat(load(name))
    tuples = {field: value for field, value in config.items() if isinstance(value, tuple)}
    names = {"data.class_names", "data.scene_categories", "data.palette_colours"}
    assert names <= tuples.keys()
    assert {field for field, value in tuples.items() if value and isinstance(value[0], str)} <= names
    forms = [
        ("a,b", ("a", "b")), ("('a','b')", ("a", "b")), ("(a, b)", ("a", "b")), ("'a, b',l'eau", ("a, b", "l'eau")), ("a", ("a",)),
        ("a,", ("a",)), ('"a, b", c', ("a, b", "c")), ("road\ncar, bus\r\n\nsky\n", ("road", "car", "bus", "sky")),
        ("(road,\n car,\n)", ("road", "car")),
        ("a b,c-d/e", ("a b", "c-d/e")), ("'a',b", ("a", "b")), ("0,road", ("0", "road")), ("20 20 20,3 3 3", ("20 20 20", "3 3 3")),
        ("('x,y', 'z')", ("x,y", "z")), ("", ()), ("日本,é", ("日本", "é")), ("for,class", ("for", "class")), ("1a,(b)", ("1a", "(b)")),
    ]  # fmt: skip
    given = {field: forms if field in names else [("3,2,1", (3, 2, 1)), ("(3, 2)", (3, 2)), ("4,", (4,))] for field in tuples}
    for number in range(len(forms)):
        chosen = {field: each[number % len(each)] for field, each in given.items()}
        flags_of = [f"--config.{field}={text}" for field, (text, _) in chosen.items()]
        first = [f"--config.{field}=x,y" if field in names else f"--config.{field}=9,9" for field in tuples]
        found = flat(parse(*first, *flags_of, config=ROOT / "configs" / f"{name}.py"))
        assert {field: found[field] for field in tuples} == {field: value for field, (_, value) in chosen.items()}


def test_a_section_is_no_field(parse):
    with pytest.raises(SystemExit) as error:
        parse("--config.train=3")
    assert str(error.value) == "--config.train is a section of fields: give one of them, such as --config.train.accumulate=..."


@pytest.mark.parametrize("returned", ["{}", "None", "3", "{'train': {'batch_size': 3}}", "ml_collections.ConfigDict()"])
def test_a_get_config_that_returns_no_config_is_told_in_one_line(parse, tmp_path, returned):
    file = tmp_path / "mine.py"
    file.write_text(f"import ml_collections\n\ndef get_config():\n    return {returned}\n")
    with pytest.raises(SystemExit, match=r"its get_config returns .*, not a ConfigDict .*: see configs/default.py") as error:
        parse(config=file)
    assert "\n" not in str(error.value)


def test_a_config_file_that_fails_without_a_message_is_told_in_one_line(parse, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def get_config():\n    assert 1 > 2\n")
    with pytest.raises(SystemExit, match=r"mine.py.*, line 2: AssertionError$") as error:
        parse(config=file)
    assert "\n" not in str(error.value)


def test_a_field_that_several_sections_have_is_an_error_that_names_them_all(parse):
    with pytest.raises(SystemExit, match=r"did you mean (--config\.(train|eval)\.batch_size( or |\?)){2}"):
        parse("--config.batch_size=3")


@pytest.mark.parametrize(
    "file, message",
    [
        ("scene", "did you mean --config=configs/scenes.py"),
        ("scenez.py:sa", "did you mean --config=configs/scenes.py:sa"),
        ("elsewhere/scenes.py:sa", "did you mean --config=configs/scenes.py:sa?"),
        ("configs/cityscape.py", "did you mean --config=configs/cityscapes.py"),
        ("configs", "there is no such file"),
        ("README.md", "README.md, line"),
        ("oasis_jax/noise.py", "no function get_config"),
        ("", "--config is empty"),
    ],
)
def test_a_file_that_is_no_config_is_an_error_that_names_the_nearest(parse, monkeypatch, file, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as error:
        parse(config=file)
    assert message in str(error.value)


def test_an_ill_typed_element_is_an_error(parse):
    with pytest.raises(SystemExit, match=r"data.image_size=.*must be int"):
        parse("--config.data.image_size=(96, 'a')")


@pytest.mark.parametrize(
    "line, message",
    [
        ("config.train.batchsize = 3", 'mine.py, line 5: AttributeError: .*Did you mean "batch_size"'),
        ("config.train.batch_size = 1.5", "mine.py, line 5: TypeError: .*batch_size"),
    ],
)
def test_a_misspelt_or_ill_typed_field_in_a_file_is_an_error(parse, tmp_path, line, message):
    file = tmp_path / "mine.py"
    file.write_text(f"from configs import default\n\ndef get_config():\n    config = default.get_config()\n    {line}\n    return config\n")
    with pytest.raises(SystemExit, match=message):
        parse(config=file)


def test_a_missing_config_file_is_an_error(parse):
    with pytest.raises(SystemExit, match=r"absent\.py"):
        parse(config="absent.py")


def test_nearest_field_prefers_the_same_last_part():
    assert nearest_field("model.labelmix", ["model.channels", "loss.labelmix", "model.remat"]) == "loss.labelmix"


def test_a_config_given_by_its_path_loads_from_any_folder(tmp_path):
    code = f"from oasis_jax import config_flag; print(config_flag.load({str(ROOT / 'configs' / 'camvid.py')!r}))"
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    if "No module named 'oasis_jax'" in process.stderr:
        pytest.skip("oasis_jax is not installed with pip install -e")
    assert "trainannot" in process.stdout, process.stderr


@pytest.mark.parametrize("name", ["cityscapes", "cityscapes.py", "configs/cityscapes.py"])
def test_configs_of_the_project_have_names_in_any_folder(parse, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert flat(config_flag.load(f"{name}:sa")) == flat(load("cityscapes:sa"))
    assert parse("--config.train.batch_size=3", config=f"{name}:sa").train.batch_size == 3
    (tmp_path / "cityscapes.py").write_text("from configs import scenes\n\nget_config = scenes.get_config\n")
    own = name == "cityscapes.py"  # a file of the user takes precedence
    assert config_flag.load(name).data.layout == ("scenes" if own else "cityscapes")


BASE = """from configs import default

def get_config():
    config = default.get_config()
    config.train.num_steps = 7
    return config
"""
CONFIGS_OF_ONES_OWN = """
import sys
sys.path[:] = [place for place in sys.path if not (__import__("pathlib").Path(place) / "configs" / "default.py").is_file()]
sys.path[:0] = ["", "installed"]
from oasis_jax import config_flag
print(config_flag.load("configs/mine.py").train.num_steps, config_flag.load("scenes").train.num_steps)
"""


def test_config_files_import_those_of_the_project_and_their_neighbours(tmp_path):
    """The file is in a folder of the user that is also called configs, and the project's configs are not on Python's path."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.py").write_text("from configs import base\n\nget_config = base.get_config\n")
    (tmp_path / "configs" / "base.py").write_text(BASE)
    package = tmp_path / "installed" / "oasis_jax"
    package.mkdir(parents=True)
    for file in [*(ROOT / "oasis_jax").iterdir(), ROOT / "configs"]:
        (package / file.name).symlink_to(file)
    process = subprocess.run([sys.executable, "-c", CONFIGS_OF_ONES_OWN], cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout.split() == ["7", str(scenes.get_config().train.num_steps)], process.stderr


def test_fields_are_overridden_only_with_a_config():
    with pytest.raises(SystemExit, match="--config.data.root overrides a field of --config=FILE: give --config too"):
        parse_flags(["main", "--config.data.root=x"])
