"""All image files below a folder are listed, also those behind links, and what is skipped is reported."""
import os

import numpy as np
import pytest
from PIL import Image

from oasis_jax.data.check import check_split
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.image_files import DataError
from oasis_jax.data.listing import list_images, sort_out
from tests.closed_folder import close_folder
from tests.data.conftest import write_pair


def write(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(root / path, "PNG")


def test_links_to_folders_and_files_are_followed(tmp_path):
    write(tmp_path, "store/deep/a.png", "b.png", "root/c.png")
    (tmp_path / "root/linked").symlink_to(tmp_path / "store")
    (tmp_path / "root/again").symlink_to("../store/deep")
    (tmp_path / "root/b.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "top").symlink_to(tmp_path / "root")
    listed = list_images(tmp_path / "top")
    assert list(listed.files) == ["again/a.png", "b.png", "c.png", "linked/deep/a.png"] and not listed.faults
    assert all(os.path.exists(path) for path in listed.files.values())


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_links_that_lead_back_end(tmp_path, target):
    write(tmp_path, "root/a.png", "root/deep/b.png")
    (tmp_path / "root/deep/back").symlink_to(target)
    (tmp_path / "root/self").symlink_to("self")
    listed = list_images(tmp_path / "root")
    assert {"a.png", "deep/b.png"} <= set(listed.files) and len(listed.files) <= 4
    assert listed.loops and len(listed.faults) == 1 and "root/self is a link to self" in listed.faults[0]


def test_copies_that_systems_hide_are_passed_over_and_said(tmp_path):
    hidden = [".ipynb_checkpoints/a.png", "@eaDir/a.png/thumb.jpg", "__MACOSX/._a.png", ".thumbnails/x.png", "deep/.git/b.png"]
    write(tmp_path, "a.png", "deep/b.JPG", "._a.png", *hidden)
    (tmp_path / ".DS_Store").write_bytes(b"")
    listed = list_images(tmp_path)
    assert list(listed.files) == ["a.png", "deep/b.JPG"] and not listed.faults and len(listed.hidden) == 6
    (note,) = listed.notes("F")
    assert note.startswith("skipped in F: 6 hidden folders and files, such as ")
    members = sort_out(["a.png", "deep/b.JPG", "._a.png", *hidden, "note.txt"])
    assert list(members.files) == list(listed.files) and len(members.hidden) == 6 and list(members.others) == ["note.txt"]


def test_a_hidden_folder_above_the_data_hides_nothing(tmp_path):
    write(tmp_path, ".cache/data/a.png")
    assert list(list_images(tmp_path / ".cache/data").files) == ["a.png"]


def test_files_of_other_types_are_counted(tmp_path):
    write(tmp_path, "a.png")
    for name in ("b.psd", "c.PSD", "d", "e.txt"):
        (tmp_path / name).write_bytes(b"")
    (note,) = list_images(tmp_path).notes("F")
    assert "4 files of other types (.psd 2, no ending 1, .txt 1)" in note


def test_a_folder_that_cannot_be_read_is_a_fault(tmp_path, monkeypatch):
    write(tmp_path, "a.png", "city/b.png")
    close_folder(monkeypatch, "city")
    listed = list_images(tmp_path)
    assert list(listed.files) == ["a.png"]
    (fault,) = listed.faults
    assert fault.startswith(f"folder {tmp_path / 'city'} cannot be read (Permission denied): correct")


def test_what_is_neither_file_nor_folder_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe")
    (fault,) = list_images(tmp_path).faults
    assert "a.png is neither a file nor a folder" in fault
    (tmp_path / "city").symlink_to("nowhere")
    assert len(list_images(tmp_path).faults) == 2


def test_a_deep_tree_is_listed(tmp_path):
    deep = tmp_path.joinpath(*"d" * 200)
    deep.mkdir(parents=True)
    write(deep, "a.png")
    assert len(list_images(tmp_path).files) == 1


def test_the_pairs_of_linked_folders_are_those_of_the_folders_themselves(tmp_path):
    for name in ("a", "b"):
        write_pair(tmp_path / "store", name)
    for kind in ("photos", "labels"):
        (tmp_path / f"root/train/{kind}").mkdir(parents=True)
        (tmp_path / f"root/train/{kind}/city").symlink_to(tmp_path / f"store/train/{kind}")
    spec = DataSpec(root=str(tmp_path / "root"), num_classes=6, image_size=(24, 32))
    split = open_split(spec, "train")
    assert [example.name for example in split.examples] == ["city/a", "city/b"]
    assert check_split(split, spec).num_examples == 2


def test_an_empty_folder_says_what_was_passed_over(tmp_path):
    write(tmp_path, ".hidden/a.png")
    (tmp_path / "a.psd").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)holds no photos.*\.hidden.*\.psd"):
        open_split(DataSpec(layout="images", root=str(tmp_path)), "train", ("image",))


@pytest.mark.parametrize("up", ["root/up", "root/deep/up", "store/up"])
def test_links_to_a_folder_above_the_listed_one_lead_back_too(tmp_path, up):
    """A link photos/up -> .. would otherwise list the label maps as photos."""
    write(tmp_path, "root/a.png", "root/deep/b.png", "labels/a.png", "store/c.png", "other/d.png")
    (tmp_path / "root/linked").symlink_to("../store")
    (tmp_path / up).symlink_to(tmp_path)
    listed = list_images(tmp_path / "root")
    assert list(listed.files) == ["a.png", "deep/b.png", "linked/c.png"] and not listed.faults
    (note,) = listed.notes("F")
    assert note.startswith("skipped in F: 1 links to a folder that holds them, such as ")


def test_folders_that_links_list_again_are_said(tmp_path):
    write(tmp_path, "root/static/a.png")
    (tmp_path / "root/camera").symlink_to("static")
    listed = list_images(tmp_path / "root")
    assert list(listed.files) == ["camera/a.png", "static/a.png"]  # one label map may belong to two photos
    assert [note.split(", such as ")[0] for note in listed.notes("F")] == ["listed twice in F: 1 folders that links lead to"]
