"""Parses an optimised XLA program from the text that the compiler dumps."""
import dataclasses
import functools
import math
import re

BYTES = {"s4": 0.5, "u4": 0.5, "f8e4m3fn": 1, "f8e5m2": 1, "pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2}
BYTES |= {"s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16}

_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](?:\{([^{}]*)\})?")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r"([\w\-]+)\(")


@dataclasses.dataclass(frozen=True, slots=True)
class Array:
    """An array and its layout in memory.

    Attributes:
        dtype: in XLA's notation, such as "bf16".
        dims: sizes.
        held: bytes including the padding of its tiles.
        on_chip: whether it is in on-chip memory instead of the main memory.
    """

    dtype: str
    dims: tuple[int, ...]
    held: float
    on_chip: bool

    @property
    def size(self):
        """Bytes without padding."""
        return math.prod(self.dims) * BYTES[self.dtype]


@functools.lru_cache(maxsize=100_000)
def arrays(text):
    """A tuple of the Arrays in the text of a type or a tuple type; tokens and opaque values have none."""
    return tuple(_array(*match.groups()) for match in _ARRAY.finditer(text) if match[1] in BYTES)


def _array(dtype, sizes, layout):
    dims, layout = tuple(int(size) for size in sizes.split(",") if size), layout or ""
    padded, tile = list(dims), re.search(r"T\(([\d,]+)\)", layout)
    order = [int(axis) for axis in layout.split(":")[0].split(",") if axis.isdecimal()]
    for axis, side in zip(order, reversed(tile[1].split(",") if tile else ()), strict=False):  # both start at the minor-most axis
        padded[axis] = math.ceil(padded[axis] / int(side)) * int(side)
    space = re.search(r"S\((\d+)\)", layout)
    return Array(dtype, dims, math.prod(padded) * BYTES[dtype], bool(space and int(space[1])))


@dataclasses.dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction of a computation.

    Attributes:
        name, opcode: as XLA writes them.
        type: text of the type of its result.
        arguments: text between the parentheses.
        operands: names of its operands.
        attributes: text after the parentheses.
        op_name: path of scopes of the JAX program; "" where the compiler has added the instruction.
        root: whether its result is that of its computation.
    """

    name: str
    opcode: str
    type: str
    arguments: str
    operands: tuple[str, ...]
    attributes: str
    op_name: str
    root: bool

    @property
    def results(self):
        """The Arrays of its result."""
        return arrays(self.type)

    def called(self, attribute):
        """Names of the computations in an attribute; () if the instruction lacks the attribute."""
        match = re.search(rf"\b{attribute}=(?:{{([^}}]*)}}|%?([\w.\-]+))", self.attributes)
        return tuple(name.strip().removeprefix("%") for name in (match[1] or match[2]).split(",")) if match else ()


@dataclasses.dataclass(frozen=True)
class Program:
    """{name: computation}, each {name: Instruction} in the order of execution, and the name of the entry computation."""

    computations: dict[str, dict[str, Instruction]]
    entry: str


def parse(lines):
    """Parses the Program from an iterable of text lines.

    Raises:
        ValueError: the text has no entry computation.
    """
    computations, current, entry = {}, None, ""
    for line in lines:
        line = line.rstrip()
        if current is None:
            if match := _COMPUTATION.match(line):
                current = computations[match[2]] = {}
                entry = match[2] if match[1] else entry
        elif line.startswith("}"):
            current = None
        elif match := _INSTRUCTION.match(line):
            instruction = _instruction(match[2], match[3], bool(match[1]))
            for operand in instruction.operands:
                if "#" in operand and operand not in current:
                    current[operand] = _element(operand, current)
            current[instruction.name] = instruction
    if not entry:
        raise ValueError("the text is not an XLA program: it has no ENTRY")
    return Program(computations, entry)


def _instruction(name, text, root):
    end = _closing(text, 0) + 1 if text.startswith("(") else text.index(" ")
    opcode = _OPCODE.match(text, end + 1)
    close = _closing(text, opcode.end() - 1)
    arguments, attributes = text[opcode.end() : close], text[close + 1 :]
    op_name = re.search(r'op_name="([^"]*)"', attributes)
    # In some dumps, operands are written with their types, whose layouts contain commas. Names follow a percent sign.
    operands = re.findall(r"%([\w.\-]+(?:#\d+)*)", arguments)
    return Instruction(name, opcode[1], text[:end], arguments, tuple(operands), attributes, op_name[1] if op_name else "", root)


def _element(name, computation):
    """The get-tuple-element that newer compilers leave out: `%tuple#2` is element 2 of the result of `%tuple`."""
    whole, _, number = name.rpartition("#")
    given = computation[whole] if whole in computation else _element(whole, computation)
    return Instruction(name, "get-tuple-element", _types(given.type)[int(number)], f"%{whole}", (whole,), f", index={number}", "", False)


def _types(text):
    """The element types of a tuple type; nested tuples are not split."""
    found, depth, start = [], 0, 1
    for match in re.compile(r"[()\[\]{},]").finditer(text):
        depth += (match[0] in "([{") - (match[0] in ")]}")
        if (match[0] == "," and depth == 1) or not depth:
            found.append(text[start : match.start()].strip())
            start = match.end()
    return found


def _closing(text, start):
    """Index of the parenthesis that closes the one at `start`."""
    depth = 0
    for match in re.compile(r"[()]").finditer(text, start):
        depth += 1 if match[0] == "(" else -1
        if not depth:
            return match.start()
    raise ValueError(f"unbalanced parentheses: {text[:100]}")
