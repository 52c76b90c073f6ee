"""User actions on the page, in a browser with a fake model, a few lines of JavaScript (`fake/transport.js`)."""
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from oasis_jax.studio import assets
from tests.studio.chromium import page_of
from tests.studio.gestures import array, centre, choose, click, drag, labels, photo, place, settled, shown, steps, until, values

pytestmark = pytest.mark.browser
SKY, BUILDING, ROAD, TREE, CAR = 1, 2, 3, 5, 7


def test_it_opens_with_an_example_and_class_names_are_text(page):
    assert set(np.unique(labels(page))) == {SKY, BUILDING, ROAD}
    assert page.get_by_role("button", name="<b>fence</b>").count() == 1
    assert page.locator(".classes b").count() == 0
    assert photo(page).shape == (32, 64, 3)


def test_a_stroke_has_exact_ids_and_is_undone_and_redone(page):
    before = labels(page)
    choose(page, "car")
    drag(page, (10, 20), (40, 22), (50, 28))
    painted = labels(page)
    assert set(np.unique(painted[painted != before])) == {CAR}
    assert (painted[20:22, 10:40] == CAR).all() and steps(page) == ["Paint car"]
    page.get_by_role("button", name="Undo").click()
    np.testing.assert_array_equal(labels(page), before)
    page.keyboard.press("Control+Shift+Z")
    np.testing.assert_array_equal(labels(page), painted)
    page.keyboard.press("Control+Z")
    settled(page)
    assert steps(page) == [] and page.get_by_role("button", name="Undo").is_disabled()


def test_the_photo_pane_is_painted_on_as_well(page):
    page.keyboard.press("5")  # the number of the class
    drag(page, (40, 5), (44, 5), pane="photo")
    assert labels(page)[5, 42] == TREE


def test_fill_line_rectangle_and_eraser(page):
    before = labels(page)
    choose(page, "tree")
    page.keyboard.press("f")
    click(page, 4, 12)
    assert (labels(page)[8:24, :16] == TREE).all() and (labels(page) == TREE).sum() == 16 * 16
    page.keyboard.press("u")
    drag(page, (30.5, 2.5), (39.5, 6.5))
    assert (labels(page)[2:7, 30:40] == TREE).all() and (labels(page) == TREE).sum() == 16 * 16 + 50
    page.keyboard.press("l")
    for _ in range(5):
        page.keyboard.press("[")
    drag(page, (20.5, 28.5), (60.5, 28.5))
    assert (labels(page)[28, 20:61] == TREE).all() and (labels(page)[27] != TREE).all()
    page.keyboard.press("Control+Z")
    page.keyboard.press("e")
    drag(page, (35.5, 4.5), (37.5, 4.5))
    assert (labels(page)[4, 35:38] == before[4, 35:38]).all() and labels(page)[4, 34] == TREE and steps(page)[-1] == "Erase"


def test_escape_gives_up_a_stroke(page):
    before = labels(page)
    page.mouse.move(*place(page, 10, 10))
    page.mouse.down()
    page.mouse.move(*place(page, 30, 10), steps=3)
    assert (labels(page) != before).any()
    page.keyboard.press("Escape")
    page.mouse.move(*place(page, 40, 10), steps=2)
    page.mouse.up()
    np.testing.assert_array_equal(labels(page), before)
    assert steps(page) == []


def test_a_class_is_picked_from_the_map(page):
    page.keyboard.press("i")
    click(page, 40, 30)
    until(page, f"desk.ui.id === {ROAD}")
    page.keyboard.press("b")
    page.keyboard.down("Alt")
    click(page, 4, 12)
    page.keyboard.up("Alt")
    until(page, f"desk.ui.id === {BUILDING}")
    assert steps(page) == []


def test_resampling_a_class_changes_that_class_alone(page):
    before = photo(page)
    choose(page, "building")
    page.get_by_role("button", name="Class", exact=True).click()
    page.get_by_role("button", name="New noise").click()
    changed = (photo(page) != before).any(-1)
    np.testing.assert_array_equal(changed, labels(page) == BUILDING)
    assert list(values(page)["class_seeds"]) == ["building"]
    choose(page, "car")  # not in the image yet: pixels that are painted later get this noise
    page.keyboard.press("r")
    assert list(values(page)["class_seeds"]) == ["building", "car"]


