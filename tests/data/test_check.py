import dataclasses

import numpy as np
import pytest
from PIL import Image

from oasis_jax.data import check
from oasis_jax.data.check import check_split
from oasis_jax.data.columns import LabelMap
from oasis_jax.data.datasets import open_split
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
