"""For photos and label maps without a partner, users are told once what would make them pairs."""
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
        ("", "mask", "7 label maps end in mask, .*: set data.label_suffix=mask$"),
        ("Photo", "", "set data.photo_suffix=Photo$"),
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
    assert not open_split(spec, "val").faults  # its names have no such suffixes


def test_a_suffix_leaves_out_what_else_lies_in_the_folder_and_says_so(root, spec):
    rename(root, "labels", "_labelIds")
    for kind in ("color", "instanceIds"):
        for i in range(7):
            write_pair(root / "other", f"pair{i}_{kind}")
        for path in (root / "other/train/labels").iterdir():
            path.rename(root / "train/labels" / path.name)
    (fault,) = open_split(spec, "train").faults
    assert fault.endswith("set data.label_suffix=_color (or another suffix that fits as many: _labelIds, _instanceIds)")
    split = open_split(dataclasses.replace(spec, label_suffix="_labelIds"), "train")
    assert len(split) == 7 and not split.faults
    assert any("14 image files whose names do not end in _labelIds" in note for note in split.notes)
    assert split.label_files.endswith("train/labels/**/*_labelIds.*")


def test_names_that_differ_in_a_number_get_no_hint(root, spec):
    (root / "train/photos/pair1.png").rename(root / "train/photos/img_1.png")
    (root / "train/labels/pair1.png").rename(root / "train/labels/img_2.png")
    faults = open_split(spec, "train").faults
    assert len(faults) == 2 and not any("suffix" in fault for fault in faults)


def test_names_that_differ_in_upper_and_lower_case_are_one_hint(root, spec):
    for path in list((root / "train/labels").iterdir()):
        path.rename(path.with_name(path.name.capitalize()))
    (fault,) = open_split(spec, "train").faults
    assert re.search(r"^7 photos and label maps .* differ only in case, such as .*/pair0.* and .*/Pair0.*: rename", fault)
    (root / "train/photos/pair1.png").unlink()
    first, second = open_split(spec, "train").faults
    assert first.startswith("6 photos and label maps") and "Pair1.png has no photo Pair1.*" in second


def test_a_partner_of_a_type_that_is_not_read_is_named(root, spec):
    (root / "train/photos/pair1.png").rename(root / "train/photos/pair1.psd")
    (fault,) = open_split(spec, "train").faults
    assert "has no photo pair1.*" in fault and "pair1.psd, of a type that is not read: save it as one of .jpg .jpeg " in fault


def test_all_doubles_are_faults(root, spec):
    for name in ("pair1", "pair2"):
        (root / f"train/photos/{name}.jpg").write_bytes((root / f"train/photos/{name}.png").read_bytes())
    first, second = open_split(spec, "train").faults
    assert "pair1.jpg" in first and "pair1.png" in first and "pair2.jpg" in second and "two photos with the same name" in second


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


def pairs(root, names, photo="{}", label="{}"):
    """[faults of the training split, faults of the validation split] of a data set with these training pairs and one validation pair."""
    for split, each in (("train", names), ("val", ["bonn_000000_000019"])):
        for name in each:
            write_pair(root, name, split)
            for kind, form in (("photos", photo), ("labels", label)):
                path = root / split / kind / f"{name}.png"
                path.rename(path.with_name(f"{form.format(name)}.png"))
    return [open_split(DataSpec(root=str(root), num_classes=6), split).faults for split in ("train", "val")]


def test_a_single_pair_gets_the_hint_that_the_names_of_both_splits_give(tmp_path):
    for (fault,) in pairs(tmp_path, ["aachen_000000_000007"], "{}_leftImg8bit", "{}_gtFine_labelIds"):
        assert fault.endswith("set data.photo_suffix=_leftImg8bit and data.label_suffix=_gtFine_labelIds")


@pytest.mark.parametrize("photo, label, found", [
    ("{}", "label_{}", "label maps begin with label_, such as .*label_.*, the photos do not"),
    ("photo_{}", "label_{}", "photos begin with photo_, .* label maps begin with label_, "),
    ("img{}", "{}", "photos begin with img, "),
])  # fmt: skip
@pytest.mark.parametrize("names", [["0001"], ["0001", "0002", "0003"]])
def test_beginnings_of_names_are_one_hint_too_though_no_field_leaves_them_out(tmp_path, names, photo, label, found):
    (fault,), _ = pairs(tmp_path, names, photo, label)
    assert re.search(f"{len(names)} {found}.*: rename them so that both files of a pair have the same name", fault)
    assert "data." not in fault


@pytest.mark.parametrize("label", ["{}mask", "{}Mask", "{}.mask"])
def test_ends_that_words_run_into_are_found(tmp_path, label):
    (fault,), (other,) = pairs(tmp_path, ["cat", "dog"], label=label)
    assert fault.endswith(f"data.label_suffix={label[2:]}") and other.endswith(f"data.label_suffix={label[2:]}")


def test_ends_that_shells_would_split_are_quoted(tmp_path):
    assert pairs(tmp_path, ["cat", "dog"], label="{} (1)")[0][0].endswith("data.label_suffix=' (1)'")


def test_an_end_that_only_some_names_have_is_to_be_left_out_of_them(root, spec):
    (root / "train/labels/pair3.png").rename(root / "train/labels/pair3_mask.png")
    (fault,) = open_split(spec, "train").faults  # with a suffix, the other label maps would be skipped
    assert re.search("1 label maps end in _mask, such as .*pair3_mask.png.*: leave it out of their names, as in the 6 other pairs$", fault)


@pytest.mark.parametrize("photos, labels", [(["1", "2"], ["91", "92"]), (["a1", "a2"], ["b7", "c8"]), (["a"], ["b"])])
def test_names_that_have_nothing_in_common_get_no_hint(tmp_path, photos, labels):
    for photo, label in zip(photos, labels, strict=True):
        write_pair(tmp_path, photo)
        (tmp_path / f"train/labels/{photo}.png").rename(tmp_path / f"train/labels/{label}.png")
    faults = open_split(DataSpec(root=str(tmp_path), num_classes=6), "train").faults
    assert len(faults) == 2 * len(photos) and all(" has no " in fault for fault in faults)


def test_doubles_that_print_alike_are_told_apart(root, spec):
    for name in ("\u00e9", "e\u0301"):
        (root / f"train/photos/{name}.png").write_bytes((root / "train/photos/pair1.png").read_bytes())
    (root / "train/labels/\u00e9.png").write_bytes((root / "train/labels/pair1.png").read_bytes())
    (fault,) = open_split(spec, "train").faults
    assert r"photos/e\u0301.png and " in fault and r"photos/\xe9.png are two photos with the same name" in fault
