"""Parses JSON from any source, and checks its values one by one, with messages that name the field.

A check is a function (value, field name) that returns the value, or raises ValueError with a message of one line.
"""
import json
import math

MAX_TEXT = 4096  # characters


def parse(data):
    """The value of a JSON document, bytes or text; raises ValueError also for NaN, infinite numbers and repeated fields."""
    try:
        return json.loads(data, parse_constant=_refuse_constant, object_pairs_hook=_without_repetition)
    except RecursionError:
        raise ValueError("its lists are nested too deep") from None


def shown(value):
    """A value as a message shows it: its beginning, in one line; lists and objects, which may be long, are only named."""
    kinds = {list: lambda: f"a list of {len(value)}", dict: lambda: "an object"}
    return kinds.get(type(value), lambda: ascii(value)[:60])()


def checked_object(value, known, needed, field):
    """Returns the object if it has all `needed` fields, and no fields that are not `known`; raises ValueError otherwise."""
    if not isinstance(value, dict):
        raise ValueError(f"{field or 'it'} is {shown(value)}, but should be an object")
    within = f"{field}." if field else ""
    if unknown := sorted(value.keys() - known):
        raise ValueError(f"{within}{ascii(unknown[0])[1:60].rstrip(chr(39))} is unknown: the fields here are {', '.join(sorted(known))}")
    if missing := sorted(needed - value.keys()):
        raise ValueError(f"{within}{missing[0]} is missing")
    return value


def integer(low, high):
    """Returns the check for an integer in low..high."""

    def check(value, field):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{field} is {shown(value)}, but should be an integer in {low}..{high}")
        return value

    return check


def number(low, high, above=False):
    """Returns the check for a finite number from low to high; with `above`, low itself is refused."""

    def check(value, field):
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or not low <= value <= high or not math.isfinite(value) or (above and value == low):  # isfinite needs a float
            raise ValueError(f"{field} is {shown(value)}, but should be a number {'above' if above else 'from'} {low:g} to {high:g}")
        return value

    return check


def text(value, field):
    """The check for a text of one line that is not empty."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not all(map(_is_letter, value)):
        raise ValueError(f"{field} is {shown(value)}, but should be a text of 1 to {MAX_TEXT} characters, in one line")
    return value


def several(lengths, check):
    """Returns the check for a list whose length is in `lengths`, a range or a tuple, and whose values all pass `check`."""

    def of_list(value, field):
        if not isinstance(value, list) or len(value) not in lengths:
            wanted = f"{lengths[0]} to {lengths[-1]}" if isinstance(lengths, range) else " or ".join(map(str, lengths))
            raise ValueError(f"{field} is {shown(value)}, but should be a list of {wanted}")
        return [check(each, f"{field}[{i}]") for i, each in enumerate(value)]

    return of_list


def mapping(check_key, check):
    """Returns the check for an object whose keys pass `check_key` and whose values pass `check`."""

    def of_object(value, field):
        if not isinstance(value, dict):
            raise ValueError(f"{field} is {shown(value)}, but should be an object")
        return {check_key(key, field): check(each, f"{field}.{key[:60]}") for key, each in value.items()}

    return of_object


def key_below(count, thing):
    """Returns the check for a key that is a number below `count`, as text; `thing` says what is numbered, for messages."""

    def check(key, field):
        if not (key.isascii() and key.isdigit() and len(key) < 10 and int(key) < count and str(int(key)) == key):
            raise ValueError(f"{field}: there is no {thing} {shown(key)}: they are 0 to {count - 1}")
        return key

    return check


def _is_letter(letter):
    return ord(letter) >= 32 and not 0xD800 <= ord(letter) < 0xE000  # surrogates cannot be printed


def _refuse_constant(name):
    raise ValueError(f"{name} is no number of JSON")


def _without_repetition(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same field twice")
    return found
