"""The browser keeps the work: over reloads and tabs, for each model, whatever it offers; with a fake model."""
import numpy as np
import pytest

from tests.studio.chromium import page_of, watched
from tests.studio.gestures import array, choose, click, drag, labels, photo, steps, values

pytestmark = pytest.mark.browser
BUILDING, ROAD, TREE, CAR = 2, 3, 5, 7
WHEREVER = pytest.mark.parametrize("locks", [True, False], ids=["https", "http"], indirect=True)


@pytest.fixture
def locks(request):
    """Whether the browser has Web Locks, which it has for this machine and over HTTPS alone."""
    return getattr(request, "param", True)


@pytest.fixture
def page(chromium, address, locks):
    with page_of(chromium, address) as page:
        if not locks:
            page.context.add_init_script("delete Navigator.prototype.locks")
            page.reload()
            page.wait_for_selector("[data-photo]", state="attached")
            assert not page.evaluate("navigator.locks")
        yield page


def opened(page, address):
    """Returns another tab."""
    other = watched(page.context.new_page())
    other.goto(address)
    other.wait_for_selector("[data-photo]")
    return other


@WHEREVER
def test_everything_survives_a_reload(page, locks):
    choose(page, "car")
    drag(page, (10, 20), (40, 22))
    page.keyboard.press("r")
    page.keyboard.press("w")
    click(page, 4, 12)
    page.keyboard.press("o")
    page.keyboard.press("r")
    page.keyboard.press("Control+Z")
    kept, pixels, seeds = labels(page), photo(page), values(page)
    page.reload()
    page.wait_for_selector("[data-photo]")
    np.testing.assert_array_equal(labels(page), kept)
    np.testing.assert_array_equal(photo(page), pixels)
    assert values(page) == seeds
    assert page.evaluate("[desks[0].ui.mode, desks[0].ui.tool]") == ["overlay", "wand"]
    assert array(page, "desks[0].ui.selection").sum() == (kept == BUILDING).sum()
    page.keyboard.press("Control+Shift+Z")
    assert len(steps(page)) == 3
    for _ in range(3):
        page.keyboard.press("Control+Z")
    assert CAR not in labels(page)


@pytest.mark.parametrize("fate", ["is not written", "is written"])
def test_a_step_survives_whatever_becomes_of_the_writing_in_the_background(page, fate):
    before = labels(page)
    choose(page, "car")
    drag(page, (10, 20), (40, 22))
    page.wait_for_function("() => localStorage.length === 0")  # everything is in the database
    if fate == "is not written":
        page.evaluate("() => { IDBTransaction.prototype.commit = function () { this.abort(); }; }")
    page.keyboard.press("5")
    drag(page, (40, 5), (44, 5))
    page.keyboard.press("r")
    page.keyboard.press("Control+Z")
    painted, seed = labels(page), values(page)["seed"]
    assert page.get_by_role("alert").count() == 0
    page.reload()
    page.wait_for_selector("[data-photo]")
    np.testing.assert_array_equal(labels(page), painted)
    assert values(page)["seed"] == seed
    page.wait_for_function("() => localStorage.length === 0")
    for _ in range(2):
        page.reload()
        page.wait_for_selector("[data-photo]")
    np.testing.assert_array_equal(labels(page), painted)
    page.keyboard.press("Control+Z")
    page.keyboard.press("Control+Z")
    np.testing.assert_array_equal(labels(page), before)


@WHEREVER
def test_a_full_disk_is_told(page, locks):
    page.evaluate("""() => {
        for (const name of Object.keys(localStorage)) if (name.includes('owner')) localStorage.removeItem(name);
        IDBTransaction.prototype.commit = function () { this.abort(); };
        Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };
    }""")
    page.keyboard.press("r")
    page.get_by_role("alert").get_by_text("cannot keep the work").wait_for()
    assert steps(page) == ["New noise for the image"]


@WHEREVER
def test_two_tabs_do_not_mix_and_a_closed_one_is_taken_up(page, address, locks):
    page.keyboard.press("5")
    drag(page, (10, 20), (40, 22))
    other = opened(page, address)
    assert TREE not in labels(other)
    other.keyboard.press("3")
    drag(other, (30, 4), (50, 4))
    for each in (page, other):
        each.reload()
        each.wait_for_selector("[data-photo]")
    assert TREE in labels(page) and ROAD not in labels(page)[4]
    assert TREE not in labels(other) and ROAD in labels(other)[4]
    other.close()
    later = opened(page, address)
    assert ROAD in labels(later)[4] and TREE not in labels(later)


