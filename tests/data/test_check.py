import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageFile

from oasis_jax.data import check
from oasis_jax.data.check import check_split, check_splits, open_splits, refuse_inside
from oasis_jax.data.columns import LabelMap
from oasis_jax.data.datasets import DataSpec, open_split, searched_folders
from oasis_jax.data.labels import DataError


def test_all_faults_come_in_one_report(root, spec):
    photos, labels = root / "train/photos", root / "train/labels"
    (photos / "pair0.png").unlink()
    (photos / "pair1.png").write_bytes((photos / "pair1.png").read_bytes()[:60])
    (labels / "pair2.png").write_bytes(b"")
    Image.fromarray(np.zeros((12, 16), np.uint8)).save(labels / "pair3.png")
    Image.fromarray(np.full((24, 32), 500, np.uint16)).save(labels / "pair4.png")
    (labels / "pair5.png").unlink()
    with pytest.raises(DataError) as error:
        check_split(open_split(spec, "train"), spec)
    report = str(error.value)
    assert report.startswith("6 faults in the train split")
    assert all(f"pair{i}.png" in report for i in range(6)) and "pair6" not in report
    assert "label map" in report and "32x24" in report and "16x12" in report and "holds id 500" in report


def test_a_long_report_is_cut_and_counted(root, spec, monkeypatch):
    monkeypatch.setattr(check, "_REPORTED", 2)
    for path in root.glob("train/labels/*"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="7 faults") as error:
        check_split(open_split(spec, "train"), spec)
    assert str(error.value).endswith("... and 5 more")


def test_statistics_count_the_pixels_of_each_class(spec):
    split = open_split(spec, "train")
    expected = sum(np.bincount(split.read(i)["label_map"].ravel(), minlength=6) for i in range(7))
    statistics = check_split(split, spec)
    assert statistics.num_examples == 7 and (statistics.pixels == expected).all()


def row_sums(ids):
    """A statistic that differs between a label map and its mirror image."""
    return ids[:, :4].sum(axis=1)


def test_a_statistic_is_measured_on_request_of_a_map_and_its_mirror_image(spec, tmp_path):
    split = open_split(spec, "train")
    assert check_split(split, spec, tmp_path).statistic is None
    measured = check_split(split, spec, tmp_path, row_sums).statistic
    maps = [split.read(i)["label_map"].astype(int) for i in range(7)]
    np.testing.assert_array_equal(measured, np.max([row_sums(ids[:, ::way]) for ids in maps for way in (1, -1)], axis=0))
    np.testing.assert_array_equal(check_split(split, spec, tmp_path, row_sums).statistic, measured)


def test_the_largest_statistic_is_known_beside_the_usual_one_and_remembered(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "_QUANTILE", 0.5)
    split = open_split(spec, "train")
    survey = check_split(split, spec, tmp_path, row_sums)
    of_maps = [np.maximum(row_sums(ids), row_sums(ids[:, ::-1])) for ids in (split.read(i)["label_map"].astype(int) for i in range(7))]
    np.testing.assert_array_equal(survey.largest, np.max(of_maps, axis=0))
    assert np.all(survey.statistic <= survey.largest) and np.any(survey.statistic < survey.largest)
    np.testing.assert_array_equal(check_split(split, spec, tmp_path, row_sums).largest, survey.largest)