def test_a_locked_lasso_keeps_its_noise(page):
    page.keyboard.press("s")
    drag(page, (20.2, 4.2), (30.8, 4.2), (30.8, 12.8), (20.2, 12.8), (20.2, 4.2))
    until(page, "desk.ui.selection !== null && desk.ui.scope === 'selection'")
    mask = array(page, "window.desks[0].ui.selection").reshape(32, 64).astype(bool)
    assert mask[5:12, 21:30].all() and mask.sum() < 12 * 10
    before = photo(page)
    page.get_by_role("button", name="New noise").click()
    own = photo(page)
    np.testing.assert_array_equal((own != before).any(-1), mask)
    page.keyboard.press("k")
    page.get_by_role("button", name="Image", exact=True).click()
    page.keyboard.press("r")
    after = photo(page)
    np.testing.assert_array_equal((after != own).any(-1), ~mask)
    page.get_by_role("button", name="Unlock all").click()
    page.keyboard.press("r")
    assert (photo(page) != after).any(-1)[mask].all()
    image = "New noise for the image"
    assert steps(page) == ["New noise for the selection", "Lock the selection", image, "Unlock the image", image]


def test_selections_by_region_and_brush_are_joined(page):
    page.keyboard.press("w")
    click(page, 4, 12)
    until(page, "desk.ui.selection?.filter(Boolean).length === 256")
    page.keyboard.press("m")
    drag(page, (30, 20), (40, 20))
    until(page, "desk.ui.selection.filter(Boolean).length > 300")
    page.keyboard.press("w")
    page.keyboard.down("Alt")
    click(page, 4, 12)
    page.keyboard.up("Alt")
    until(page, "desk.ui.selection.filter(Boolean).length < 100")
    page.get_by_role("button", name="Clear selection").click()
    until(page, "desk.ui.selection === null")
    assert "Nothing is selected" in page.locator(".hint").inner_text()


def test_a_slider_leads_from_one_noise_to_another(page):
    start = photo(page)
    blend = page.get_by_label("Blend", exact=True)
    blend.focus()
    page.keyboard.press("End")
    end = photo(page)
    assert (end != start).any() and values(page)["t"] == 1 and steps(page) == ["Blend the image"]
    blend.fill("0.5")
    middle = photo(page)
    assert (middle != start).any() and (middle != end).any()
    page.keyboard.press("Home")
    np.testing.assert_array_equal(photo(page), start)


def test_one_of_several_variations_is_chosen(page):
    before = photo(page)
    page.keyboard.press("v")
    chosen = page.locator(".variation:enabled").nth(3)
    chosen.wait_for()
    seed = int(chosen.get_attribute("aria-label").removeprefix("Seed "))
    chosen.click()
    assert values(page)["seed"] == seed and (photo(page) != before).any()
    settled(page)
    page.locator(".variation:enabled").nth(1).click()
    assert steps(page) == ["Variation", "Variation"]
    page.keyboard.press("Control+Z")
    page.keyboard.press("Control+Z")
    np.testing.assert_array_equal(photo(page), before)


def test_centres_are_dragged_and_moved_by_keys(page):
    seed = page.get_by_label("Seed of the image")
    seed.fill("86")  # no centre lies over the coarse one
    seed.press("Enter")
    page.locator(".oasis-studio").focus()
    page.keyboard.press("c")
    page.get_by_role("button", name="One", exact=True).click()
    x, y = centre(page)
    rows = np.array(page.evaluate("window.desks[0].rows"))
    scale = page.evaluate("window.desks[0].stage.camera.scale")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 10 * scale, y - 5 * scale, steps=5)
    page.mouse.up()
    moved = np.array(values(page)["heatmaps"])
    np.testing.assert_allclose(moved[0] - rows[0], [-10 / 31, 20 / 63, 0], atol=1e-6)
    np.testing.assert_array_equal(moved[1:], rows[1:])
    assert steps(page) == ["Seed 86", "Move centres"]
    page.locator(".centre.level2").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("+")
    keyed = np.array(values(page)["heatmaps"])
    np.testing.assert_allclose(keyed[1] - moved[1], [0.1, 0.02, 0.1 * moved[1, 2]], atol=1e-6)
    page.get_by_role("button", name="All", exact=True).click()
    page.locator(".centre.level1").focus()
    page.keyboard.press("ArrowUp")
    np.testing.assert_allclose(np.array(values(page)["heatmaps"])[:, 0] - keyed[:, 0], -0.02, atol=1e-6)
    page.get_by_role("button", name="Layout of the seed").click()
    assert values(page)["heatmaps"] is None


