"""Cuts the small golden set out of a full one.

    python make_small_set.py FULL_DIR [SMALL_DIR]

SMALL_DIR is this folder by default. Cutting needs only numpy. The values in `own` are computed by this package, after its networks
have passed the tests against the full set. README.md says what the small set holds and how its arrays are named.
"""
import importlib
import json
import os
import pathlib
import re
import sys

import numpy as np

# Which arrays of a case are kept.
OASIS = {
    "g_tiny_pi2": r"in/.*|out/eval/.*|out/train/(?!after/body\.[1-4]\.).*",
    "g_tiny_no3dnoise": r".*",
    "d_tiny_pi2": r".*",
    "loss_absent": r".*",
    "loss_nobalance": r".*",
    "step_tiny": r"in/(?!labelmix_bits).*|out/losses|out/step./(grad_norm|delta_norm|samples)_[^/]*",
}
UNUSED = ("param_sensitivity", "shared_power_iteration_diff", "full_tensors")  # facts about a case that no test needs
UNUSED_OF_OUTPUTS = ("scale_std", "max_abs", "f32_vs_f64_max", "f32_vs_f64_mean")
EQGAN_MODULES = ("G_small", "D_small", "D_small_train", "sel0", "sel1")
EQGAN_LARGE = r"after.\.G\.(synthesis\.b8\.conv0\.(weight|sel\.shared\.0\.weight)|mapping\.fc5\.weight)"
PUBLISHED = {  # tests against published numbers that the networks behind our own values must pass
    "espnet": ("test_segmentation_goldens.py::test_espnet_with_its_published_weights_equals_the_published_net_on_photos",),
    "vgg16": (
        "test_vgg_goldens.py::test_fd_features_equal_the_published_trunk",
        "test_vgg_goldens.py::test_lpips_equals_the_published_distance",
    ),
}
NETS = ("inception_fid", "drn_d_105", "upernet101_ade20k", "deeplabv2_resnet101_msc")


def read_json(path):
    return json.loads(path.read_text())


def write_json(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")))


def read(path, pattern=r".*"):
    """The arrays of a file whose full names match the pattern."""
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files if re.fullmatch(pattern, name)}


def write(path, arrays):
    np.savez_compressed(path, **arrays)


def thin(arrays, step):
    """Every step-th row and column of maps (..., H, W), named NAME_sSTEP; if maps are thinned already, the steps are multiplied."""
    found = {}
    for name, array in arrays.items():
        base, before = re.fullmatch(r"(.*?)(?:_s(\d+))?", name).groups()
        found[f"{base}_s{step * int(before or 1)}"] = array[..., ::step, ::step]
    return found


def first(arrays):
    """The first example of a batch; scalars belong to all examples."""
    return {name: array[:1] if array.ndim else array for name, array in arrays.items()}


def without(entry, names):
    return {key: value for key, value in entry.items() if key not in names}


def cut_oasis(full, small):
    manifest = read_json(full / "manifest.json")
    manifest["cases"] = [without(case, UNUSED) for case in manifest["cases"] if case["name"] in OASIS]
    networks = set()
    for case in manifest["cases"]:
        arrays = read(full / case["file"], OASIS[case["name"]])
        write(small / case["file"], arrays)
        outputs = case["outputs"].items()
        case["outputs"] = {name: without(about, UNUSED_OF_OUTPUTS) for name, about in outputs if f"out/{name}" in arrays}
        networks |= {network for key, network in case.items() if key.startswith("state_dict")}
    write_json(small / "manifest.json", manifest)
    stored = read_json(full / "state_dicts.json")
    write_json(small / "state_dicts.json", {network: {"entries": stored[network]["entries"]} for network in sorted(networks)})


def cut_eqgan(full, small):
    manifest = read_json(full / "manifest.json")
    for name in EQGAN_MODULES:
        tensors = manifest[name]["tensors"]
        manifest[name]["tensors"] = [tensor for tensor in tensors if not tensor[0].endswith("resample_filter")]
    write_json(small / "manifest.json", {name: manifest[name] for name in EQGAN_MODULES})
    tolerances = {name: entry for name, entry in read_json(full / "tolerances.json")["train"].items() if "rel_l2_tol" in entry}
    write_json(small / "tolerances.json", {"train": tolerances})

    path = full / "ops.npz"
    write(small / path.name, read(path))
    for name, inputs in {"g_small": r"cot|(?!img|const|grad\.hm).*|const\..*style", "d_small": r"img|(?!grad|.*feat).*"}.items():
        path = full / f"{name}.npz"
        kept = read(path, inputs)
        others = {name: array for name, array in read(path).items() if name not in kept}
        write(small / path.name, kept | first(thin(others, 4)))
    path = full / "train.npz"
    write(small / path.name, read(path, rf"(?!{EQGAN_LARGE}).*"))

    path = full / "heatmaps.npz"
    write(small / path.name, read(path, r"in\..*") | thin(read(path, r"(out|ovr)32\..*"), 2) | thin(read(path, r"out64\..*"), 4))

    path = full / "encoder_sel.npz"
    layers = read(path, r"sel.\.(x|out|grad_x|grad_hm_mean|inorm|hm_resized|sigma|mu|branch)")
    write(small / path.name, first(read(path, r"enc\.in\..*") | thin(read(path, r"enc\.conv1\..*"), 4) | layers))

    # The case "zero" holds random examples next to the one whose map is zero, so that "rand" adds little.
    path = full / "align.npz"
    networks = read(path, r"z|hm\..*|(gradcam_w|act_raw)\..*|align\..*|fake_logits|adv|mbstd_group") | thin(read(path, r"act_norm\..*"), 2)
    maps = first(read(path, r"feat\..*")) | thin(first(read(path, "fake_img")), 2)
    write(small / path.name, networks | maps | read(path, r"unit\.(zero|small)\..*"))


