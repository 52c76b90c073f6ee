"""User actions on a page of the studio, in pixels of the image, and functions that read what the page then holds."""
import base64

import numpy as np

DESK = "document.querySelector('.oasis-studio').studio"


def place(page, x, y, pane="labels"):
    """Returns the position in the window of a point of the image."""
    box = page.locator(f".pane.{pane} canvas").first.bounding_box()
    at = page.evaluate(f"([x, y]) => {DESK}.stage.camera.toPane({{x, y}})", [x, y])
    return box["x"] + at["x"], box["y"] + at["y"]


def drag(page, *points, pane="labels"):
    """Moves the mouse through points of the image with its button down."""
    page.mouse.move(*place(page, *points[0], pane))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point, pane), steps=4)
    page.mouse.up()


def click(page, x, y, pane="labels"):
    page.mouse.click(*place(page, x, y, pane))


def choose(page, name):
    """Chooses a class in the palette."""
    page.locator(".classes").get_by_role("button", name=name).click()


def array(page, expression, dtype=np.uint8):
    """Returns the typed array that a JavaScript expression gives, as a NumPy array of `dtype`."""
    script = f"""() => {{
        const array = {expression};
        const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        let text = '';
        for (const byte of bytes) text += String.fromCharCode(byte);
        return btoa(text);
    }}"""
    return np.frombuffer(base64.b64decode(page.evaluate(script)), dtype)


def labels(page, dtype=np.uint8):
    """Returns the label map (H, W)."""
    settled(page)
    height, width = page.evaluate(f"[{DESK}.session.state.height, {DESK}.session.state.width]")
    return array(page, f"{DESK}.session.state.labels", dtype).reshape(height, width)


def values(page):
    """Returns the seeds, heatmaps and other values of the image."""
    settled(page)
    return page.evaluate(f"{DESK}.session.state.values")


def photo(page):
    """Waits until the exact photo of the current image is shown, and returns it (H, W, 3)."""
    settled(page)
    until(page, "!desk.loop.running && !desk.loop.next && desk.photos.ofSteps.get(desk.photos.key())?.rgb")
    height, width = page.evaluate(f"[{DESK}.photos.current.height, {DESK}.photos.current.width]")
    return array(page, f"{DESK}.photos.current.rgb").reshape(height, width, 3)


def shown(page, pane):
    """Returns the colour (H, W, 3) that a pane shows at the centre of each pixel of the image."""
    settled(page)
    script = f"""([pane]) => {{
        const {{stage, session}} = {DESK};
        const canvas = document.querySelector(`.pane.${{pane}} canvas`);
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        const {{data}} = copy.getImageData(0, 0, canvas.width, canvas.height);
        const {{height, width}} = session.state;
        return Array.from({{length: height * width}}, (_, i) => {{
            const at = stage.camera.toPane({{x: (i % width) + 0.5, y: Math.floor(i / width) + 0.5}});
            const start = 4 * (Math.floor(at.y * devicePixelRatio) * canvas.width + Math.floor(at.x * devicePixelRatio));
            return [...data.subarray(start, start + 3)];
        }});
    }}"""
    height, width = page.evaluate(f"[{DESK}.session.state.height, {DESK}.session.state.width]")
    return np.reshape(page.evaluate(script, [pane]), (height, width, 3))


def centre(page, selector=".centre.level1"):
    """Waits until the page shows the heatmap centres of the image, and returns the position in the window of one of them."""
    page.locator(selector).first.wait_for()
    page.evaluate(f"""async () => {{
        const desk = {DESK};
        const isShown = async () => JSON.stringify(await desk.layout.findRows()) === JSON.stringify(desk.rows);
        while (!(await isShown())) await new Promise(requestAnimationFrame);
    }}""")
    settled(page)
    box = page.locator(selector).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def saved(page, kind):
    """Saves a file from the page's dialog, and returns its bytes."""
    page.keyboard.press("Control+S")
    with page.expect_download() as download:
        page.get_by_role("dialog").get_by_role("button", name=kind, exact=True).click()
    page.keyboard.press("Escape")
    return download.value.path().read_bytes()


def until(page, condition):
    """Waits until a JavaScript expression, in which `desk` is the studio, is true."""
    page.wait_for_function(f"() => {{ const desk = {DESK}; return {condition}; }}")


def settled(page):
    """Waits until the page has handled all input and the panels show it: a browser may confirm a key before the page has seen it."""
    page.evaluate("() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")


def steps(page):
    """Returns the names of the history's steps, up to the current one."""
    settled(page)
    return page.evaluate(f"{DESK}.session.history.steps.slice(0, {DESK}.session.history.position).map((step) => step.name)")
