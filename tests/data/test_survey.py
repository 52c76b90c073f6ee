import json

import numpy as np
import pytest
from etils import epath
from PIL import Image

from oasis_jax.data.check import check_split
from oasis_jax.data.datasets import open_split
from oasis_jax.data.decode import is_decoded_here, jpeg_photo, png_ids
from oasis_jax.data.labels import DataError
from oasis_jax.data.survey import Survey, recalled, shortened
from oasis_jax.training.setup import FOUND, tell


def make_survey(pixels, dontcare_id=-1, **facts):
    pixels = np.asarray(pixels)
    names = tuple(f"name{i}" for i in range(len(pixels)))
    return Survey(9, pixels, None, (pixels > 0) * 3, class_names=names, dontcare_id=dontcare_id, **facts)


def test_the_check_counts_the_images_that_hold_each_class(root, spec, tmp_path):
    Image.fromarray(np.full((24, 32), 3, np.uint8)).save(root / "train/labels/pair0.png")
    split = open_split(spec, "train")
    maps = [split.read(i)["label_map"] for i in range(7)]
    expected = [sum((ids == number).any() for ids in maps) for number in range(6)]
    first = check_split(split, spec, tmp_path / "run")
    assert first.images.tolist() == expected
    again = check_split(split, spec, tmp_path / "run")
    assert again.as_text(whole=True) == first.as_text(whole=True) and "train: 7 examples" in first.as_text()


def test_the_table_has_shares_marks_dont_care_and_names_absent_classes():
    survey = make_survey([25, 0, 75, 0], dontcare_id=0)
    assert [row["class"] for row in survey.rows] == ["name2", "name0", "name1", "name3"]
    text = survey.as_text()
    assert "name2   75.000 %        3" in text and "name0   25.000 %        3  don't care" in text
    assert "classes that are absent (2 of 4): 1 name1, 3 name3" in text and len(text.splitlines()) == 5
    assert survey.as_text(whole=True).count("absent") == 3


def test_only_the_largest_the_rarest_and_dont_care_are_shown_of_many_classes():
    survey = make_survey([0] * 40 + list(range(1, 151)), dontcare_id=100)
    text = survey.as_text()
    assert len(text.splitlines()) < 26 and all(f" name{i} " in text for i in (189, 180, 40, 47, 100)) and " name120 " not in text
    assert "(40 of 190): 0 name0, 1 name1" in text and "and 30 more" in text
    assert all(f" name{i} " in survey.as_text(whole=True) for i in range(190))
    assert shortened(survey.rows[:24]) == survey.rows[:24]


def test_a_survey_is_the_same_from_memory():
    survey = make_survey([1, 2], notes=("skipped in x: 1 hidden file",))
    facts = {name: getattr(survey, name) for name in ("num_examples", "split", "class_names", "dontcare_id", "notes")}
    again = recalled(json.loads(json.dumps(survey.as_memory())), **facts)
    assert again.as_text() == survey.as_text() and (again.pixels == survey.pixels).all()


def test_turned_and_slowly_decoded_files_are_counted(root, spec):
    folder = root / "train/photos"
    (folder / "pair0.png").unlink()
    turn = Image.Exif()
    turn[0x0112] = 3
    Image.new("RGB", (32, 24)).save(folder / "pair0.jpg", exif=turn)
    (folder / "pair1.png").unlink()
    Image.new("RGB", (32, 24)).save(folder / "pair1.jpg")
    Image.fromarray(np.zeros((24, 32), np.uint16)).save(root / "train/labels/pair2.png")
    text = check_split(open_split(spec, "train"), spec).as_text()
    assert "1 of 7 photos are turned or mirrored by their EXIF" in text
    assert "6 of 7 photos are decoded by Pillow" in text
    assert "1 of 7 label maps are decoded by Pillow" in text


def test_of_photos_alone_nothing_is_said_of_label_maps(root, spec, monkeypatch):
    turn = Image.Exif()
    turn[274] = 6
    Image.new("RGB", (32, 24)).save(root / "train/photos/pair0.png", exif=turn)
    split = open_split(spec, "train", ("image",))
    text = check_split(split, spec).as_text()
    assert "1 of 7 photos are turned" in text and "label map" not in text
    (root / "train/photos/pair1.png").write_bytes(b"")
    Image.new("RGB", (64, 64)).save(root / "train/photos/pair2.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 32)
    with pytest.raises(DataError, match="(?s)pair1.*pair2.png has too many pixels") as error:
        check_split(split, spec)
    assert "label map" not in str(error.value) and "pair of" not in str(error.value) and "partner" not in str(error.value)


def test_what_is_told_is_in_the_workdir_too(spec, tmp_path, capsys):
    surveys = [check_split(open_split(spec, name), spec) for name in ("train", "val")]
    capsys.readouterr()
    tell(epath.Path(tmp_path), *surveys)
    *printed, last = capsys.readouterr().out.splitlines()
    assert [line for line in (tmp_path / FOUND).read_text().splitlines() if line] == printed and str(tmp_path / FOUND) in last


def test_photos_alone_have_notes_and_no_table(root, spec):
    survey = check_split(open_split(spec, "train", ("image",)), spec)
    lines = survey.as_text().splitlines()
    assert survey.rows == [] and len(lines) == 2 and lines[1].startswith("  7 of 7 photos are decoded by Pillow")


@pytest.mark.parametrize("name, mode, options", [
    ("plain.jpg", "RGB", {}), ("grey.JPEG", "L", {}), ("exif.jpg", "RGB", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
    ("comment.jpg", "RGB", {"comment": b"x"}), ("png_inside.jpg", "RGB", {"format": "PNG"}), ("photo.png", "RGB", {}),
    ("ids.png", "L", {}), ("palette.png", "P", {}), ("wide.png", "I;16", {}), ("two.png", "1", {}), ("ids.bmp", "L", {}),
])  # fmt: skip
def test_a_file_is_called_slow_if_and_only_if_tensorflow_leaves_it_to_pillow(tmp_path, name, mode, options):
    path = tmp_path / name
    Image.new(mode, (8, 8)).save(path, **options)
    for column, decoder, endings in (("image", jpeg_photo, (".jpg", ".jpeg")), ("label_map", png_ids, (".png",))):
        asked = str(path) if name.lower().endswith(endings) else ""
        assert is_decoded_here(column, str(path), path.read_bytes()) == (len(decoder(asked)) > 0)
