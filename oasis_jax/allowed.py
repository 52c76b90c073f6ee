"""Rules for the values of config fields, each with its wording for messages, and one report of all fields that break their rules."""
import dataclasses
import math
import numbers
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

LARGE = 1e30  # leaves room for products in float32
SMALL = 1e-30
BELOW_ONE = 0.99999994  # about the largest float32 below 1
MOST = 2**31 - 1  # steps are counted in 32 bits
_FEW = 5  # up to so many missing fields are reported on a line each


@dataclasses.dataclass(frozen=True)
class Rule:
    """The rule for the value of a field.

    Attributes:
        words: completes "FIELD=VALUE is not ..."; `{config}` stands for the config.
        accepts: (value, config) -> whether the value satisfies the rule.
        fix: how to correct the field; by default, to give it another value.
    """

    words: str
    accepts: Callable[[Any, Any], bool]
    fix: str = ""


def whole(least=0, most=MOST, fix=""):
    """The Rule for an integer in least..most."""
    return Rule(f"an integer in {least}..{most}", lambda value, _: _is(value, numbers.Integral) and least <= value <= most, fix)


def number(least, most=LARGE, fix=""):
    """The Rule for a finite number in least..most."""
    words = f"a number from {least} to {most}"
    return Rule(words, lambda value, _: _is(value, numbers.Real) and math.isfinite(value) and least <= value <= most, fix)


def choice(*values):
    """The Rule for a string that is one of `values`."""
    return Rule(f"one of {', '.join(values)}", lambda value, _: isinstance(value, str) and value in values)


def text(may_be_empty=True):
    """The Rule for a string; it must not be blank, unless it `may_be_empty`."""
    words = "a text" if may_be_empty else "a text with more than whitespace"
    return Rule(words, lambda value, _: isinstance(value, str) and bool(may_be_empty or value.strip()))


def switch():
    """The Rule for True or False."""
    return Rule("True or False", lambda value, _: isinstance(value, bool))


def several(words, each, least=0, most=MOST, fix=""):
    """The Rule for a tuple of least..most elements that each satisfy the Rule `each`; `words` describe the tuple as a whole."""

    def accepts(value, config):
        return isinstance(value, tuple | list) and least <= len(value) <= most and all(each.accepts(element, config) for element in value)

    return Rule(f"{words} (each {each.words})" if most else words, accepts, fix)


def either(*rules):
    """The Rule for a value that satisfies at least one of several rules."""
    return Rule(", or ".join(rule.words for rule in rules), lambda value, config: any(rule.accepts(value, config) for rule in rules))


def wrong_fields(config, rules, complete=True):
    """A list with one line for each field that is missing or breaks its rule: "FIELD=VALUE is not ...: how to fix it".

    Args:
        config: ConfigDict.
        rules: {dotted name: Rule}.
        complete: whether missing fields are reported; the config of an older checkpoint may lack some.
    """
    lines, missing = [], []
    for name, rule in rules.items():
        section, _, field = name.rpartition(".")
        found = config.get(section, {}) if section else config
        if not isinstance(found, ConfigDict):
            found = {}
        if field not in found:
            missing += [name] * complete
        elif not rule.accepts(found[field], config):
            fix = rule.fix.format(value=found[field]) or f"give another --config.{name}"
            lines.append(f"{name}={found[field]} is not {rule.words.format(config=config)}: {fix}")
    few = len(missing) <= _FEW
    some = missing if few else [f"{len(missing)} fields, such as {', '.join(missing[:_FEW])},"]
    absent = [f"{name} {'is' if few else 'are'} missing: begin with a config of this family in configs/, and change that" for name in some]
    return [*absent, *lines]


def report(lines):
    """Joins lines that say what is wrong with a config, such as those of `wrong_fields`, into one text."""
    return lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} fields of the config are wrong:", *lines])


def check_fields(config, rules, complete=True):
    """Raises ValueError, with one report of all faults, if `wrong_fields` finds any."""
    if lines := wrong_fields(config, rules, complete):
        raise ValueError(report(lines))


def _is(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool)