@pytest.mark.parametrize("other", ["path", "classes"])
def test_work_is_restored_for_the_same_model_alone(page, other):
    """Another one may have the name of its folder, the size of its images and the number of its classes."""
    mount = """async (other) => {
        const {mount} = await import('../page/studio.js');
        const {fakeTransport} = await import('./transport.js');
        const transport = fakeTransport('plain', []);
        const info = {...(await transport.info()), name: 'mine', model: other === 'path' ? '/b/runs/mine' : '/a/runs/mine'};
        if (other === 'classes') info.classes = info.classes.map((each) => ({...each, name: `my ${each.name}`}));
        const place = document.createElement('div');
        document.querySelector('.oasis-studio').studio.close();
        document.querySelector('.oasis-studio').replaceWith(place);
        (await mount(place, {...transport, info: async () => info})).focus();
    }"""
    page.evaluate(mount, "")
    page.keyboard.press("r")
    assert steps(page) == ["New noise for the image"]
    page.evaluate(mount, other)
    assert steps(page) == []
    page.evaluate(mount, "")
    assert steps(page) == ["New noise for the image"]


@WHEREVER
def test_a_copy_of_a_tab_has_work_of_its_own(page, locks):
    """Browsers copy sessionStorage, by which a tab finds its work, to a tab that it opens or that is duplicated."""
    page.keyboard.press("r")
    assert len(steps(page)) == 1
    with page.context.expect_page() as opening:
        page.evaluate("() => { window.open(location.href); }")
    copy = opening.value
    copy.wait_for_selector("[data-photo]")
    copy.keyboard.press("r")
    copy.keyboard.press("r")
    page.keyboard.press("r")
    page.keyboard.press("r")
    counts = len(steps(page)), len(steps(copy))
    assert counts == (3, 2)
    for each, count in zip((page, copy), counts, strict=True):
        seed = values(each)["seed"]
        each.reload()
        each.wait_for_selector("[data-photo]")
        assert len(steps(each)) == count and values(each)["seed"] == seed


@pytest.mark.parametrize("locks", [False], indirect=True)
def test_a_tab_whose_work_another_has_taken_up_keeps_all_of_it_in_a_new_place(page, locks):
    """Browsers stop tabs in the background; such a tab does not answer that it is still there."""
    page.keyboard.press("r")
    page.keyboard.press("r")
    before = page.evaluate("desks[0].store.id")
    page.evaluate("(id) => localStorage.setItem(`oasis-studio owner ${id}`, 'another tab')", before)
    page.keyboard.press("r")
    seed = values(page)["seed"]
    assert len(steps(page)) == 3 and page.evaluate("desks[0].store.id") != before
    page.reload()
    page.wait_for_selector("[data-photo]")
    assert len(steps(page)) == 3 and values(page)["seed"] == seed
    page.keyboard.press("r")
    page.wait_for_function("() => desks[0].store.confirmed.length === 4")


def test_work_is_kept_however_many_other_models_are_opened(page):
    """All models of one address, and all pages without a server on a disk, share one database."""
    mount = """async ([name, resample]) => {
        const {mount} = await import('../page/studio.js');
        const {fakeTransport} = await import('./transport.js');
        const transport = fakeTransport('plain', []);
        const info = {...(await transport.info()), model: name};
        const place = document.createElement('div');
        const before = document.querySelector('.oasis-studio');
        before.studio.close();
        before.replaceWith(place);
        const desk = await mount(place, {...transport, info: async () => info});
        if (resample) desk.noise.resample(5);
        return desk.session.history.steps.length;
    }"""
    assert [page.evaluate(mount, [f"model {number}", True]) for number in range(16)] == [1] * 16
    for number in range(20):
        page.evaluate(mount, [f"another {number}", False])
    assert [page.evaluate(mount, [f"model {number}", False]) for number in range(16)] == [1] * 16
    count = "async () => (await (await import('../page/store.js')).Store.open('any')).database.transaction('records')"
    records = page.evaluate(f"""async () => {{
        const all = (await ({count})()).objectStore('records').getAll();
        await new Promise((resolve) => (all.onsuccess = resolve));
        return all.result.map((record) => record.length);
    }}""")
    assert sorted(records)[-16:] == [1] * 16 and len(records) <= 16 + 13  # of those without work, the latest remain
