"""Laws of sharing out a set of images; what several processes make of it is tested in tests/evaluation."""
import numpy as np
import pytest

from oasis_jax.parallel.processes import gather, gather_rows, part_of


@pytest.mark.parametrize("total, batch_size, processes", [(10, 4, 1), (10, 4, 2), (10, 4, 3), (10, 4, 8), (500, 8, 16), (0, 4, 2)])
def test_parts_make_up_the_whole_and_are_made_of_whole_batches(total, batch_size, processes):
    parts = [part_of(total, batch_size, i, processes) for i in range(processes)]
    assert [number for part in parts for number in part] == list(range(total))
    assert all(part.start % batch_size == 0 for part in parts if part)
    batches = [-(-len(part) // batch_size) for part in parts]
    assert max(batches) - min(batches) <= 1


def test_one_process_has_everything_itself(tmp_path):
    tree = {"count": 3, "sums": np.arange(4.0)}
    assert gather(tree) == [tree]
    rows = np.random.default_rng(0).normal(size=(2500, 3)).astype(np.float32)
    with (tmp_path / "rows").open("w+b") as file:
        np.testing.assert_array_equal(gather_rows(rows, [2500], file), rows)
