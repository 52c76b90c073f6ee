"""The studio as one HTML file: size, time until it is ready, time per image in the browser, and difference from `sample`.

    python -m benchmarks.page --checkpoint=scenes

It needs Playwright and Chromium. Times are wall-clock times: until the first image is shown, and the median per image. Differences are in
grey levels, over all images: the largest, and the mean.
"""
import argparse
import pathlib
import shutil
import tempfile
import time

import jax
import numpy as np
from playwright.sync_api import sync_playwright

import oasis_jax
from benchmarks.faults import without_traceback
from oasis_jax.export import export
from oasis_jax.studio.single_file import page_of

DESK = "document.querySelector('.oasis-studio').studio"
RENDER = f"""async (seed) => {{
    const {{height, width, labels}} = {DESK}.session.state, start = performance.now();
    const image = {{height, width, labels, seed, class_seeds: {{}}, end: null, t: 0, regions: [], regionMap: null, heatmaps: null}};
    const {{rgb}} = await {DESK}.transport.render(image);
    return {{seconds: (performance.now() - start) / 1000, rgb: [...rgb], labels: [...labels], size: [height, width]}};
}}"""


def measured(chromium, file, model, count):
    """Returns (seconds until the page is ready, median seconds per image, largest difference, mean difference)."""
    page = chromium.new_page()
    start = time.perf_counter()
    page.goto(file.as_uri())
    page.wait_for_selector("[data-photo]", state="attached", timeout=300_000)
    ready, seconds, differences = time.perf_counter() - start, [], []
    for seed in range(count):
        found = page.evaluate(RENDER, seed)
        labels, image = np.reshape(found["labels"], found["size"]), np.reshape(found["rgb"], (*found["size"], 3))
        seconds.append(found["seconds"])
        differences.append(np.abs(image - model.sample(labels, seed=seed)[0].astype(int)))
    page.close()
    return ready, np.median(seconds), np.max(differences), np.mean(differences)


@without_traceback("page")
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="scenes", help="a run, or the name of a model of the package")
    parser.add_argument("--count", type=int, default=10, help="images of each file")
    args = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    model = oasis_jax.load(args.checkpoint)
    print("{:>10} {:>8} {:>8} {:>8} {:>8} {:>8}".format("weights", "MB", "ready", "image", "largest", "mean"))
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        with playwright.chromium.launch(executable_path=shutil.which("chromium")) as chromium:
            for weights in ("float32", "float16", "int8"):
                data = page_of(model, args.checkpoint, export(model, "onnx", weights)[0])
                file = pathlib.Path(folder, f"{weights}.html")
                file.write_bytes(data)
                row = measured(chromium, file, model, args.count)
                print(f"{weights:>10} {len(data) / 1e6:8.2f} " + "{:7.2f}s {:7.3f}s {:8} {:8.3f}".format(*row))


if __name__ == "__main__":
    main()