def test_photos_alone_are_checked_too(root, spec):
    split = open_split(spec, "train", ("image",))
    survey = check_split(split, spec)
    assert (survey.num_examples, survey.pixels) == (7, None)
    (root / "train/photos/pair1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"pair1\.png cannot be read"):
        check_split(split, spec)


def test_a_clean_check_is_remembered_until_a_file_or_the_rule_changes(root, spec, tmp_path, monkeypatch):
    reads, decode = [], LabelMap.decode
    monkeypatch.setattr(LabelMap, "decode", lambda self, file: reads.append(file) or decode(self, file))

    def count_reads(spec, split="train"):
        reads.clear()
        statistics = check_split(open_split(spec, split), spec, tmp_path / "run")
        return len(reads), statistics.pixels.tolist()

    first = count_reads(spec)
    assert first[0] == 7 and count_reads(spec, "val")[0] == 3
    assert count_reads(spec) == (0, first[1]) and count_reads(spec, "val")[0] == 0
    assert count_reads(dataclasses.replace(spec, num_classes=7))[0] == 7
    assert count_reads(spec)[0] == 7
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(root / "train/labels/pair3.png")
    assert count_reads(spec)[0] == 7
    (root / "train/labels/pair3.png").write_bytes(b"")
    with pytest.raises(DataError, match="pair3"):
        count_reads(spec)
    with pytest.raises(DataError, match="pair3"):  # faults are not remembered
        count_reads(spec)


def test_a_damaged_memory_is_forgotten(spec, tmp_path):
    (tmp_path / "data_check.json").write_text('{"train": ')
    assert check_split(open_split(spec, "train"), spec, tmp_path).num_examples == 7


def report_of(spec):
    with pytest.raises(DataError) as error:
        check_splits(open_splits(spec), spec)
    return str(error.value)


def test_faults_of_all_splits_are_in_one_report_in_whatever_pair_they_are(root, spec, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 32)
    for split, number in (("train", 0), ("train", 6), ("val", 0), ("val", 2)):
        folder = root / split
        (folder / f"photos/pair{number}.png").unlink()
        (folder / f"photos/pair{number}.png").symlink_to("/nowhere/x.png")
        (folder / f"labels/pair{number}.png").write_bytes(b"")
    Image.fromarray(np.zeros((25, 32), np.uint8)).save(root / "train/labels/pair1.png")
    (root / "val/photos/pair1.jpg").write_bytes(b"")
    report = report_of(spec)
    assert report.startswith("5 faults in the train split") and "\n6 faults in the val split" in report
    assert report.count("link to /nowhere/x.png") == 4 and report.count("empty, 0 bytes") == 5
    assert report.count("too many pixels") == 1 and report.count("two photos with the same name") == 1


def test_a_split_that_cannot_be_opened_does_not_hide_the_faults_of_the_other(root, spec):
    (root / "train/photos/pair2.png").unlink()
    for path in (root / "val/labels").iterdir():
        path.unlink()
    report = report_of(spec)
    assert "val/labels holds no label maps" in report and "pair2.png has no photo" in report


def test_nothing_is_decoded_of_a_pair_of_different_sizes(root, spec, monkeypatch):
    Image.fromarray(np.zeros((999, 999), np.uint8)).save(root / "train/labels/pair3.png")
    decoded, load = [], ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: decoded.append(self.size) or load(self))
    with pytest.raises(DataError, match="is 32x24, but label map .* is 999x999: resize the label map"):
        check_split(open_split(spec, "train"), spec)
    assert decoded and set(decoded) == {(32, 24)}


@pytest.mark.parametrize("orientation", [2, 3, 6])
def test_a_turned_photo_is_said_and_never_answered_by_a_resized_label_map(root, spec, orientation):
    tags = Image.Exif()
    tags[274] = orientation
    Image.open(root / "train/photos/pair3.png").save(root / "train/photos/pair3.png", exif=tags)
    split = open_split(spec, "train")
    if orientation < 5:
        assert any("1 of 7 photos are turned" in note and "pair3.png" in note for note in check_split(split, spec).notes)
        return
    with pytest.raises(DataError, match="turned by its EXIF .orientation 6.*turn the label map likewise, or strip") as error:
        check_split(split, spec)
    assert "resize" not in str(error.value)


@pytest.mark.parametrize("upright", [True, False])
def test_exif_behind_the_pixels_of_a_photo_turns_it_before_sizes_are_compared(root, spec, upright):
    tags, photo = Image.Exif(), root / "train/photos/pair3.png"
    tags[274] = 6
    Image.open(photo).save(photo, exif=tags)
    data = photo.read_bytes()
    start, end = data.index(b"eXIf") - 4, data.index(b"IDAT") - 4
    photo.write_bytes(data[:start] + data[end:-12] + data[start:end] + data[-12:])
    if upright:  # the label map has the size of the photo as viewers show it
        Image.fromarray(np.zeros((32, 24), np.uint8)).save(root / "train/labels/pair3.png")
        assert check_split(open_split(spec, "train"), spec).pixels.sum() == 7 * 24 * 32
    else:
        assert "pair3.png is turned by its EXIF (orientation 6)" in report_of(spec)


