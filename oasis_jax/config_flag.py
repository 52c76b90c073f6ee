"""Reads the --config flag: a misspelt field, or one of the wrong type, is an error that names the nearest existing field.

ml_collections does the rest. On its own, it looks for the nearest name within one section only, accepts elements of any type in a tuple,
and reads the unquoted names a,b as the single name 'a,b'.

The configs of the project can be given by name from any folder, wherever the package is installed: --config=scenes, or
--config=configs/scenes.py if there is no such file. Config files import them as `from configs import default`.
"""
import ast
import csv
import difflib
import importlib
import inspect
import os
import pathlib
import re
import runpy
import sys
import traceback
import types

from absl import app, flags
from ml_collections import ConfigDict, config_flags

flags.disclaim_key_flags()  # --config is a flag of the command that defines it, and its --help shows it
_HELP = (
    "File of the experiment, such as mine.py, or mine.py:sa for its variant, or name of a config of the project, such as scenes. "
    "--config.SECTION.FIELD=VALUE overrides a field, such as --config.train.batch_size=8 or --config.data.image_size=64,128; "
    "oasis_jax/fields.py and oasis_jax/FAMILY/fields.py say what each field means."
)
_FEW = 5  # most fields that a message lists
_NUMBERS = {
    int: ("an integer", flags.IntegerParser()),
    float: ("a number", flags.FloatParser()),
    bool: ("True or False", flags.BooleanParser()),
}
_CONFIGS = pathlib.Path("configs")
# The configs of the project: inside an installed package; in a clone, next to the package.
_PACKAGED = pathlib.Path(__file__).with_name("configs")
if not _PACKAGED.is_dir():
    _PACKAGED = pathlib.Path(__file__).parents[1] / _CONFIGS


def define():
    """Defines --config=FILE, whose fields --config.section.field=VALUE overrides."""
    config_flags.DEFINE_config_file("config", None, _HELP)


def define_with(config, argv, what="The config of the checkpoint"):
    """Defines --config.section.field=VALUE on top of a ConfigDict instead of a file; exits as `parse_flags` does.

    Args:
        config: ConfigDict.
        argv: command line.
        what: the description of the config, for --help.

    Returns:
        The flags_parser of `app.run`.
    """
    fields = flat(config)
    _overridden(argv, fields)  # before the definition, which already reads the command line
    help_string = f"{what}. --config.SECTION.FIELD=VALUE overrides a field, such as --config.{next(iter(fields))}=VALUE."
    config_flags.DEFINE_config_dict("config", config, help_string)
    flags.declare_key_flag("config")
    return lambda argv: _parse(argv, fields)


def parse_flags(argv):
    """The flags_parser of `app.run`.

    Raises:
        SystemExit: a field on the command line does not exist or has another type, or there is no such file; the message names the nearest
            field or file, or the type.
    """
    argv = _with_found_files(argv)
    if len(given := [arg for arg in argv[1:] if re.match("--?config(=|$)", arg)]) > 1:
        sys.exit(f"--config is given {len(given)} times: give one file, and override its fields with --config.SECTION.FIELD=VALUE")
    path = value_of("config", argv)
    if path == "":
        sys.exit("--config is empty: give the file of an experiment, such as --config=configs/scenes.py")
    if not path and (names := _overridden(argv, {})):
        sys.exit(f"--config.{names[0]} overrides a field of --config=FILE: give --config too")
    return _parse(argv, flat(load_or_exit(path)) if path else {})


def load_or_exit(path):
    """The config of `load`. Raises SystemExit, with one line that names the file, if there is no such file or its code fails."""
    try:
        return load(path)
    except (OSError, SyntaxError, ValueError) as error:
        sys.exit(f"--config={path}: {error}")
    except Exception as error:  # of the code in the file, such as a misspelt field
        sys.exit(f"--config={path}{_in_one_line(error, path.split(':')[0])}")


def _with_found_files(argv):
    """The command line with each value of --config replaced by its `find_file`."""
    found = list(argv)
    for number, arg in enumerate(argv):
        if re.fullmatch("--?config", arg) and number + 1 < len(argv):
            found[number + 1] = find_file(argv[number + 1])
        elif re.match("--?config=.", arg):
            found[number] = "--config=" + find_file(arg.partition("=")[2])
    return found


