"""Reads text files written by people: UTF-8, UTF-16 or UTF-32, any line ends, comments and blank lines."""
import codecs
import re

from oasis_jax.data.labels import DataError
from oasis_jax.files import expanded, regular

_LINE_END = re.compile("\r\n|\r|\n")  # of Unix, Windows and the old Mac OS; str.splitlines would also split names at rarer characters
_COMMENT = re.compile("#")
# UTF-32 comes before UTF-16, because the little-endian mark of UTF-32 begins with that of UTF-16.
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"))
_MARKS += ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def read_lines(path, field, wanted, comment=_COMMENT) -> list[tuple[int, str]]:
    """Returns [(line number from 1, stripped line)] of a text file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Blank lines and comments are left out.

    Args:
        path: any path etils.epath knows; `~` works.
        field: what the file is called in messages, such as "data.palette".
        wanted: what the file should hold, for messages.
        comment: pattern that matches the beginning of a comment line.

    Raises:
        DataError: the file cannot be read or is in another encoding; names the file and the first line that cannot be decoded.
    """
    try:
        data = regular(expanded(path)).read_bytes()
    except OSError as error:
        raise DataError(f"{field} {path} cannot be read ({error}): name a text file with {wanted}") from error
    mark, encoding = next(((mark, encoding) for mark, encoding in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    data = data[len(mark) :]
    if not mark and b"\0" in data:
        raise DataError(f"{path} is a binary file, or UTF-16 without a byte order mark: save it as UTF-8, with {wanted}")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding)
        raise DataError(
            f"{path} line {len(_LINE_END.split(before))} is not {encoding.upper()} ({_shown(data, error.start)}), perhaps Latin-1 "
            "or Windows-1252: save the file as UTF-8"
        ) from None
    unmarked = text.replace("\ufeff", "")  # concatenated files contain further marks
    lines = ((number, line.strip()) for number, line in enumerate(_LINE_END.split(unmarked), 1))
    return [(number, line) for number, line in lines if line and not comment.match(line)]


def _shown(data, place):
    """Returns the undecodable byte and its neighbours, decoded as Latin-1."""
    return ascii(data[max(place - 10, 0) : place + 5].decode("latin-1"))