def test_the_faults_of_both_files_of_a_pair_are_reported(root, spec):
    Image.fromarray(np.zeros((24, 32), np.float32)).save(root / "train/photos/pair2.tif")
    (root / "train/photos/pair2.png").unlink()
    (root / "train/photos/pair4.png").write_bytes(b"")
    for number in (2, 4):
        Image.fromarray(np.full((24, 32), 99, np.uint8)).save(root / f"train/labels/pair{number}.png")
    report = report_of(spec)
    assert report.startswith("4 faults")
    assert all(f"{folder}/pair{number}." in report for folder in ("photos", "labels") for number in (2, 4))


def test_a_turned_label_map_is_at_fault_and_not_its_size(root, spec):
    tags = Image.Exif()
    tags[274] = 6
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(root / "train/labels/pair3.png", exif=tags)
    report = report_of(spec)
    assert report.startswith("1 fault in") and "is turned by its own EXIF" in report and "resize" not in report


def test_label_maps_without_a_pixel_to_learn_from_are_counted_and_if_all_are_it_is_a_fault(root, spec, tmp_path):
    labels = sorted((root / "val/labels").iterdir())
    for path in labels[:2]:
        Image.fromarray(np.full((24, 32), 1, np.uint8)).save(path)
    spec = dataclasses.replace(spec, dontcare_id=1)
    for _ in range(2):  # the second survey is read from data_check.json
        survey = check_split(open_split(spec, "val"), spec, tmp_path / "run")
        assert any(note.startswith("2 of 3 label maps hold no pixel to learn from") for note in survey.notes)
    Image.fromarray(np.full((24, 32), 1, np.uint8)).save(labels[2])
    with pytest.raises(DataError, match=r"all pixels of all label maps are of class 1 \(1\), which is don't-care.*data.dontcare_id"):
        check_split(open_split(spec, "val"), spec)
    assert check_split(open_split(spec, "val"), dataclasses.replace(spec, dontcare_id=-1)).num_examples == 3


def test_pictures_are_not_written_among_the_data(root, spec, tmp_path):
    searched = searched_folders(spec)
    (tmp_path / "linked").symlink_to(root / "val")
    for inside in (root / "train/photos", root / "val/labels/run", tmp_path / "linked/photos/run/deeper"):
        with pytest.raises(DataError, match="--workdir=.*choose another --workdir"):
            refuse_inside(inside, searched, "--workdir")
    for outside in (root, root / "train", root / "train/photos_of_run", "gs://bucket/train/photos"):
        refuse_inside(outside, searched, "--workdir")


def fault_of_both(spec, columns=("image", "label_map")):
    with pytest.raises(DataError) as error:
        check_splits(open_splits(spec, columns), spec)
    return str(error.value)


def test_a_fault_that_both_splits_have_is_told_once(root, spec):
    """A missing root, a wrong field, and files that are in both splits."""
    assert fault_of_both(dataclasses.replace(spec, root=str(root / "absent"))).count("is not a folder") == 1
    assert fault_of_both(dataclasses.replace(spec, label_map="9")).count("write pairs") == 1
    (root / "train/photos/pair1.png").write_bytes(b"")
    same = dataclasses.replace(spec, val_photos=spec.train_photos, val_labels=spec.train_labels)
    assert fault_of_both(same).count("pair1.png") == 1
    photos = DataSpec(layout="images", root=str(root / "train/photos"), image_size=spec.image_size, workers=1)
    assert fault_of_both(photos, ("image",)).count("pair1.png") == 1
    (root / "train/photos/pair2.png").unlink()
    (root / "train/photos/pair2.png").symlink_to(root / "absent.png")
    report = fault_of_both(photos, ("image",))
    assert report.count("pair1.png") == report.count("pair2.png") == 1 and report.startswith("2 faults in the train split")


def test_two_folders_that_are_missing_are_both_told_with_the_faults_of_the_others(root, spec):
    (root / "val/photos/pair9.jpg").symlink_to(root / "val/photos/pair9.jpg")
    report = fault_of_both(dataclasses.replace(spec, train_photos="x", train_labels="y", val_labels="z"))
    fields = ["data.train_photos", "data.train_labels", "data.val_labels"]
    assert [line.split("=")[0] for line in report.splitlines() if "=" in line] == fields