def find_file(path):
    """Resolves FILE or FILE:VARIANT of a config: the file itself, else the project's config of this name, else the path as given."""
    file, *variant = os.path.expanduser(path).split(":", 1)
    given = pathlib.Path(file)
    named = _PACKAGED / f"{given.stem}.py"
    if not given.is_file() and given.parent in (pathlib.Path(), _CONFIGS) and given.suffix in ("", ".py") and named.is_file():
        file = os.fspath(named)
    return ":".join([file, *variant])


def _in_one_line(error, file):
    """Says in one line where the code of a config file failed, and why."""
    frames = traceback.extract_tb(error.__traceback__)
    line = next((f", line {frame.lineno}" for frame in reversed(frames) if frame.filename == file), "")
    said, advice = str(error).strip(), re.search(r"Did you mean [^?]*\?", str(error))  # all fields are listed between the two parts
    said = f"{said.split('. ')[0].strip(chr(39))}. {advice[0]}" if advice else "".join(said.splitlines()[:1])[:300]
    return f"{line}: {type(error).__name__}: {said}".removesuffix(": ")


def _parse(argv, fields):
    overridden = _overridden(argv, fields)
    _check_numbers(argv, fields)
    rest = app.parse_flags_with_usage(_last_of_each(argv, fields))
    for name in overridden:
        _check_elements(name, fields[name], flat(flags.FLAGS.config)[name])
    return rest


def _overridden(argv, fields):
    overridden = [match[1] for match in (re.match(r"--?(?:no)?config\.([^=]*)", arg) for arg in argv) if match]
    for name in overridden:
        if inside := [field for field in fields if field.startswith(f"{name}.")]:
            sys.exit(f"--config.{name} is a section of fields: give one of them, such as --config.{inside[0]}=...")
        if fields and name not in fields:
            nearest = list(fields) if len(fields) <= _FEW else nearest_fields(name, fields)
            sys.exit(f"--config.{name}: there is no such field; did you mean {' or '.join(f'--config.{field}' for field in nearest)}?")
    return overridden


def _last_of_each(argv, fields):
    """The command line with only the last value of each tuple field, as `_written_out` writes it: several values would be joined."""
    tuples = {f"config.{name}" for name, value in fields.items() if isinstance(value, tuple)}
    found, rest = {}, iter(argv)
    for number, arg in enumerate(rest):
        name, equals, value = arg.lstrip("-").partition("=")
        if arg.startswith("-") and name in tuples:
            found[name] = f"--{name}={_written_out(value if equals else next(rest, ''))}"
        else:
            found[number] = arg
    return list(found.values())


def _written_out(text):
    """A tuple on the command line as a Python literal: a,b becomes ('a', 'b'), 1,2 stays as it is, and no text becomes ()."""
    text = text.strip()
    try:
        ast.literal_eval(text)
        return text
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # names, some of which may look like code
        inner = text[1:-1] if text[:1] + text[-1:] in ("()", "[]") else text
        inner = ",".join(line.strip().removesuffix(",") for line in inner.splitlines() if line.strip())  # one name a line
        (names,) = csv.reader([inner], quotechar='"' if '"' in inner else "'", skipinitialspace=True) if inner.strip() else [[]]
        names = [name.strip() for name in names]
        return repr(tuple(names if not names or names[-1] else names[:-1]))


