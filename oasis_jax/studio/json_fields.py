"""What the fields of a JSON message may be, as a schema: each kind of value checks one, and says in words what it should be."""
import dataclasses
import math
from collections.abc import Collection
from typing import Any

_SHOWN = 40  # characters of a wrong value that a message shows


class FieldError(ValueError):
    """A field that is not as its schema says; the text names it, its value, and what would be right."""


@dataclasses.dataclass(frozen=True)
class Whole:
    """An integer in least..most."""

    least: int
    most: int

    def checked(self, value, name):
        """The value; as for all kinds, raises FieldError, with the field's name, for another one."""
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value <= self.most:
            _refuse(name, value, f"an integer in {self.least}..{self.most}")
        return value


@dataclasses.dataclass(frozen=True)
class Real:
    """A finite number from least to most."""

    least: float
    most: float

    def checked(self, value, name):
        """The value as a float."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not self.least <= value <= self.most or not math.isfinite(value):
            _refuse(name, value, f"a number from {self.least} to {self.most}")
        return float(value)


@dataclasses.dataclass(frozen=True)
class Text:
    """A text of at most `longest` characters, and if there are `choices`, one of them."""

    longest: int = 200
    choices: Collection[str] | None = None

    def checked(self, value, name):
        """The value."""
        if not isinstance(value, str) or len(value) > self.longest:
            _refuse(name, value, f"a text of at most {self.longest} characters")
        if self.choices is not None and value not in self.choices:
            some = ", ".join(list(self.choices)[:5]) + (", ..." if len(self.choices) > 5 else "")
            _refuse(name, value, f"one of {some}" if self.choices else "left out")
        return value


@dataclasses.dataclass(frozen=True)
class Several:
    """A list of least..most values of one kind."""

    each: Any
    least: int
    most: int

    def checked(self, value, name):
        """The values as a tuple."""
        if not isinstance(value, list) or not self.least <= len(value) <= self.most:
            count = self.least if self.least == self.most else f"{self.least}..{self.most}"
            _refuse(name, value, f"a list of {count} values")
        return tuple(self.each.checked(each, f"{name}[{number}]") for number, each in enumerate(value))


@dataclasses.dataclass(frozen=True)
class Row:
    """A list with one value for each of some kinds."""

    kinds: tuple[Any, ...]

    def checked(self, value, name):
        """The values as a tuple."""
        if not isinstance(value, list) or len(value) != len(self.kinds):
            _refuse(name, value, f"a list of {len(self.kinds)} values")
        return tuple(kind.checked(each, f"{name}[{i}]") for i, (kind, each) in enumerate(zip(self.kinds, value, strict=True)))


@dataclasses.dataclass(frozen=True)
class Named:
    """An object whose names are among `names`, and whose values are of one kind."""

    names: Collection[str]
    each: Any

    def checked(self, value, name):
        """The values as a dict."""
        if not isinstance(value, dict):
            _refuse(name, value, "an object")
        names = Text(choices=self.names)
        return {names.checked(key, f"a name in {name}"): self.each.checked(each, f"{name}.{key}") for key, each in value.items()}


@dataclasses.dataclass(frozen=True)
class OrNull:
    """A value of a kind, or null."""

    kind: Any

    def checked(self, value, name):
        """The value, or None."""
        return None if value is None else self.kind.checked(value, name)


@dataclasses.dataclass(frozen=True)
class Record:
    """An object with fields of their own kinds.

    Attributes:
        fields: {name: kind}.
        unset: {name: value} of the fields that may be missing, and what they then are.
    """

    fields: dict[str, Any]
    unset: dict[str, Any] = dataclasses.field(default_factory=dict)

    def checked(self, value, name=""):
        """All fields as a dict."""
        prefix = f"{name}." if name else ""
        if not isinstance(value, dict):
            _refuse(name, value, f"an object with {', '.join(self.fields)}")
        if unknown := sorted(value.keys() - self.fields.keys()):
            raise FieldError(f"{prefix}{unknown[0][:_SHOWN]} is no field: there are {', '.join(self.fields)}")
        if missing := [field for field in self.fields if field not in value and field not in self.unset]:
            raise FieldError(f"{prefix}{missing[0]} is missing: give it")
        return self.unset | {field: kind.checked(value[field], prefix + field) for field, kind in self.fields.items() if field in value}


def _refuse(name, value, wanted):
    shown = repr(value)
    raise FieldError(f"{name} is {shown if len(shown) <= _SHOWN else f'{shown[:_SHOWN]}...'}, but should be {wanted}")
