"""Round trips of the studio, from a stroke in a label map to the photo, over the local network interface; and the errors of previews.

    python -m benchmarks.studio --checkpoint=scenes
    python -m benchmarks.studio --checkpoint=scenes --height=128 --width=256
    python -m benchmarks.studio --published --height=256 --width=512 --repeats=3
    python -m benchmarks.studio --checkpoint=scenes --browser --repeats=20

The label map is that of a procedural scene, or of --root, with classes modulo the model's number of classes. With --published, the model
has the widths of the published one and random weights. Each stroke is a square of another class. Times are medians, by the clock and of
the processor. Errors are mean differences in grey levels from the exact photo, within the square: those of the preview, and those of the
photo before the stroke.

With --browser, strokes are made by a mouse on the page in Chromium, which needs Playwright. Times are wall-clock seconds until a photo is
drawn on the page: from pen down to the first photo, and from pen up to the exact one.
"""
import argparse
import contextlib
import http.client
import shutil
import threading
import time

import jax
import numpy as np
import uvicorn

import oasis_jax
from benchmarks import label_maps
from benchmarks.exports import published
from benchmarks.faults import without_traceback
from oasis_jax.studio import framing, renderer
from oasis_jax.studio.examples import Examples
from oasis_jax.studio.model_facts import model_facts
from oasis_jax.studio.server import create_app

STROKES = (8, 40, 72)  # sides in pixels; each needs a larger window
DESK = "document.querySelector('.oasis-studio').studio"
# Times of a stroke, in ms: of the events of its pen, and of the frames that show its first photo and its exact one.
WATCH = f"""() => {{
    const desk = {DESK}, canvas = document.querySelector(".pane.labels canvas");
    window.stroke = {{}};
    canvas.addEventListener("pointerdown", ({{timeStamp}}) => (window.stroke = {{down: timeStamp}}), true);
    canvas.addEventListener("pointerup", ({{timeStamp}}) => (stroke.up = timeStamp), true);
    const drawn = () => {{
        const exact = stroke.up && desk.photos.ofSteps.get(desk.photos.key())?.rgb;
        requestAnimationFrame(() => {{
            stroke.first ??= performance.now();
            if (exact) stroke.exact ??= performance.now();
        }});
    }};
    new MutationObserver(drawn).observe(desk.element, {{attributeFilter: ["data-photo"]}});
}}"""
# Selects a class other than the one where a stroke begins, and returns the positions of the stroke's points in the window.
AIM = f"""(points) => {{
    const {{info, stage, session}} = {DESK}, {{left, top}} = document.querySelector(".pane.labels canvas").getBoundingClientRect();
    const [x, y] = points[0];
    {DESK}.set({{id: (session.state.labels[y * session.state.width + x] + 1) % info.classes.length, size: 8}});
    return points.map(([x, y]) => stage.camera.toPane({{x, y}})).map((at) => [at.x + left, at.y + top]);
}}"""


