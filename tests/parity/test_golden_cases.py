"""No golden number is left out silently."""
import pathlib

from goldens import golden_dir
from published import CASES, KINDS

NOT_READ = (
    # StyleGAN2, the backbone of the published EqGAN-SA, is not in this package.
    "eqgan/d_256.npz",
    "eqgan/d_small.npz",
    "eqgan/g_256.npz",
    "eqgan/g_small.npz",
    "eqgan/official_state_dict_256.json",
    "eqgan/ops.npz",
    "eqgan/snapshot_tiny.pkl",
    "eqgan/train.npz",
    # Suggestions; the tests state their own tolerances.
    "eqgan/tolerances.json",
)


def test_every_case_is_of_a_kind_that_a_test_checks():
    assert {case.entry["kind"] for case in CASES} == set(KINDS), f"{golden_dir()} has not the kinds of cases that the tests know"


def test_every_file_is_read_by_a_test():
    here = pathlib.Path(__file__)
    sources = "".join(path.read_text() for path in here.parent.glob("*.py") if path != here)
    of_cases = {case.folder / name for case in CASES for name in (case.entry["file"], "manifest.json", "state_dicts.json")}
    for path in golden_dir().rglob("*"):
        name = path.relative_to(golden_dir()).as_posix()
        if path.suffix in (".json", ".npz", ".pkl") and path not in of_cases and name not in NOT_READ:
            assert f'"{name.partition(".")[0]}' in sources, f"no test reads {name}"