def cut_nets(full, small):
    """InceptionV3 and the segmentation nets."""
    for net in NETS:
        write_json(small / f"{net}.manifest.json", read_json(full / f"{net}.manifest.json"))

    path = full / "inception_fid.npz"
    write(small / path.name, first(read(path)))
    path = full / "drn_d_105.npz"
    write(small / path.name, read(path, r"image|logits|logsoftmax_s4|argmax|ms_argmax") | thin(read(path, r"ms_sum_s4"), 2))
    path = full / "upernet101_ade20k.npz"
    write(small / path.name, read(path, r"image|seg_size|argmax|enc_mean_c.") | thin(read(path, r"logits_s2|prob_s8"), 4))
    path = full / "deeplabv2_resnet101_msc.npz"
    write(small / path.name, read(path, r"image|argmax") | thin(read(path, r"logits_msc|logits_base_s2"), 2))


def cut_metrics(full, small):
    for name in ("miou_toy.npz", "frechet_kid_features.npz"):
        write(small / name, read(full / name))

    pictures = read(full / "lpips_msssim.npz", r"(rect|odd)_.*")  # a and b are photos
    write(small / "lpips_msssim.npz", pictures)

    numbers, photos = read_json(full / "metrics.json"), read(full / "lpips_msssim.npz", r"[ab]")
    arrays, distances = colour_and_texture(photos["a"], photos["b"])
    for name, expected in (read(full / "color_texture_hist.npz") | numbers["color_texture"]).items():
        found = (arrays | distances)[name]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5, err_msg=name)  # rounding may move a pixel to another bin
    arrays, distances = colour_and_texture(pictures["rect_a"][None], pictures["rect_b"][None])
    write(small / "color_texture_hist.npz", arrays)
    kept = {name: numbers[name] for name in ("seed", "frechet_kid", "miou_toy")}
    write_json(small / "metrics.json", kept | {"color_texture": distances})


def colour_and_texture(a, b):
    """What color_texture_hist.npz and metrics.json hold for two sets of images, by plain formulas: (arrays, distances)."""
    arrays = {"lab_pixels_rgb": a[0, :4, :4], "lab_pixels": lab(a[0, :4, :4])}
    for side, images in (("a", a), ("b", b)):
        arrays |= {f"lab_hist_{side}": lab_histograms(images), f"lbp_hist_{side}": pattern_histogram(images)}
    of_channels = [float(d) for d in chi_square(arrays["lab_hist_a"], arrays["lab_hist_b"])]
    distances = dict(zip(("chi2_L", "chi2_a", "chi2_b"), of_channels, strict=True))
    distances["chi2_lbp"] = float(chi_square(arrays["lbp_hist_a"], arrays["lbp_hist_b"]))
    distances["chi2_lbp_first_pair"] = float(chi_square(pattern_histogram(a[:1]), pattern_histogram(b[:1])))
    distances["chi2_Lab_first_pair"] = chi_square(lab_histograms(a[:1]), lab_histograms(b[:1])).tolist()
    return arrays, distances


