"""Palette files: the colours and names of classes, and the colours as a run stores them in its config."""
import re
import warnings

import numpy as np

from oasis_jax.data.labels import DataError
from oasis_jax.data.text import read_lines
from oasis_jax.files import expanded, one_line

_WANTED = "one class per line, R G B name"
_SEPARATOR = re.compile(r"\s*[,;\s]\s*")
_COMMENT = re.compile(r"(^|\s+)#(?!\d).*")  # at the end of a line; "lane #2" is a name
_HEX = r"[0-9a-fA-F]{6}(?:[0-9a-fA-F]{2})?"  # with alpha, or without
_HEXADECIMAL = re.compile(rf"(#[0-9a-fA-F]{{3}}|#?{_HEX})(?!\w)[\s,;]*")  # "#f00" is short for "#ff0000"
_COMMENT_LINE = re.compile(rf"#(?!({_HEX}|[0-9a-fA-F]{{3}})(?!\w))")  # "#c83c28 house" is not a comment: its colour would be lost


def read_palette(path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reads a palette file, one "R G B name" per line, separated by blanks, tabs, commas or semicolons; # begins a comment.

    A class without a name is named by its id.

    Returns:
        Colours, uint8 (K, 3), all different, and K names.

    Raises:
        DataError: naming file, line and fault: values that are not whole numbers 0..255, a fourth number, a repeated colour;
            or as `text.read_lines` does.
    """
    colours, names = {}, []
    for number, line in read_lines(path, "data.palette", _WANTED, _COMMENT_LINE):
        where = f"{path} line {number}"
        *values, name = (_SEPARATOR.split(line, maxsplit=3) + [""] * 3)[:4]
        if not all(value.isascii() and value.isdigit() and int(value) < 256 for value in values):
            hint = ""
            if found := _HEXADECIMAL.match(line):
                digits = found[1].lstrip("#")
                pairs = [digits[place : place + 2] for place in (0, 2, 4)] if len(digits) > 3 else [2 * digit for digit in digits]
                meant = " ".join(str(int(pair, 16)) for pair in pairs)
                hint = f" (hexadecimal colours are not read: if it is one, write {meant} {line[found.end():]}"
                hint += "; if it is a comment, write a blank after #)" if line.startswith("#") else ")"
            if any(not sign.isprintable() or (sign.isnumeric() and not sign.isascii()) for sign in "".join(values)):
                line = line.encode("ascii", "backslashreplace").decode()
                hint = " (invisible characters, and those that look like others, are written as escapes here: remove them)"
            raise DataError(f'{where} is "{line}"{hint}: write R G B name with whole numbers 0..255')
        name = _COMMENT.sub("", name)
        if _is_number("".join(filter(str.isprintable, _SEPARATOR.split(name)[0]))):
            raise DataError(
                f'{where} is "{one_line(line)}", which has a fourth number: write R G B name, without alpha and without an id '
                "(line i, from 0, is id i), and with a name that does not begin with a number"
            )
        colour = tuple(map(int, values))
        if colour in colours:
            raise DataError(f'{where} repeats the colour {" ".join(values)} of line {colours[colour]}: every id needs its own colour')
        colours[colour] = number
        names.append(_unquoted(name) or str(len(names)))
    if not colours:
        raise DataError(f"data.palette {path} holds no colours (lines that begin with # are comments): write {_WANTED}")
    return np.asarray(list(colours), np.uint8), tuple(names)


def palette_text(colours, names) -> str:
    """Returns the text of a palette file from which `read_palette` reads these colours, uint8 (K, 3), and K names.

    Names that a palette file cannot hold are changed: "class " is put before one that begins with a number, and "# " becomes "no. ".
    """
    lines = (f"{r} {g} {b} {_written(name, i)}" for i, ((r, g, b), name) in enumerate(zip(colours, names, strict=True)))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _written(name, number):
    name = re.sub(r"(^|\s)#\s*(?!\d)", r"\1no. ", _unquoted(one_line(" ".join(name.split())).strip(",; ")))
    if name == str(number):  # the default name of a class without one
        return ""
    return f"class {name}" if name and _is_number(_SEPARATOR.split(name)[0]) else name


def palette_of(path, held) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Returns the palette of a data set: that of the palette file, or the colours of the run if there is no file.

    Args:
        path: data.palette, "" for none. If `held` is given, the file need not exist.
        held: data.palette_colours, the colours that the run stored; () for none.

    Returns:
        Colours, uint8 (K, 3), or None; and the names of the file, or ().

    Raises:
        DataError: the file does not hold the colours of the run in the same order; or as `read_palette` and `of_field` do.
    """
    colours = of_field(held)
    if not path or (colours is not None and not expanded(path).exists()):
        return colours, ()
    found, names = read_palette(path)
    if colours is not None and (changes := difference(held, as_field(found))):
        raise DataError(
            f"data.palette {path} does not hold the colours that the run began with: {changes}. Restore the file, or set data.palette to "
            "nothing (--config.data.palette=) to keep the colours of the run; a run with other colours needs another workdir"
        )
    return found, names


def palette_of_run(data) -> np.ndarray | None:
    """Returns the colours, uint8 (K, 3), of the section `data` of a checkpoint's config, or None for a run that reads only ids.

    Runs that are older than the field data.palette_colours need the palette file; without it, they can read only ids.
    """
    try:
        return palette_of("" if data.get("palette_colours") else data["palette"], data.get("palette_colours", ()))[0]
    except DataError as error:
        warnings.warn(f"RGB label maps cannot be read: {error}", stacklevel=2)
        return None


def as_field(colours) -> tuple[str, ...]:
    """Colours, uint8 (K, 3) or None, as the config field data.palette_colours: ("20 20 20", ...)."""
    return () if colours is None else tuple(" ".join(map(str, colour)) for colour in np.asarray(colours).tolist())


def of_field(field) -> np.ndarray | None:
    """The colours, uint8 (K, 3), of the field data.palette_colours; None if it is empty. Raises DataError if it holds something else."""
    try:
        colours = np.asarray([[int(value) for value in colour.split()] for colour in field], np.int64)
        if not len(field) or (colours.shape == (len(field), 3) and colours.min() >= 0 and colours.max() < 256):
            return colours.astype(np.uint8) if len(field) else None
    except (ValueError, AttributeError):
        pass
    raise DataError(f'data.palette_colours is {field}: a run writes it, such as ("20 20 20", "200 60 40"); give data.palette instead')


def difference(held, given, each="id", all_of_them="colours") -> str:
    """Describes how two palettes of `as_field`, or other values by id, differ; returns "" if they are equal.

    Args:
        held, given: values by id, before and now.
        each, all_of_them: what one value, and all values, are called in the text.
    """
    held, given = tuple(held), tuple(given)
    changes = [f"{each} {i} was {old} and is {new}" for i, (old, new) in enumerate(zip(held, given, strict=False)) if old != new]
    if len(held) != len(given):
        changes.append(f"there were {len(held)} {all_of_them} and are {len(given)}")
    return "; ".join(changes[:5]) + (f"; and {len(changes) - 5} more" if len(changes) > 5 else "")


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return text.lower() not in ("nan", "inf", "infinity")  # which are valid names


def _unquoted(name):
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'" else name
