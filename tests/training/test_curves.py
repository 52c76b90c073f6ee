"""Laws of the loss curves."""
import json

import numpy as np
import pytest
from etils import epath

from oasis_jax.training.curves import Losses, loss_curve


def test_every_series_is_drawn_and_what_is_not_finite_is_skipped():
    steps = np.arange(50)
    falling = np.where(steps == 7, np.nan, np.exp(-steps / 20))
    both = loss_curve({"d": (steps, falling), "g": (steps, 0.3 + 0 * steps)}, size=(200, 120))
    assert both.shape == (120, 200, 3) and both.dtype == np.uint8
    one = loss_curve({"d": (steps, falling)}, size=(200, 120))
    assert np.any(both != one)
    np.testing.assert_array_equal(one, loss_curve({"d": (np.delete(steps, 7), np.delete(falling, 7))}, size=(200, 120)))


def test_one_point_is_drawn_and_none_is_an_error():
    loss_curve({"d": ([10], [0.5])})
    with pytest.raises(ValueError, match="no finite value"):
        loss_curve({"d": ([1, 2], [np.nan, np.inf])})


def test_a_resumed_run_keeps_the_losses_up_to_its_step_and_no_later_ones(tmp_path):
    losses = Losses(epath.Path(tmp_path), 0)
    assert losses.picture() is None
    for step in (10, 20, 30):
        losses.add(step, {"loss_g": step / 10, "di_seg": 5.0})
    losses.save()
    assert json.loads((tmp_path / "losses.json").read_text()) == {"loss_g": {"10": 1.0, "20": 2.0, "30": 3.0}}
    resumed = Losses(epath.Path(tmp_path), 20)
    assert resumed.series == {"loss_g": {10: 1.0, 20: 2.0}} and resumed.picture().ndim == 3


@pytest.mark.parametrize("content", [b"", b'{"loss_g": {"10"', b"\xff\0", b"[1]", b'{"loss_g": 3}', b'{"loss_g": {"x": 1}}'])
def test_a_damaged_file_of_curves_stops_no_run(tmp_path, capsys, content):
    (tmp_path / "losses.json").write_bytes(content)
    assert Losses(epath.Path(tmp_path), 20).series == {}
    assert "losses.json cannot be read: the loss curves begin at step 20" in capsys.readouterr().out
