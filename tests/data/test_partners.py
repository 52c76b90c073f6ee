"""Of pairs that lack a half, users learn what would make them pairs, once."""
import dataclasses
import re

import pytest

from oasis_jax.data.datasets import DataSpec, open_split
from tests.data.conftest import write_pair


def rename(root, kind, ending, split="train"):
    for path in list((root / split / kind).iterdir()):
        path.rename(path.with_name(path.stem + ending + path.suffix))


@pytest.mark.parametrize(
    "photos, labels, advice",
    [
        ("", "_mask", "7 label maps end in _mask, .*, the photos do not: set data.label_suffix=_mask$"),
        ("", "-gt.v2", r"set data.label_suffix=-gt.v2$"),
        ("_leftImg8bit", "", "7 photos end in _leftImg8bit, .*, the label maps do not: set data.photo_suffix=_leftImg8bit$"),
        ("_leftImg8bit", "_gtFine_labelIds", "set data.photo_suffix=_leftImg8bit and data.label_suffix=_gtFine_labelIds$"),
    ],
)
def test_ends_of_names_are_one_hint_and_following_it_makes_pairs(root, spec, photos, labels, advice):
    expected = [example.name for example in open_split(spec, "train").examples]
    rename(root, "photos", photos)
    rename(root, "labels", labels)
    (fault,) = open_split(spec, "train").faults
    assert re.search(advice, fault)
    fields = dict(word.removeprefix("data.").split("=") for word in fault.split("set ")[1].split(" and "))
    spec = dataclasses.replace(spec, **fields)
    split = open_split(spec, "train")
    assert [example.name for example in split.examples] == expected and not split.faults
    assert not open_split(spec, "val").faults  # whose names have no such ends


def test_a_suffix_leaves_out_what_else_lies_in_the_folder_and_says_so(root, spec):
    rename(root, "labels", "_labelIds")
    for kind in ("color", "instanceIds"):
        for i in range(7):
            write_pair(root / "other", f"pair{i}_{kind}")
        for path in (root / "other/train/labels").iterdir():
            path.rename(root / "train/labels" / path.name)
    (fault,) = open_split(spec, "train").faults
    assert fault.endswith("set data.label_suffix=_color (or another end that as many have: _labelIds, _instanceIds)")
    split = open_split(dataclasses.replace(spec, label_suffix="_labelIds"), "train")
    assert len(split) == 7 and not split.faults
    assert any("14 image files whose names do not end in _labelIds" in note for note in split.notes)
    assert split.label_files.endswith("train/labels/**/*_labelIds.*")


def test_names_that_differ_in_a_number_get_no_hint(root, spec):
    (root / "train/photos/pair1.png").rename(root / "train/photos/img_1.png")
    (root / "train/labels/pair1.png").rename(root / "train/labels/img_2.png")
    faults = open_split(spec, "train").faults
    assert len(faults) == 2 and not any("suffix" in fault for fault in faults)


def test_a_partner_of_a_type_that_is_not_read_is_named(root, spec):
    (root / "train/photos/pair1.png").rename(root / "train/photos/pair1.psd")
    (fault,) = open_split(spec, "train").faults
    assert "has no photo pair1.*" in fault and "pair1.psd, of a type that is not read" in fault


def test_all_doubles_are_faults(root, spec):
    for name in ("pair1", "pair2"):
        (root / f"train/photos/{name}.jpg").write_bytes((root / f"train/photos/{name}.png").read_bytes())
    first, second = open_split(spec, "train").faults
    assert "pair1.jpg" in first and "pair1.png" in first and "pair2.jpg" in second and "two photos of one name" in second


def test_layouts_with_names_of_their_own_give_no_hint(tmp_path):
    for kind, ending in (("leftImg8bit", "_a"), ("gtFine", "_gtFine_labelIds")):
        folder = "photos" if kind == "leftImg8bit" else "labels"
        write_pair(tmp_path / "store", "x")
        path = tmp_path / kind / "train/city" / f"x{ending}.png"
        path.parent.mkdir(parents=True)
        (tmp_path / f"store/train/{folder}/x.png").rename(path)
        if kind == "leftImg8bit":
            write_pair(tmp_path / "store", "y")
            (tmp_path / "store/train/photos/y.png").rename(path.with_name("y_leftImg8bit.png"))
    split = open_split(DataSpec(layout="cityscapes", root=str(tmp_path)), "train")
    assert len(split.faults) == 2 and not any("suffix" in fault for fault in split.faults)