def load(path):
    """Loads the config of FILE, of FILE:VARIANT (its get_config then gets the variant), or of the name of a config of the project.

    Raises:
        FileNotFoundError: there is no such file; the message names the nearest.
        SyntaxError, ValueError: it is not a Python file, has no get_config or no such variant, or get_config does not return a config.
    """
    file, *variant = find_file(path).split(":", 1)
    if not pathlib.Path(file).is_file():
        raise FileNotFoundError(f"there is no such file{_nearest_file(file, variant)}")
    _provide_configs()
    get_config = runpy.run_path(file).get("get_config")
    if get_config is None:
        raise ValueError("it has no function get_config, which returns the config: see configs/default.py")
    if variant and not inspect.signature(get_config).parameters:
        raise ValueError(f"{file} has no variants: leave out :{variant[0]}")
    config = get_config(*variant)
    if not isinstance(config, ConfigDict) or not config:
        what = "an empty ConfigDict" if isinstance(config, ConfigDict) else f"{config!r:.100}"
        raise ValueError(f"its get_config returns {what}, not a ConfigDict with the fields of an experiment: see configs/default.py")
    return config


def flat(config, prefix=""):
    """Flattens a config, or nested dicts, into one dict {dotted name: value}."""
    fields = {}
    for name, value in config.items():
        fields |= flat(value, f"{prefix}{name}.") if isinstance(value, ConfigDict | dict) else {f"{prefix}{name}": value}
    return fields


def _provide_configs():
    """Lets `from configs import default` find the project's configs, in addition to those of a folder `configs` on Python's path."""
    try:
        module = importlib.import_module("configs")
    except ModuleNotFoundError:
        module = None
    places = [*getattr(module, "__path__", ())]
    if not any((pathlib.Path(place) / "default.py").is_file() for place in places):
        if module is None or getattr(module, "__file__", None) is None:  # none, or one without __init__.py, whose path cannot be changed
            module = sys.modules["configs"] = types.ModuleType("configs")
        module.__path__ = [*places, os.fspath(_PACKAGED)]


def _nearest_file(file, variant):
    """A question that names the configs most similar to the name of a file; without any, a hint where the configs are."""
    known = {path.stem: path.stem for path in sorted(_PACKAGED.glob("*.py"))}
    known |= {path.stem: path for path in sorted(_CONFIGS.glob("*.py"))}
    stem = pathlib.Path(file).stem
    nearest = [stem] if stem in known else difflib.get_close_matches(stem, known, n=2)
    if not nearest:
        return f": the configs of the project are in {_PACKAGED}"
    return "; did you mean " + " or ".join(":".join([f"--config={known[name]}", *variant]) for name in nearest) + "?"


def nearest_fields(name, fields):
    """The fields (a list of dotted names) whose last part is `name`; if there are none, the one of `nearest_field`."""
    called_so = [field for field in fields if field.rpartition(".")[2] == name]
    return called_so or [nearest_field(name, fields)]


def nearest_field(name, fields):
    """The field (a dotted name) most similar to `name`, in the whole name and in its last part together."""

    def likeness(field):
        whole, last = (name, field), (name.split(".")[-1], field.split(".")[-1])
        return sum(difflib.SequenceMatcher(None, *pair).ratio() for pair in (whole, last))

    return max(fields, key=likeness)


def value_of(flag, argv):
    """The value of a flag on a command line, read before flags are parsed; None if it is not given."""
    for arg, following in zip(argv, [*argv[1:], None], strict=True):
        if match := re.fullmatch(rf"--?{flag}(?:=(.*))?", arg):
            return match[1] if match[1] is not None else following
    return None


def _check_numbers(argv, fields):
    """Exits if a numeric field is given something other than a number, or a boolean field something other than True or False."""
    for arg, following in zip(argv, [*argv[1:], None], strict=True):
        name, equals, text = arg.lstrip("-").partition("=")
        original = fields.get(name.removeprefix("config.")) if arg.startswith("-") and name.startswith("config.") else None
        words, parser = _NUMBERS.get(type(original), (None, None))
        text = text if equals else following
        if parser is None or text is None or (isinstance(original, bool) and not equals):
            continue
        try:
            parser.parse(text)
        except (ValueError, TypeError):
            sys.exit(f"--{name}={text} is not {words}: give one, such as --{name}={original}")


def _check_elements(name, original, value):
    kinds = {type(element) for element in original} if isinstance(original, tuple) else set()
    if kinds and not {type(element) for element in value} <= kinds | ({int} if float in kinds else set()):
        sys.exit(f"--config.{name}={value}: its elements must be {type(original[0]).__name__}, as in {original}")
