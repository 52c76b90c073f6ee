"""Reads pickles as data. Their instructions are replayed into plain values and records; nothing that they name is imported or called.

`pickle.Unpickler` with a restricted `find_class` would not be enough: a few bytes can make it allocate gigabytes, or hash a key forever.
Here, time and memory grow only with the length of the file.
"""
import dataclasses
import pickletools
from typing import Any


@dataclasses.dataclass(frozen=True)
class Global:
    """An object that a pickle refers to by name: "module.name"."""

    name: str


@dataclasses.dataclass(eq=False)
class Call:
    """A call that a pickle asks for. It is recorded, never executed.

    Attributes:
        name: "module.name" of what would be called, or PERSISTENT_ID.
        args: its argument tuple, or the persistent id.
        state: what the object's attributes would be set to.
    """

    name: str
    args: Any
    state: Any = None


PERSISTENT_ID = "persistent id"
DICTS = {"collections.OrderedDict", "dnnlib.util.EasyDict"}  # subclasses of dict, which are read as dicts
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_VALUES |= {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}


def replay(stream, allowed, max_instructions):
    """Returns the value of the pickle at the current position of a binary stream, and leaves the stream at the end of the pickle.

    Args:
        stream: a file or io.BytesIO.
        allowed: names "module.name" that the pickle may contain. A name becomes a `Global`; a call of it becomes a `Call`, or a dict if
            the name is one of DICTS. Keys of dicts must be str or int.
        max_instructions: longer pickles are refused.

    Raises:
        ValueError: the pickle is truncated or damaged, or has a name or instruction that is not allowed. The message omits the file.
    """
    stack, marks, memo = [], [], {}
    try:
        for count, (opcode, value, _) in enumerate(pickletools.genops(stream)):
            if count >= max_instructions:
                raise ValueError(f"it has more than {max_instructions} pickle instructions")
            if opcode.name in _VALUES:
                stack.append(value)
            elif opcode.name in _CONSTANTS:
                stack.append(_CONSTANTS[opcode.name])
            else:
                _step(opcode.name, value, stack, marks, memo, allowed)
        return stack.pop()
    except (LookupError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise ValueError(f"it is damaged ({type(error).__name__} in its pickle instructions)") from error


def _step(name, value, stack, marks, memo, allowed):
    """Executes one instruction that does more than push a value. Stack errors raise Python's own exceptions."""
    match name:
        case "PROTO" | "FRAME" | "STOP":
            pass
        case "MARK":
            marks.append(len(stack))
        case "EMPTY_DICT":
            stack.append({})
        case "EMPTY_LIST":
            stack.append([])
        case "EMPTY_TUPLE":
            stack.append(())
        case "EMPTY_SET":
            stack.append(Call("builtins.set", ([],)))
        case "TUPLE":
            stack.append(tuple(_cut(stack, marks.pop())))
        case "TUPLE1" | "TUPLE2" | "TUPLE3":
            stack.append(tuple(_cut(stack, -int(name[-1]))))
        case "APPEND":
            item = stack.pop()
            stack[-1].append(item)
        case "APPENDS":
            items = _cut(stack, marks.pop())
            stack[-1].extend(items)
        case "ADDITEMS":
            items = _cut(stack, marks.pop())
            stack[-1].args[0].extend(items)
        case "SETITEM":
            _set_items(_cut(stack, -2), stack[-1])
        case "SETITEMS":
            _set_items(_cut(stack, marks.pop()), stack[-1])
        case "BINPUT" | "LONG_BINPUT":
            memo[value] = stack[-1]
        case "MEMOIZE":
            memo[len(memo)] = stack[-1]
        case "BINGET" | "LONG_BINGET":
            stack.append(memo[value])
        case "GLOBAL":
            stack.append(_find(*value.split(" ", 1), allowed))
        case "STACK_GLOBAL":
            stack.append(_find(*_cut(stack, -2), allowed))
        case "REDUCE" | "NEWOBJ":
            function, args = _cut(stack, -2)
            if not isinstance(function, Global) or not isinstance(args, tuple):
                raise ValueError("it calls something that is not a name")
            stack.append({} if function.name in DICTS and not args else Call(function.name, args))
        case "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], Call):
                raise ValueError("it sets attributes of something that is not an object")
            stack[-1].state = state
        case "BINPERSID":
            stack.append(Call(PERSISTENT_ID, stack.pop()))
        case _:
            raise ValueError(f"it has the pickle instruction {name}, which files of this kind do not use")


def _cut(stack, start):
    """Removes and returns the end of the stack."""
    if not -len(stack) <= start <= len(stack):
        raise IndexError
    items = stack[start:]
    del stack[start:]
    return items


def _set_items(items, target):
    if not isinstance(target, dict) or len(items) % 2:
        raise TypeError
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int):  # hashing nested tuples that repeat the same tuple takes exponential time
            raise ValueError(f"it has a {type(key).__name__} as a key")
        target[key] = value


def _find(module, name, allowed):
    full = f"{module}.{name}"
    if full not in allowed:
        raise ValueError(f"refuses {full[:200]}: files of this kind do not refer to it")
    return Global(full)
