"""Schemas of JSON objects, as data that can be inspected. Each kind of value is callable, like the checks of `json_values`."""
import dataclasses
from collections.abc import Collection
from typing import Any

from oasis_jax.json_values import MAX_TEXT, checked_object, integer, mapping, number, several, shown


@dataclasses.dataclass(frozen=True)
class Whole:
    """An integer in least..most."""

    least: int
    most: int

    def __call__(self, value, field):
        """Returns the value. Like all kinds, raises ValueError, which names the field, for a value of another kind."""
        return integer(self.least, self.most)(value, field)


@dataclasses.dataclass(frozen=True)
class Real:
    """A finite number from least to most."""

    least: float
    most: float

    def __call__(self, value, field):
        """The value as a float."""
        return float(number(self.least, self.most)(value, field))


@dataclasses.dataclass(frozen=True)
class Text:
    """A text of at most `longest` characters, and one of the `choices` if these are given."""

    longest: int = MAX_TEXT
    choices: Collection[str] | None = None

    def __call__(self, value, field):
        """The value."""
        if not isinstance(value, str) or len(value) > self.longest:
            raise ValueError(f"{field} is {shown(value)}, but should be a text of at most {self.longest} characters")
        if self.choices is not None and value not in self.choices:
            some = ", ".join(list(self.choices)[:5]) + (", ..." if len(self.choices) > 5 else "")
            raise ValueError(f"{field}: {shown(value)} is not one of {some}")
        return value


@dataclasses.dataclass(frozen=True)
class Several:
    """A list of least..most values of one kind."""

    each: Any
    least: int
    most: int

    def __call__(self, value, field):
        """The values as a tuple."""
        return tuple(several(range(self.least, self.most + 1), self.each)(value, field))


@dataclasses.dataclass(frozen=True)
class Row:
    """A list of fixed length, with one kind for each position."""

    kinds: tuple[Any, ...]

    def __call__(self, value, field):
        """The values as a tuple."""
        several((len(self.kinds),), lambda each, _: each)(value, field)
        return tuple(kind(each, f"{field}[{i}]") for i, (kind, each) in enumerate(zip(self.kinds, value, strict=True)))


@dataclasses.dataclass(frozen=True)
class Named:
    """An object whose keys are among `names`, and whose values are of one kind."""

    names: Collection[str]
    each: Any

    def __call__(self, value, field):
        """The values as a dict."""
        return mapping(Text(choices=self.names), self.each)(value, field)


@dataclasses.dataclass(frozen=True)
class OrNull:
    """A value of a kind, or null."""

    kind: Any

    def __call__(self, value, field):
        """The value, or None."""
        return None if value is None else self.kind(value, field)


@dataclasses.dataclass(frozen=True)
class Record:
    """An object in which each field has its own kind.

    Attributes:
        fields: {name: kind}.
        unset: {name: value}: the optional fields and their default values.
    """

    fields: dict[str, Any]
    unset: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, value, field=""):
        """All fields as a dict."""
        checked_object(value, self.fields.keys(), self.fields.keys() - self.unset.keys(), field)
        within = f"{field}." if field else ""
        return self.unset | {name: self.fields[name](each, within + name) for name, each in value.items()}
