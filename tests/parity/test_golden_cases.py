"""No golden number is left out silently."""
import pathlib
import re

import pytest
from goldens import BESIDE, SMALL_SET, find_cases, golden_dir, net_cases
from published import CASES, KINDS

# What a complete set holds beside the cases of oasis.
PARTS = (
    "eqgan/align.npz",
    "eqgan/d_small.npz",
    "eqgan/encoder_sel.npz",
    "eqgan/g_small.npz",
    "eqgan/heatmaps.npz",
    "eqgan/manifest.json",
    "eqgan/ops.npz",
    "eqgan/tolerances.json",
    "eqgan/train.npz",
    "eval/color_texture_hist.npz",
    "eval/deeplabv2_resnet101_msc.manifest.json",
    "eval/deeplabv2_resnet101_msc.npz",
    "eval/drn_d_105.manifest.json",
    "eval/drn_d_105.npz",
    "eval/frechet_kid_features.npz",
    "eval/inception_fid.manifest.json",
    "eval/inception_fid.npz",
    "eval/lpips_msssim.npz",
    "eval/metrics.json",
    "eval/miou_toy.npz",
    "eval/upernet101_ade20k.manifest.json",
    "eval/upernet101_ade20k.npz",
    "oasis/manifest.json",
    "oasis/state_dicts.json",
)
ANY_SPLIT = (r"eval/espnet_camvid_\w+_confusion\.json", r"eval/fd_vgg16_\w+\.json")  # of photos of CamVid
OWN = ("own/espnet.manifest.json", "own/espnet.npz", "own/vgg16.manifest.json", "own/vgg16.npz")  # of the small set alone


def golden_files(folder):
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return {name for name in names if name.endswith((".json", ".npz", ".pkl"))}


def files_of(cases, folder):
    paths = {case.folder / name for case in cases for name in (case.entry["file"], "manifest.json", "state_dicts.json")}
    return {path.relative_to(folder).as_posix() for path in paths}


def test_golden_folder_is_not_empty():
    assert golden_files(golden_dir()), f"no golden numbers in {golden_dir()}"


def test_every_case_is_of_a_kind_that_a_test_checks():
    unknown = {case.name: case.entry.get("kind") for case in CASES if case.entry.get("kind") not in KINDS}
    assert not unknown, f"cases of kinds that the tests do not know: {unknown}"


def test_every_file_is_read_by_a_test():
    here, nets = pathlib.Path(__file__), ("inception_fid", "drn_d_105", "upernet101_ade20k", "deeplabv2_resnet101_msc")
    sources = "".join(path.read_text() for path in here.parent.glob("*.py") if path != here)
    of_nets = {param for net in nets for param in net_cases(net) if isinstance(param, str)}
    for name in sorted(golden_files(golden_dir()) - files_of(CASES, golden_dir())):
        found = name.partition(".")[0] in of_nets or any(re.fullmatch(pattern, name) for pattern in ANY_SPLIT)
        assert found or f'"{name.partition(".")[0]}"' in sources or f'"{name}"' in sources, f"no test reads {name}"


@pytest.mark.parametrize("folder", [SMALL_SET, BESIDE], ids=["small", "full"])
def test_complete_sets_hold_every_part(folder):
    """Other folders may hold some parts only."""
    if folder == BESIDE and not folder.is_dir():
        pytest.skip("no full set beside the checkout")
    cases = find_cases(folder)
    assert {case.entry["kind"] for case in cases} == set(KINDS)
    missing = {*PARTS, *files_of(cases, folder), *(OWN if folder == SMALL_SET else ())} - golden_files(folder)
    assert not missing, f"{folder} lacks {sorted(missing)}"
