"""Laws of the benchmark of two defects: a lattice in generated images, and resampling that is not local."""
import sys

import numpy as np
import pytest

from benchmarks import defects
from tests.tiny_run import save_run, tiny_config

SIDE = defects.SIDE


def image_of(grey):
    return np.repeat(np.uint8(grey)[..., None], 3, axis=-1)


def test_squares_lie_in_one_class():
    label_map = np.ones((2 * SIDE, 4 * SIDE), int)
    label_map[:, 2 * SIDE :], label_map[SIDE:] = 2, 3
    label_map[0, -1] = 0
    corners = defects.squares(label_map, dontcare=3)
    assert corners.tolist() == [[0, left] for left in (0, SIDE // 2, SIDE, 2 * SIDE, 5 * SIDE // 2)]  # one has two classes, the last a hole


def test_steps_of_a_lattice_are_shared_and_those_of_texture_cancel():
    columns, rows = np.indices((SIDE, SIDE))[::-1]
    stripes, texture = image_of(100 + 40 * (columns % 2)), image_of(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE)))
    corner = np.zeros((1, 2), int)
    np.testing.assert_allclose(defects.steps(stripes, corner), [[40, 40, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(defects.steps(image_of(100 + 40 * (rows % 2)), corner), [[0, 0, 40, 40]], atol=1e-9)
    across, shared_across, along, shared_along = defects.steps(texture, corner)[0]
    assert across > 60 and along > 60 and shared_across < across / 2 and shared_along < along / 2


def test_what_is_unknown_does_not_count():
    assert defects.row(np.array([[1, np.nan, np.nan], [2, 4, np.nan]])).split() == ["1.50", "4.00", "nan"]
    assert defects.row(np.empty((0, 2))).split() == ["nan", "nan"]


def test_a_change_is_told_by_its_distance():
    before, chosen = np.zeros((4, 64, 3), np.uint8), np.zeros((4, 64), bool)
    chosen[:, :8] = True
    after = before.copy()
    after[:, :8], after[:, 8 : 8 + defects.NEAR] = 50, 20
    assert defects.change_by_distance(before, after, chosen) == [50, 20, 0]
    assert np.isnan(defects.change_by_distance(before, after, np.ones_like(chosen))[1:]).all()


def test_the_command_prints_photos_and_runs(tmp_path, monkeypatch, capsys):
    config = tiny_config()
    config.data.update(layout="scenes", num_classes=12, class_names=(), image_size=(64, 128), scenes_val=3)
    save_run(tmp_path / "run", config)
    monkeypatch.setattr(sys, "argv", ["defects", "--count=30", str(tmp_path / "run")])
    defects.main()
    _, photos, images = capsys.readouterr().out.splitlines()
    of_photos, of_images = ([float(each) for each in line.rsplit("  ")[1:] if each] for line in (photos, images))
    assert len(of_photos) == 4 and min(of_photos) > 0 and images.startswith(f"{tmp_path / 'run'}, step 5 ")
    assert len(of_images) == 7 and of_images[4] > of_images[6]  # the resampled class changes most


@pytest.mark.parametrize("args, told", [
    (["/no/such/run"], "^defects: no checkpoint at /no/such/run"),
    (["--root=/no/such/folder", "RUN"], "^defects: data.root /no/such/folder is not a folder"),
])  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(tmp_path, monkeypatch, args, told):
    save_run(tmp_path, tiny_config())
    monkeypatch.setattr(sys, "argv", ["defects", *(str(tmp_path) if arg == "RUN" else arg for arg in args)])
    with pytest.raises(SystemExit, match=told) as ended:
        defects.main()
    assert "\n" not in str(ended.value)