def test_heatmaps_and_the_map_of_change_lie_over_the_photo(page):
    page.get_by_role("button", name="Heatmaps").click()
    until(page, "!desk.stage.layers.map.empty && desk.layout.pictured === desk.rows")
    page.get_by_role("button", name="Class", exact=True).click()
    choose(page, "building")
    page.keyboard.press("r")
    page.get_by_role("button", name="Change", exact=True).click()
    until(page, "desk.layout.pictured?.before")
    photo(page)
    settled(page)
    canvas = "window.desks[0].stage.layers.map.canvas"
    change = array(page, f"{canvas}.getContext('2d').getImageData(0, 0, 64, 32).data").reshape(32, 64, 4)
    np.testing.assert_array_equal(change[..., 0] > 0, labels(page) == BUILDING)


def test_a_broken_file_is_answered_where_one_looks_and_changes_nothing(page):
    before = labels(page)
    page.get_by_role("button", name="Open", exact=True).click()
    page.locator("input[type=file]").set_input_files({"name": "map.png", "mimeType": "image/png", "buffer": b"\x89PNG"})
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "map.png is damaged" in alert.inner_text()
    np.testing.assert_array_equal(labels(page), before)
    alert.get_by_role("button").click()
    assert alert.is_hidden() and steps(page) == []


def test_an_error_of_the_model_answers_its_request(page):
    seed = page.get_by_label("Seed of the image")
    seed.fill("666")
    seed.press("Enter")
    page.get_by_role("alert").get_by_text("This seed is refused.").wait_for()
    seed.fill("667")
    seed.press("Enter")
    page.get_by_role("alert").wait_for(state="hidden")
    seed.fill("-1")
    seed.press("Enter")
    page.get_by_role("alert").get_by_text("whole number").wait_for()
    assert steps(page) == ["Seed 666", "Seed 667"]


def test_an_example_and_a_blank_map_are_steps(page):
    first = labels(page)
    assert "? shows all keys" in page.get_by_role("status").inner_text()
    page.keyboard.press("w")
    assert "Select a connected region" in page.get_by_role("status").inner_text()
    click(page, 4, 12)
    until(page, "desk.ui.selection && desk.ui.scope === 'selection'")
    page.keyboard.press("b")
    page.keyboard.press("Control+O")
    page.get_by_role("button", name="park").click()
    until(page, "desk.session.history.position === 1")
    assert page.evaluate("[desks[0].ui.selection, desks[0].ui.scope]") == [None, "image"]  # the selection was of another image
    assert 6 in labels(page)
    page.get_by_role("button", name="Open", exact=True).click()
    page.get_by_role("button", name="Blank", exact=True).click()
    until(page, "desk.session.history.position === 2")
    assert (labels(page) == SKY).all()
    page.keyboard.press("3")
    drag(page, (10, 20), (40, 22))
    page.get_by_role("button", name="Start over").click()
    assert (labels(page) == SKY).all() and steps(page)[-1] == "Start over"
    for _ in range(4):
        page.keyboard.press("Control+Z")
    np.testing.assert_array_equal(labels(page), first)


def test_any_earlier_step_is_compared_with_and_gone_back_to(page):
    photos = [photo(page)]
    for _ in range(3):
        page.keyboard.press("r")
        photos.append(photo(page))
    page.locator(".steps li").nth(2).get_by_role("button", name="Compare").click()
    until(page, "desk.compared !== null")
    np.testing.assert_array_equal(array(page, "window.desks[0].compared.rgb").reshape(32, 64, 3), photos[1])
    page.get_by_label("Compared with").fill("0.25")
    until(page, "desk.ui.wipe === 0.25")
    page.keyboard.press("Escape")
    until(page, "desk.compared === null")
    page.locator(".steps li").last.get_by_role("button").first.click()
    np.testing.assert_array_equal(photo(page), photos[0])
    page.locator(".steps li").first.get_by_role("button").first.click()
    np.testing.assert_array_equal(photo(page), photos[3])


