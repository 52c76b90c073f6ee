"""What a person does on a page of the studio, in pixels of the image, and what the page then holds."""
import base64

import numpy as np

DESK = "document.querySelector('.oasis-studio').studio"


def place(page, x, y, pane="labels"):
    """Where a point of the image lies in the window."""
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
    """Takes a class of the palette."""
    page.locator(".classes").get_by_role("button", name=name).click()


def array(page, expression, dtype=np.uint8):
    """A typed array of the page."""
    script = f"""() => {{
        const array = {expression};
        const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        let text = '';
        for (const byte of bytes) text += String.fromCharCode(byte);
        return btoa(text);
    }}"""
    return np.frombuffer(base64.b64decode(page.evaluate(script)), dtype)


def labels(page, dtype=np.uint8):
    """The label map (H, W)."""
    settled(page)
    height, width = page.evaluate(f"[{DESK}.session.state.height, {DESK}.session.state.width]")
    return array(page, f"{DESK}.session.state.labels", dtype).reshape(height, width)


def values(page):
    """Seeds and heatmaps of the image."""
    settled(page)
    return page.evaluate(f"{DESK}.session.state.values")


def photo(page):
    """The exact photo (H, W, 3) of the image as it is now, once it is shown."""
    settled(page)
    until(page, "!desk.loop.running && !desk.loop.next && desk.photos.ofSteps.get(desk.photos.key())?.rgb")
    height, width = page.evaluate(f"[{DESK}.photos.current.height, {DESK}.photos.current.width]")
    return array(page, f"{DESK}.photos.current.rgb").reshape(height, width, 3)


def shown(page, pane):
    """The colour (H, W, 3) in which a pane shows the middle of each pixel of the image."""
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
    """Where the middle of a centre lies in the window, once the centres are those of the image."""
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
    """The bytes of a file that the page saves."""
    page.keyboard.press("Control+S")
    with page.expect_download() as download:
        page.get_by_role("dialog").get_by_role("button", name=kind, exact=True).click()
    page.keyboard.press("Escape")
    return download.value.path().read_bytes()


def until(page, condition):
    """Waits for an expression of JavaScript in which `desk` is the studio."""
    page.wait_for_function(f"() => {{ const desk = {DESK}; return {condition}; }}")


def settled(page):
    """Waits until what was pressed has been done and the panels show it: a browser may confirm a key before the page has seen it."""
    page.evaluate("() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")


def steps(page):
    """Names of the steps up to now."""
    settled(page)
    return page.evaluate(f"{DESK}.session.history.steps.slice(0, {DESK}.session.history.position).map((step) => step.name)")
