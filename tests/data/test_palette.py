import codecs
import os

import numpy as np
import pytest
from PIL import Image

from oasis_jax.data.labels import DataError, LabelRule, read_label_map
from oasis_jax.data.palette import as_field, of_field, palette_of, palette_of_run, palette_text, read_palette

COLOURS = [[20, 20, 20], [200, 60, 40], [40, 160, 60]]
NAMES = ("void", "Straße am Fluß", "3d lane #2")
LINES = [" ".join(map(str, colour)) + f" {name}" for colour, name in zip(COLOURS, NAMES, strict=True)]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("mark, encoding", [
    (b"", "utf-8"), (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
])  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_unicode_encoding_and_any_line_ends_hold_the_same_palette(tmp_path, mark, encoding, end):
    path = write(tmp_path / "p.txt", mark + end.join(["# classes", "", *LINES, ""]).encode(encoding))
    colours, names = read_palette(path)
    assert colours.tolist() == COLOURS and names == NAMES


@pytest.mark.parametrize("line", [
    "20\t20\t20\troad", "20,20,20,road", "20, 20, 20, road", " 20 , 20 ; 20 ;road ", '20;20;20;"road"', "20 20  20   road # grey",
    "\ufeff20 20 20 road #grey", "\u00a020\u00a020 20 road",
])  # fmt: skip
def test_values_are_separated_by_blanks_tabs_commas_or_semicolons(tmp_path, line):
    colours, names = read_palette(write(tmp_path / "p.txt", line))
    assert colours.tolist() == [[20, 20, 20]] and names == ("road",)


def test_a_class_without_name_is_called_by_its_id(tmp_path):
    assert read_palette(write(tmp_path / "p.txt", "0 0 0 void\n\n255 0 0 red, wide car\n0 0 255\n1 1 1 # a comment\n"))[1] == (
        *("void", "red, wide car"),
        *("2", "3"),
    )


@pytest.mark.parametrize("line, fault", [
    ("1 2", "write R G B name"),
    ("1 2 256 x", "whole numbers 0..255"),
    ("-1 2 3 x", "whole numbers 0..255"),
    ("0.5 0.1 1.0 x", "whole numbers 0..255"),
    ("² 1 1 x", "whole numbers 0..255"),
    ("road 1 1 1", "whole numbers 0..255"),
    ("ff0000 x", "hexadecimal"),
    ("#c83c28 house", r"hexadecimal colours are not read: if it is one, write 200 60 40 house; if it is a comment, write a blank after #"),
    ("#0f8 house", r"hexadecimal .* write 0 255 136 house; if it is a comment, write a blank after #"),
    ("200 60 house", r"whole numbers 0\.\.255$"),
    ("20 20 20 255 road", "fourth number"),
    ("20,20,20,1.0", "fourth number"),
    ("1 20 20 20 road", "fourth number"),
    ("9 9 9 x", "repeats the colour 9 9 9 of line 1"),
    ("20 20 20\u200b road", r'is "20 20 20\\u200b road" .invisible characters, .* remove them.: .*whole numbers 0..255'),
    ("\u206020 20 20 road", r'is "\\u206020 20 20 road" .invisible characters'),
    ("\uff12\uff10 20 20 road", r'is "\\uff12\\uff10 20 20 road" .invisible characters, .* look like others'),
    ("20 20 20 \u200b255 road", r'is "20 20 20 \\u200b255 road", which has a fourth number'),
])  # fmt: skip
def test_a_line_that_says_something_else_is_named(tmp_path, line, fault):
    with pytest.raises(DataError, match=rf"p\.txt line 3 .*{fault}"):
        read_palette(write(tmp_path / "p.txt", f"9 9 9 void\n\n{line}\n"))


@pytest.mark.parametrize("content, fault", [
    ("\n".join(LINES).encode("latin-1"), r"line 2 is not UTF-8 \('60 40 Stra\\xdfe am.*Latin-1.*save the file as UTF-8"),
    ("\n".join(LINES).encode("utf-16-le"), "UTF-16 without a byte order mark"),
    ("\n".join(LINES).encode("utf-16")[:-1], "line 3 is not UTF-16"),
    (b"\x89PNG\r\n\x1a\n\0\0", "binary"),
    (b"", "holds no colours"),
    (b"#c83c28 house\n", "line 1 .*write 200 60 40 house"),
    (b"#roads and cars, #a road, #1234567 roads and # 141414\n", "lines that begin with # are comments"),
])  # fmt: skip
def test_a_file_that_is_no_text_is_named_with_the_line(tmp_path, content, fault):
    with pytest.raises(DataError, match=rf"p\.txt.*{fault}"):
        read_palette(write(tmp_path / "p.txt", content))
    with pytest.raises(DataError, match="none.txt cannot be read"):
        read_palette(tmp_path / "none.txt")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(DataError, match="data.palette .* cannot be read .it is no regular file.: name a text file"):
            read_palette(path)


def test_a_run_holds_its_colours_and_needs_the_file_no_more(tmp_path):
    path = write(tmp_path / "p.txt", "\n".join(LINES))
    held = as_field(read_palette(path)[0])
    assert of_field(list(held)).tolist() == COLOURS and of_field(()) is None
    moved = path.rename(tmp_path / "moved [1].txt")
    for place in (path, moved, ""):
        assert palette_of(place, held)[0].tolist() == COLOURS
    with pytest.raises(DataError, match="cannot be read"):
        palette_of(path, ())


@pytest.mark.parametrize("change, message", [
    (lambda lines: [lines[0], lines[2], lines[1]], "id 1 was 200 60 40 and is 40 160 60; id 2 was 40 160 60 and is 200 60 40"),
    (lambda lines: lines[:2], "there were 3 colours and are 2"),
    (lambda lines: [*lines, "1 1 1 new"], "there were 3 colours and are 4"),
])  # fmt: skip
def test_a_file_with_other_colours_than_the_run_is_refused_with_what_changed(tmp_path, change, message):
    path = write(tmp_path / "p.txt", "\n".join(LINES))
    held = as_field(read_palette(path)[0])
    write(path, "\n".join(change(LINES)))
    with pytest.raises(DataError, match=rf"p\.txt does not hold the colours that the run began with: {message}"):
        palette_of(path, held)
    assert palette_of_run({"palette": str(path), "palette_colours": held}).tolist() == COLOURS


def test_a_run_of_before_reads_its_palette_file_and_without_it_ids_alone(tmp_path):
    path = write(tmp_path / "p.txt", "\n".join(LINES))
    assert palette_of_run({"palette": str(path)}).tolist() == COLOURS
    path.unlink()
    with pytest.warns(UserWarning, match=r"RGB label maps cannot be read: .*p\.txt cannot be read"):
        rule = LabelRule(3, palette=palette_of_run({"palette": str(path)}))
    Image.fromarray(np.array([[0, 2]], np.uint8)).save(tmp_path / "ids.png")
    assert read_label_map(tmp_path / "ids.png", rule).tolist() == [[0, 2]]


def test_colours_that_no_run_has_written_are_refused():
    for field in (("1 2",), ("1 2 300",), "1 2 3", (1, 2)):
        with pytest.raises(DataError, match="data.palette_colours is .*give data.palette"):
            of_field(field)


def test_a_palette_that_is_written_is_read_again(tmp_path):
    colours = [[i, 0, 0] for i in range(8)]
    names = ("sky", "1", "Straße am Fluß", "lane #2", "7 up", "a # b", '"quoted"', "two\nlines")
    found, read = read_palette(write(tmp_path / "p.txt", palette_text(colours, names)))
    assert found.tolist() == colours
    assert read == ("sky", "1", "Straße am Fluß", "lane #2", "class 7 up", "a no. b", "quoted", "two lines")