def test_photo_label_map_and_recipe_are_saved(page):
    choose(page, "car")
    drag(page, (10, 20), (40, 22))
    page.keyboard.press("w")
    click(page, 4, 12)
    page.keyboard.press("r")
    wanted = photo(page)
    page.keyboard.press("Control+S")
    files = {}
    for name in ("Photo", "Label map", "Recipe"):
        with page.expect_download() as download:
            page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()
        files[name] = (download.value.suggested_filename, download.value.path().read_bytes())
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(files["Photo"][1]))), wanted)
    saved = Image.open(io.BytesIO(files["Label map"][1]))
    np.testing.assert_array_equal(np.asarray(saved), labels(page))
    assert saved.mode == "P" and saved.getpalette()[21:24] == page.evaluate("desks[0].info.classes[7].color")
    name, text = files["Recipe"]
    record = json.loads(text)["recipe"]
    assert re.fullmatch(r"recipe_\d{8}_\d{6}\.json", name)
    assert record["seed"] == values(page)["seed"] and len(record["regions"]["seeds"]) == 1


def test_files_that_are_saved_one_after_the_other_have_names_of_their_own(page):
    """The command in the dialog names the latest recipe."""
    page.clock.install(time="2026-03-04 05:06:07")
    page.keyboard.press("Control+S")
    dialog, names = page.get_by_role("dialog"), []
    assert "--recipe=recipe.json" in dialog.locator("code").inner_text()
    for kind in ("Recipe", "Photo", "Recipe"):
        with page.expect_download() as download:
            dialog.get_by_role("button", name=kind, exact=True).click()
        names.append(download.value.suggested_filename)
        until(page, f"document.querySelector('[role=status]').textContent === '{names[-1]} is saved.'")
        page.clock.fast_forward("00:01")
    assert len(set(names)) == 3 and names[0] == "recipe_20260304_050607.json" and names[1].startswith("photo_20260304_")
    assert f"--recipe={names[2]} " in dialog.locator("code").inner_text()