def lab(rgb):
    """sRGB uint8 (..., 3) -> CIE Lab under D65."""
    value = rgb.astype(np.float64) / 255
    r, g, b = np.moveaxis(np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4), -1, 0)
    xyz = (
        (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047,
        0.2126729 * r + 0.7151522 * g + 0.0721750 * b,
        (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883,
    )
    x, y, z = (np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116) for t in xyz)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_histograms(images):
    """Shares (3, 64) of the pixels, for each channel."""
    low, high = np.array([0, -110, -110]), np.array([100, 110, 110])
    channels = np.clip(lab(images), low, high).reshape(-1, 3).T
    counts = [np.histogram(channel, 64, span)[0] for channel, span in zip(channels, zip(low, high, strict=True), strict=True)]
    return np.array(counts) / channels.shape[1]


def pattern_histogram(images):
    """Shares (256,) of the local binary patterns: bits of the neighbours, clockwise from the upper left."""
    grey = np.floor(images @ np.array([0.299, 0.587, 0.114]) + 0.5)
    neighbours = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    height, width = grey.shape[1] - 2, grey.shape[2] - 2
    patterns = sum(2**i * (grey[:, y : y + height, x : x + width] >= grey[:, 1:-1, 1:-1]) for i, (y, x) in enumerate(neighbours))
    return np.bincount(patterns.ravel(), minlength=256) / patterns.size


def chi_square(p, q):
    return 0.5 * np.sum((p - q) ** 2 / np.where(p + q > 0, p + q, 1), axis=-1)


class Outcomes:
    """A pytest plugin that records the outcome of each test."""

    def __init__(self):
        self.found = {}

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self.found[report.nodeid.rsplit("/", 1)[-1]] = report.outcome

    def passed(self, name):
        """Whether a test passed for all its parameters."""
        return {outcome for test, outcome in self.found.items() if test.partition("[")[0] == name} == {"passed"}


def compare_with_published(full):
    """{net: whether its tests against the full set passed}, False where the set or the machine lacks what they need.

    Raises:
        RuntimeError: a test failed, or ESPNet could not be compared.
    """
    import pytest

    tests = pathlib.Path(__file__).parents[1]
    os.environ["OASIS_GOLDEN_DIR"] = str(full.resolve())
    outcomes = Outcomes()
    options = ["-c", str(tests.parents[1] / "pyproject.toml"), "-p", "no:cacheprovider", "-n", "0", "-m", "", "-q", "-rs"]
    code = pytest.main(options + [str(tests / name) for of_net in PUBLISHED.values() for name in of_net], [outcomes])
    if code != 0:
        raise RuntimeError("the comparison with the published networks failed: no values of our own are written")
    compared = {net: all(outcomes.passed(name) for name in of_net) for net, of_net in PUBLISHED.items()}
    if not compared["espnet"]:
        raise RuntimeError(f"ESPNet was not compared: {full.parent / 'weights'} lacks espnet_camvid.npz, or {full} its photos")
    return compared


def write_own_values(full, small):
    """Writes values of this implementation itself, for the networks whose other numbers all need photos or published weights."""
    compared = compare_with_published(full)
    sys.path[:0] = [str(pathlib.Path(__file__).parents[1]), str(pathlib.Path(__file__).parents[3])]
    own, make_weights = importlib.import_module("own_values"), importlib.import_module("recipe").make_weights
    published = read(full.parent / "weights" / "espnet_camvid.npz")
    nets = {"espnet": (own.espnet_manifest(published), own.espnet_values), "vgg16": (own.vgg16_manifest(), own.vgg16_values)}
    for net, (manifest, values) in nets.items():
        weights = make_weights(manifest)
        found = values(weights)
        if net == "vgg16":
            for name, expected in plain_vgg16_values(weights, own.vgg16_images()).items():
                np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-5 * expected.max(), err_msg=name)
        write_json(small / f"{net}.manifest.json", {"compared_with_published": compared[net]} | manifest)
        write(small / f"{net}.npz", found)


def plain_vgg16_values(weights, images):
    """What own/vgg16.npz holds, by plain formulas in float64."""

    def taps(x):
        """The outputs of the five stages of images (B, H, W, 3), and the last one max-pooled."""
        found = []
        for stage in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
            for place in stage:
                kernel = weights[f"features.{place}.weight"].astype(np.float64)
                windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), (1, 2))
                x = np.maximum(np.tensordot(windows, kernel, ((3, 4, 5), (1, 2, 3))) + weights[f"features.{place}.bias"], 0)
            found.append(x)
            height, width = x.shape[1] // 2, x.shape[2] // 2
            x = x[:, : 2 * height, : 2 * width].reshape(len(x), height, 2, width, 2, -1).max((2, 4))
        return found, x

    _, pool5 = taps((images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])
    found, _ = taps((images / 127.5 - 1 - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450])
    units = [tap / (np.linalg.norm(tap, axis=-1, keepdims=True) + 1e-10) for tap in found]
    heads = [weights[f"lin{i}.model.1.weight"].ravel() for i in range(5)]
    distances = [((unit[0] - unit[1]) ** 2 @ head).mean() for unit, head in zip(units, heads, strict=True)]
    return {"pool5_mean": pool5.mean((1, 2)), "lpips_per_tap": np.array(distances)}


def main(full, small=pathlib.Path(__file__).parent):
    full, small = pathlib.Path(full), pathlib.Path(small)
    (small / "own").mkdir(parents=True, exist_ok=True)
    write_own_values(full, small / "own")
    for part, cuts in {"oasis": (cut_oasis,), "eqgan": (cut_eqgan,), "eval": (cut_nets, cut_metrics)}.items():
        (small / part).mkdir(parents=True, exist_ok=True)
        for cut in cuts:
            cut(full / part, small / part)


if __name__ == "__main__":
    main(*sys.argv[1:])
