"""No golden case is left out silently."""
import pytest
from goldens import golden_dir
from published import CASES, KINDS, OTHERS


@pytest.mark.parametrize("name", [case.name for case in CASES if case.entry.get("kind") not in KINDS] + OTHERS)
def test_cases_of_unknown_kinds(name):
    pytest.skip(f"{name}: nothing here knows this kind of golden case yet")


def test_golden_cases_are_found():
    assert any(case.entry.get("kind") in KINDS for case in CASES), f"no golden case of a known kind in {golden_dir()}"