def test_keys_alone_are_enough(page):
    before = labels(page)
    focused = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"))
    for name in ("Brush", "Size", "Search classes", "Seed of the image", "Blend", "Show centres"):
        assert any(name in each for each in focused), (name, focused)
    page.keyboard.press("/")
    page.keyboard.type("tree")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert page.evaluate("desks[0].ui.id") == TREE
    page.locator(".pane.labels canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    painted = labels(page)
    assert (painted[15:17, 10:33] == TREE).all() and steps(page) == ["Paint tree"]
    assert "tree" in page.get_by_role("status").inner_text()
    page.keyboard.press("Control+Z")
    np.testing.assert_array_equal(labels(page), before)
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0


def test_the_view_follows_the_pen_that_keys_move(page):
    page.locator(".pane.labels canvas").focus()
    size = page.evaluate("desks[0].stage.size")
    fitted = page.evaluate("({...desks[0].stage.camera})")
    page.keyboard.press("Shift+ArrowLeft")
    assert page.evaluate("({...desks[0].stage.camera})") == fitted  # all of the image can be seen
    for _ in range(9):
        page.keyboard.press("+")
    for key, edge in (("ArrowRight", {"x": 63.5}), ("ArrowDown", {"y": 31.5}), ("ArrowLeft", {"x": 0.5}), ("ArrowUp", {"y": 0.5})):
        for _ in range(9):
            page.keyboard.press(f"Shift+{key}")
            at = page.evaluate("desks[0].stage.camera.toPane(desks[0].stage.cursor)")
            assert 0 < at["x"] < size["width"] and 0 < at["y"] < size["height"]
        assert page.evaluate("desks[0].stage.cursor").items() >= edge.items()
    assert page.evaluate("desks[0].stage.camera.scale") > 5 * fitted["scale"]


@pytest.mark.parametrize("tool", ["brush", "eraser", "line", "mask"])
def test_what_is_painted_between_two_frames_is_shown_once_and_nothing_else_again(chromium, address, tool):
    with page_of(chromium, f"{address}?model=large") as page:
        page.keyboard.press("5")
        drag(page, (60, 60), (100, 64))
        before = labels(page)
        shows, selects = page.evaluate(
            """async (tool) => {
                const [{pen, stage, ui}] = desks;
                const frame = () => new Promise(requestAnimationFrame);
                ui.tool = tool;
                await frame();
                await frame();
                const [shows, selects] = [[], []];
                const layer = stage.layers.labels;
                layer.setIds = (...given) => (shows.push(given[3] ?? null), Object.getPrototypeOf(layer).setIds.apply(layer, given));
                pen.hooks.select = (mask) => selects.push(mask.filter(Boolean).length);
                pen.down({x: 70.5, y: 60.5});
                for (let i = 1; i < 8; i++) pen.moveThrough(Array.from({length: 5}, (_, n) => ({x: 70.5 + i + n / 5, y: 60.5})));
                await frame();
                await frame();
                pen.stroke = null;
                return [shows, selects];
            }""",
            tool,
        )
        assert (labels(page) != before).any() == (tool in ("eraser", "line")) or tool == "brush"
        if tool == "mask":
            assert shows == [] and len(selects) == 8 and selects == sorted(selects)
        else:
            (part,) = shows
            assert part["right"] - part["left"] < 30 and part["bottom"] - part["top"] < 20
        colours = np.array(page.evaluate("desks[0].info.classes.map((each) => each.color)"))
        canvas = "desks[0].stage.layers.labels.canvas"
        drawn = array(page, f"{canvas}.getContext('2d').getImageData(0, 0, 256, 128).data").reshape(128, 256, 4)
        np.testing.assert_array_equal(drawn[..., :3], colours[labels(page)])


def test_all_controls_have_names(page):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, canvas')]
            .filter((each) => !(each.ariaLabel || each.textContent.trim() || each.closest('label')?.textContent.trim()))
            .map((each) => each.outerHTML)"""
    )
    assert nameless == []
    assert page.evaluate("document.querySelectorAll('[id]').length") == 0


def test_a_narrow_screen_shows_and_reaches_everything(chromium, address):
    with page_of(chromium, address, size=(360, 740), has_touch=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        beyond = page.evaluate("""() => [...document.querySelectorAll('.oasis-studio button, .oasis-studio input')]
            .filter((each) => each.offsetParent && each.getBoundingClientRect().right > 361).map((each) => each.title || each.ariaLabel)""")
        assert beyond == []
        page.get_by_role("button", name="tree").tap()
        page.get_by_role("button", name="Fill").tap()
        page.touchscreen.tap(*place(page, 40, 28))
        until(page, "desk.session.history.position === 1")
        assert labels(page)[28, 40] == TREE
        page.get_by_role("button", name="Start over").scroll_into_view_if_needed()
        page.get_by_role("button", name="Start over").tap()
        assert steps(page) == ["Fill with tree", "Start over"]


def test_zooming_and_moving_the_view_paints_nothing(page):
    before = labels(page)
    scale = page.evaluate("desks[0].stage.camera.scale")
    page.mouse.move(*place(page, 50, 20))
    page.mouse.wheel(0, -200)
    until(page, f"desk.stage.camera.scale > {1.2 * scale}")
    at = page.evaluate("desks[0].stage.cursor")
    assert abs(at["x"] - 50) < 0.5 and abs(at["y"] - 20) < 0.5
    page.keyboard.press("h")
    drag(page, (50, 20), (45, 18))
    page.keyboard.press("0")
    until(page, f"Math.abs(desk.stage.camera.scale - {scale}) < 1e-6")
    np.testing.assert_array_equal(labels(page), before)


def test_a_screen_of_another_resolution_shows_the_whole_map(page):
    """A window that is moved to such a screen keeps its size in CSS pixels."""
    screen = page.context.new_cdp_session(page)
    colours = np.array(page.evaluate("desks[0].info.classes.map((each) => each.color)"))
    for ratio in (2, 1.25):
        metrics = {"width": 1280, "height": 800, "deviceScaleFactor": ratio, "mobile": False}
        screen.send("Emulation.setDeviceMetricsOverride", metrics)
        until(page, f"devicePixelRatio === {ratio}")
        if ratio == 2:
            page.mouse.move(*place(page, 10, 10))  # the picture is drawn
            page.mouse.move(1, 1)
        else:
            page.evaluate("desks[0].stage.resolution.dispatchEvent(new Event('change'))")  # which an emulated screen does not send
        settled(page)
        np.testing.assert_array_equal(shown(page, "labels"), colours[labels(page)])
        width = page.locator(".pane.labels canvas").bounding_box()["width"]
        assert page.evaluate("document.querySelector('.pane.labels canvas').width") == round(ratio * width)


def test_two_studios_of_one_page_do_not_disturb_each_other(chromium, address):
    with page_of(chromium, f"{address}?mounts=2") as page:
        page.wait_for_function("() => window.desks.length === 2")
        page.locator(".oasis-studio").nth(1).locator(".pane.labels canvas").focus()
        page.keyboard.press("r")
        page.keyboard.press("o")
        assert page.evaluate("desks.map((desk) => desk.session.history.position)") == [0, 1]
        assert page.evaluate("desks.map((desk) => desk.ui.mode)") == ["side", "overlay"]
        page.reload()
        page.wait_for_function("() => window.desks?.length === 2")
        assert page.evaluate("desks.map((desk) => desk.session.history.position)") == [0, 1]
        page.evaluate("desks[1].close()")
        page.locator(".pane.labels canvas").focus()
        page.keyboard.press("r")
        assert page.evaluate("desks[0].session.history.position") == 1


def test_a_model_without_label_maps(chromium, address):
    with page_of(chromium, f"{address}?model=unconditional") as page:
        assert page.locator(".palette, .tools").count() == 0 and page.locator(".pane:visible").count() == 1
        before = photo(page)
        page.get_by_label("Truncation").fill("0.3")
        assert values(page)["truncation"] == 0.3 and (photo(page) != before).any()
        page.keyboard.press("r")
        page.locator(".centre.level1").focus()
        page.keyboard.press("ArrowLeft")
        assert steps(page) == ["Truncation", "New noise for the image", "Move centres"]
        page.keyboard.press("Control+S")
        assert page.get_by_role("dialog").get_by_role("button", name="Label map").count() == 0


@pytest.mark.parametrize("model, lacks", [("flat", "Show centres"), ("fixed", "New noise")])
def test_what_a_model_does_not_take_is_not_offered(chromium, address, model, lacks):
    with page_of(chromium, f"{address}?model={model}") as page:
        assert page.get_by_text(lacks).count() == 0
        for key in "rvkcd":
            page.keyboard.press(key)
        page.keyboard.press("Escape")
        drag(page, (10, 20), (40, 22))
        photo(page)
        assert steps(page)[-1] == "Paint sky"


def test_many_classes_are_searched_and_painted_with(chromium, address):
    with page_of(chromium, f"{address}?model=many") as page:
        page.get_by_label("Search classes").fill("299")
        page.get_by_label("Search classes").press("Enter")
        page.locator(".pane.labels canvas").focus()
        page.keyboard.press("f")
        page.keyboard.press("Enter")
        until(page, "desk.session.history.position === 1")
        assert (labels(page, np.uint16) == 299).any()
        page.keyboard.press("Control+S")
        with page.expect_download() as download:
            page.get_by_role("button", name="Label map", exact=True).click()
        np.testing.assert_array_equal(np.asarray(Image.open(download.value.path())), labels(page, np.uint16))


def test_a_slow_model_is_previewed_while_painting_and_exact_afterwards(chromium, address):
    with page_of(chromium, f"{address}?model=large") as page:
        photo(page)
        page.evaluate("asked.length = 0")
        page.keyboard.press("5")
        page.mouse.move(*place(page, 100, 60))
        page.mouse.down()
        page.mouse.move(*place(page, 140, 64), steps=8)
        page.wait_for_function("() => asked.length > 1")
        windows = page.evaluate("asked.map((each) => each.preview)")
        assert all(windows) and all(window["width"] < 128 for window in windows)
        page.mouse.up()
        exact = photo(page)
        assert page.evaluate("asked.at(-1).preview") is None
        assert (exact[62, 120] != exact[100, 20]).any() and len(page.evaluate("asked.filter((each) => !each.preview)")) == 1


def test_the_modules_joined_to_one_are_the_same_studio(page):
    page.evaluate(
        """async (text) => {
            const {mount, httpTransport} = await import(URL.createObjectURL(new Blob([text], {type: 'text/javascript'})));
            const {fakeTransport} = await import('./transport.js');
            const place = document.createElement('div');
            document.querySelector('.oasis-studio').replaceWith(place);
            await mount(place, fakeTransport('plain', []));
            if (typeof httpTransport !== 'function') throw new Error('no transport');
        }""",
        assets.module("studio.js", "http.js"),
    )
    page.locator(".pane.labels canvas").focus()
    page.keyboard.press("r")
    assert steps(page) == ["New noise for the image"] and photo(page).any()