@contextlib.contextmanager
def serving(app):
    """Yields the port of a server that runs in a thread."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def asked(connection, labels, preview=None):
    """Makes a round trip: (photo or a part of it, its top, its left, (clock seconds, processor seconds))."""
    body = framing.pack({"height": labels.shape[0], "width": labels.shape[1], "seed": 0, "preview": preview, "tab": "benchmark"}, labels)
    start, computed = time.perf_counter(), time.process_time()
    connection.request("POST", "/render", body)
    response = connection.getresponse()
    data = response.read()
    seconds = time.perf_counter() - start, time.process_time() - computed
    if response.status != 200:
        raise RuntimeError(data.decode())
    height, width, top, left = (int(response.headers[f"X-{name}"]) for name in ("Height", "Width", "Top", "Left"))
    return np.frombuffer(data, np.uint8).reshape(height, width, 3).astype(int), top, left, seconds


def strokes(labels, side, count, num_classes):
    """Yields `count` times (label map with a square of another class, top, left)."""
    rng = np.random.default_rng(side)
    for _ in range(count):
        top, left = (int(rng.integers(0, whole - side + 1)) for whole in labels.shape)
        changed = labels.copy()
        changed[top : top + side, left : left + side] = (labels[top + side // 2, left + side // 2] + 1) % num_classes
        yield changed, top, left


def in_browser(address, size, count):
    """Seconds (count, 2) of strokes on the page: from pen down to the first photo, and from pen up to the exact one."""
    from playwright.sync_api import sync_playwright

    rng, seconds = np.random.default_rng(0), []
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=shutil.which("chromium")) as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        page.wait_for_selector("[data-photo]")
        page.evaluate(WATCH)
        for _ in range(count + 1):
            x, y = (int(rng.integers(8, side - 8)) for side in size[::-1])
            points = page.evaluate(AIM, [[x, y], [x + 4, y + 2], [x + 8, y]])
            page.mouse.move(*points[0])
            page.mouse.down()
            for point in points[1:]:
                page.mouse.move(*point, steps=4)
            page.mouse.up()
            page.wait_for_function("() => stroke.exact")
            times = page.evaluate("stroke")
            seconds.append([times["first"] - times["down"], times["exact"] - times["up"]])
    return np.array(seconds[1:]) / 1000


def run(args):
    size = args.height, args.width
    model = published(size) if args.published else oasis_jax.load(args.checkpoint)
    maps, _ = label_maps.read(args, size, 1)
    labels = (maps[0] % model.num_classes).astype(np.uint8)
    computing = renderer.Renderer(model, size)
    print(f"images of {args.height}x{args.width}; {jax.devices()[0].device_kind}")
    start, computed = time.perf_counter(), time.process_time()
    computing.compile()
    seconds = time.perf_counter() - start, time.process_time() - computed
    print("compiled in {:.0f} s, {:.0f} s of the processor".format(*seconds), "and with previews" if computing.previews else "")
    examples = Examples({"first": lambda: (labels, None)})
    app = create_app(computing, model_facts(model, args.checkpoint, size, examples.names, computing.previews is not None), examples)
    if args.browser:
        with serving(app) as port:
            times = in_browser(f"http://127.0.0.1:{port}/", size, args.repeats)
        print(f"{'':28}{'median':>8}{'maximum':>9}")
        for name, column in zip(("pen down, first photo", "pen up, exact photo"), times.T, strict=True):
            print(f"{name:28}{np.median(column):7.3f}s{column.max():8.3f}s")
        return
    print(f"{'':20}{'clock':>8}{'processor':>11}{'error':>8}{'left as it was':>16}")
    with serving(app) as port, contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        times = [asked(connection, labels)[3] for _ in range(args.repeats + 1)][1:]
        print(f"{'exact':20}" + "{:7.3f}s{:10.3f}s".format(*np.median(times, 0)))
        for side in STROKES if computing.previews else ():
            times, errors = [], []
            for changed, top, left in strokes(labels, side, args.repeats, model.num_classes):
                before, *_ = asked(connection, labels)
                part, first, start, seconds = asked(connection, changed, {"top": top, "left": left, "height": side, "width": side})
                after, *_ = asked(connection, changed)
                shown, inner = before.copy(), np.s_[top : top + side, left : left + side]
                shown[first : first + part.shape[0], start : start + part.shape[1]] = part
                times.append(seconds)
                errors.append([np.abs(image - after)[inner].mean() for image in (shown, before)])
            row = *np.median(times, 0), *np.mean(errors, 0)
            print(f"{f'preview, {side}x{side}':20}" + "{:7.3f}s{:10.3f}s{:8.1f}{:16.1f}".format(*row))


@without_traceback("studio")
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    label_maps.add_flags(parser, 64, 128)
    parser.add_argument("--checkpoint", default="scenes", help="a run, or the name of a model of the package")
    parser.add_argument("--published", action="store_true", help="published widths and random weights instead of a checkpoint")
    parser.add_argument("--repeats", type=int, default=10, help="timed round trips of each kind")
    parser.add_argument("--browser", action="store_true", help="strokes on the page in Chromium instead of requests")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
