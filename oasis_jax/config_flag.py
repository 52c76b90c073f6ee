"""Reading the --config flag: a misspelt field, or one of the wrong type, is an error that names the nearest existing field.

ml_collections does the rest. It looks for the nearest name within one section only, and accepts any elements in a tuple.
"""
import difflib
import inspect
import re
import runpy
import sys

from absl import app, flags
from ml_collections import ConfigDict, config_flags


def define(required=True):
    """Defines --config=FILE, whose fields --config.section.field=VALUE overrides."""
    config_flags.DEFINE_config_file("config", None, "File of the experiment, such as configs/cityscapes.py.")
    if required:
        flags.mark_flag_as_required("config")


def define_with(config, argv):
    """Defines --config.section.field=VALUE on top of a ConfigDict instead of a file; exits as `parse_flags` does.

    Returns:
        The flags_parser of `app.run`.
    """
    fields = flat(config)
    _overridden(argv, fields)  # before the definition, which already reads the command line
    config_flags.DEFINE_config_dict("config", config)
    return lambda argv: _parse(argv, fields)


def parse_flags(argv):
    """The flags_parser of `app.run`.

    Raises:
        SystemExit: a field on the command line does not exist or has another type, or there is no --config; the message names the nearest
            field or the type.
    """
    path = value_of("config", argv)
    if not path and (names := _overridden(argv, {})):
        sys.exit(f"--config.{names[0]} overrides a field of --config=FILE: give --config too")
    try:
        fields = flat(load(path)) if path else {}
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"--config={path}: {error}")
    return _parse(argv, fields)


def _parse(argv, fields):
    overridden = _overridden(argv, fields)
    rest = app.parse_flags_with_usage(argv)
    for name in overridden:
        _check_elements(name, fields[name], flat(flags.FLAGS.config)[name])
    return rest


def _overridden(argv, fields):
    overridden = [match[1] for match in (re.match(r"--?(?:no)?config\.([^=]+)", arg) for arg in argv) if match]
    for name in overridden:
        if fields and name not in fields:
            sys.exit(f"--config.{name}: there is no such field; did you mean --config.{nearest_field(name, fields)}?")
    return overridden


def load(path):
    """The config of FILE, or of FILE:VARIANT, whose get_config then takes the variant.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has no such variant.
    """
    file, *variant = path.split(":", 1)
    get_config = runpy.run_path(file)["get_config"]
    if variant and not inspect.signature(get_config).parameters:
        raise ValueError(f"{file} has no variants: leave out :{variant[0]}")
    return get_config(*variant)


def flat(config, prefix=""):
    """The config, or nested dicts, as one dict of dotted names."""
    fields = {}
    for name, value in config.items():
        fields |= flat(value, f"{prefix}{name}.") if isinstance(value, ConfigDict | dict) else {f"{prefix}{name}": value}
    return fields


def nearest_field(name, fields):
    """The field (of dotted names) most like `name` as a whole and in its last part."""

    def likeness(field):
        whole, last = (name, field), (name.split(".")[-1], field.split(".")[-1])
        return sum(difflib.SequenceMatcher(None, *pair).ratio() for pair in (whole, last))

    return max(fields, key=likeness)


def value_of(flag, argv):
    """What a command line gives a flag, before flags are parsed; None if nothing."""
    for arg, following in zip(argv, [*argv[1:], None], strict=True):
        if match := re.fullmatch(rf"--?{flag}(?:=(.*))?", arg):
            return match[1] if match[1] is not None else following
    return None


def _check_elements(name, original, value):
    if isinstance(original, tuple) and original and not {type(element) for element in value} <= {type(element) for element in original}:
        sys.exit(f"--config.{name}={value}: its elements must be {type(original[0]).__name__}, as in {original}")
