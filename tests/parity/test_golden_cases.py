"""No golden number is left out silently."""
import json
import pathlib
import re

import numpy as np
import pytest
from goldens import BESIDE, SMALL_SET, Case, checksum, find_cases, golden_dir, make_state, net_cases
from published import CASES, KINDS, Comparison

# What a complete set holds in addition to the cases of oasis.
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
ANY_SPLIT = (r"eval/espnet_camvid_\w+_confusion\.json", r"eval/fd_vgg16_\w+\.json")  # measured on photos of CamVid
OWN = ("own/espnet.manifest.json", "own/espnet.npz", "own/vgg16.manifest.json", "own/vgg16.npz")  # in the small set only


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


def test_a_checksum_tells_weights_that_differ_in_the_last_bit_and_ignores_singular_vectors():
    state = {"a.weight_orig": np.ones((2, 3), np.float32), "a.weight_u": np.ones(2, np.float32), "b.num_batches_tracked": np.zeros((), int)}
    moved = {name: array.copy() for name, array in state.items()}
    moved["a.weight_u"][0] = 0
    assert checksum(moved) == checksum(state)
    moved["a.weight_orig"][1, 2] = np.nextafter(np.float32(1), np.float32(2))
    assert checksum(moved) != checksum(state)


@pytest.mark.parametrize("check, is_other", [({}, True), ({"crc32_without_uv": 0}, True), (None, False)])
def test_weights_without_the_published_checksum_widen_float64_to_the_published_float32(check, is_other, tmp_path):
    network = {"entries": [["conv.weight", [2, 3], "float32"]]}
    (tmp_path / "state_dicts.json").write_text(json.dumps({"net": network}))
    if check is None:
        check = {"crc32_without_uv": checksum(make_state(network["entries"], 1, 30))}
    allowed = {"atol_f64": 1e-12, "atol_f32": 1e-5}
    entry = {"name": "a", "file": "a.npz", "state_dict": "net", "weights_seed": 1, "weights_check": check, "outputs": {"a": allowed}}
    np.savez(tmp_path / "a.npz", **{"out/a": np.zeros(3)})
    case = Case(tmp_path, entry)
    assert not case.has_other_weights
    case.state_dict("state_dict")
    assert case.has_other_weights == is_other
    tolerances = [Comparison(case, precision).tolerance("a") for precision in ("f64", "f32")]
    assert tolerances == pytest.approx([1e-6 if is_other else 1e-12, 1e-5])


@pytest.mark.parametrize("folder", [SMALL_SET, BESIDE], ids=["small", "full"])
def test_complete_sets_hold_every_part(folder):
    """Folders other than these two may hold only some parts."""
    if folder == BESIDE and not folder.is_dir():
        pytest.skip("no full set beside the checkout")
    cases = find_cases(folder)
    assert {case.entry["kind"] for case in cases} == set(KINDS)
    missing = {*PARTS, *files_of(cases, folder), *(OWN if folder == SMALL_SET else ())} - golden_files(folder)
    assert not missing, f"{folder} lacks {sorted(missing)}"
