"""A studio on this machine withstands pages of other sites, broken clients and crafted files."""
import asyncio
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from oasis_jax.data.labels import LabelRule
from oasis_jax.oasis import family
from oasis_jax.studio import renderer as renderer_module
from oasis_jax.studio.guards import is_loopback
from oasis_jax.studio.opening import MAX_BYTES
from tests.studio_client import HOST, app_of, ask, get, image_message, post
from tests.tiny_run import CLASS_NAMES, IMAGE_SIZE, random_state, tiny_config

LABELS = np.zeros(IMAGE_SIZE, np.uint8)
TOKEN = "a-token-of-this-studio"


@pytest.fixture(scope="module")
def model():
    config = tiny_config(spatial_awareness=True)
    config.data.class_names = ("unlabelled", "<script>alert(1)</script>", "car", "sky")
    return family.model(config, random_state(config).ema, 5)


def made(model, **options):
    readers = {"a": lambda: (LABELS, None)}
    return app_of(model, readers=readers, rule=LabelRule(len(CLASS_NAMES), fixed=True), **options)


@pytest.fixture(scope="module")
def app(model):
    found, renderer = made(model)
    yield found
    renderer.close()


@pytest.fixture(scope="module")
def guarded(model):
    found, renderer = made(model, token=TOKEN)
    yield found
    renderer.close()


FOREIGN = ["evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.2.", "", "[", "0x7f.1"]


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("method, path", [("GET", "/info"), ("POST", "/render"), ("GET", "/")])
def test_a_name_that_others_own_cannot_be_made_to_lead_here(app, host, method, path):
    answer = asyncio.run(ask(app, method, path, [image_message(LABELS)], {"host": host}))
    assert answer.status in ((403, 404) if path == "/" else (403,)) and b"evil" not in answer.headers.get("location", "").encode()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8765"])
def test_the_names_of_this_machine_are_served(app, host):
    assert get(app, "/info", host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},  # another port of this machine
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site", "origin": f"http://{HOST}"},
    ],
)
@pytest.mark.parametrize("path", ["/render", "/open", "/heatmaps"])
def test_pages_of_other_sites_cannot_post(app, headers, path):
    answer = asyncio.run(ask(app, "POST", path, [image_message(LABELS)], headers))
    assert answer.status == 403 and "another site" in answer.error and answer.taken == 0  # the body is not even read


def test_the_studio_s_own_page_can_post(app):
    for headers in ({"sec-fetch-site": "same-origin", "origin": f"http://{HOST}"}, {"origin": f"http://{HOST}"}, {}):
        assert asyncio.run(ask(app, "POST", "/render", [image_message(LABELS)], headers)).status == 200


@pytest.mark.parametrize("headers", [{}, {"x-token": "wrong"}, {"x-token": ""}, {"x-token": TOKEN[:-1]}, {"x-token": "ä"}])
def test_who_does_not_know_the_token_gets_nothing(guarded, headers):
    for method, path in (("GET", "/info"), ("POST", "/render"), ("GET", "/example"), ("POST", "/open")):
        answer = asyncio.run(ask(guarded, method, path, [image_message(LABELS)], headers))
        assert answer.status == 403 and "token" in answer.error


def test_with_the_token_any_name_and_proxy_leads_here(guarded):
    headers = {"x-token": TOKEN, "host": "hub.example", "origin": "https://hub.example", "sec-fetch-site": "same-origin"}
    assert asyncio.run(ask(guarded, "POST", "/render", [image_message(LABELS)], headers)).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_cannot_ask_even_with_the_token_but_may_lead_to_the_page(guarded, site):
    headers = {"x-token": TOKEN, "host": "hub.example", "sec-fetch-site": site}
    for method, path in (("GET", "/info"), ("GET", "/example"), ("POST", "/render"), ("POST", "/open"), ("POST", "/heatmaps")):
        answer = asyncio.run(ask(guarded, method, path, [image_message(LABELS)], headers))
        assert answer.status == 403 and "another site" in answer.error and answer.taken == 0
    for path in ("/", "/start.js"):  # from a link in an e-mail, or in the frame of a notebook
        assert asyncio.run(ask(guarded, "GET", path, headers={"host": "hub.example", "sec-fetch-site": site})).status == 200


def test_a_token_is_needed_where_other_machines_reach():
    assert all(map(is_loopback, ("127.0.0.1", "::1", "localhost"))) and not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.5", "host")))


@pytest.mark.parametrize("path, most", [("/render", 2 * LABELS.size + 2**16 + 4), ("/open", MAX_BYTES), ("/heatmaps", 2**16)])
def test_a_body_of_100_MB_is_refused_while_it_streams(app, path, most):
    piece = b"\0" * 2**16
    answer = asyncio.run(ask(app, "POST", path, (piece for _ in range(1600))))
    assert answer.status == 413 and answer.taken <= most // len(piece) + 1
    told = asyncio.run(ask(app, "POST", path, [piece], {"content-length": "100000000"}))
    assert told.status == 413 and told.taken == 0


def png_of(width, height, data=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side, words", [(40_000, "has too many pixels"), (9_000, "is 9000x9000, but at most 16777216 pixels are read")])
def test_a_small_file_that_claims_many_pixels_is_not_decoded(app, monkeypatch, side, words):
    def decode(_):
        raise AssertionError("decoded")

    monkeypatch.setattr("oasis_jax.data.image_files.ImageFile.decode", decode)
    answer = post(app, "/open", png_of(side, side), "name=a.png")
    assert answer.status == 422 and words in answer.error


@pytest.mark.parametrize("name", ["../../../etc/passwd", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "a%00", "a/../a", "", "%FF"])
def test_names_of_examples_are_no_paths(app, name):
    answer = get(app, "/example", f"name={name}")
    assert answer.status == 422 and answer.error.startswith("there is no example")


@pytest.mark.parametrize("path", ["/../setup.py", "/..%2fsetup.py", "/%2e%2e/setup.py", "/page/../server.py", "//etc/passwd", "/server.py"])
def test_only_the_page_s_own_files_are_served(app, path):
    assert get(app, path).status == 404


def test_a_class_name_is_data_and_never_markup(app):
    answer = get(app, "/info")
    assert answer.headers["content-type"] == "application/json" and answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json["classes"][1]["name"] == "<script>alert(1)</script>"
    assert "script-src 'self';" in answer.headers["content-security-policy"]


def test_every_answer_forbids_script_from_elsewhere_and_foreign_frames(app, guarded):
    for answer in (get(app, "/info"), post(app, "/render", b""), get(app, "/info", host="evil.example"), get(app, "/nothing")):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "frame-ancestors 'self' http://localhost:*" in policy
        assert answer.headers["referrer-policy"] == "no-referrer" and answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors *" in get(guarded, "/info", x_token=TOKEN).headers["content-security-policy"]


def test_requests_of_who_went_away_are_not_computed(model, monkeypatch):
    app, renderer = made(model)
    computed, render = [], renderer.render
    monkeypatch.setattr(renderer, "render", lambda request: computed.append(request.recipe.seed) or render(request))

    async def many():
        gone = [ask(app, "POST", "/render", [image_message(LABELS, seed=seed)], breaks_off=True) for seed in range(1, 30)]
        return await asyncio.gather(ask(app, "POST", "/render", [image_message(LABELS)]), *gone)

    first, *others = asyncio.run(many())
    assert first.status == 200 and others == [None] * 29
    assert post(app, "/render", image_message(LABELS, seed=99)).status == 200
    assert computed[0] == 0 and computed[-1] == 99 and len(computed) < 10
    renderer.close()


def test_a_client_that_breaks_off_in_the_middle_of_its_message_harms_nobody(app):
    async def break_off():
        await ask(app, "POST", "/render", [image_message(LABELS)[:50]], breaks_off=True)
        return await ask(app, "POST", "/render", [image_message(LABELS)])

    assert asyncio.run(break_off()).status == 200


def test_fifty_requests_at_once_are_answered_each_with_its_own_image(app, model):
    seeds = [each % 10 for each in range(50)]

    async def at_once():
        return await asyncio.gather(*(ask(app, "POST", "/render", [image_message(LABELS, seed=seed, tab=str(seed % 2))]) for seed in seeds))

    expected = model.sample(np.repeat(LABELS[None], 10, axis=0))
    for seed, answer in zip(seeds, asyncio.run(at_once()), strict=True):
        np.testing.assert_array_equal(answer.rgb, expected[seed])


def test_more_requests_than_are_kept_waiting_are_told_to_come_again(model, monkeypatch):
    monkeypatch.setattr(renderer_module, "MAX_WAITING", 3)
    app, renderer = made(model)

    async def at_once():
        return await asyncio.gather(*(ask(app, "POST", "/render", [image_message(LABELS)]) for _ in range(9)))

    statuses = [answer.status for answer in asyncio.run(at_once())]
    assert statuses.count(200) >= 3 and set(statuses) == {200, 503}
    assert post(app, "/render", image_message(LABELS)).status == 200
    renderer.close()


def test_an_error_while_computing_answers_its_request_and_the_next_one_is_computed(model, monkeypatch, caplog):
    app, renderer = made(model)
    render = renderer.render
    monkeypatch.setattr(renderer, "render", lambda request: 1 / 0 if request.recipe.seed == 1 else render(request))
    answer = post(app, "/render", image_message(LABELS, seed=1))
    assert answer.status == 500 and "ZeroDivisionError" in answer.error and "Traceback" in caplog.text
    assert post(app, "/render", image_message(LABELS)).status == 200
    renderer.close()


def test_damaged_pngs_are_refused_with_their_name_or_read(app):
    good = bytearray(png_of(IMAGE_SIZE[1], IMAGE_SIZE[0], b"\0" * IMAGE_SIZE[0] * (IMAGE_SIZE[1] + 1)))
    rng, statuses = np.random.default_rng(0), []

    async def all_of_them():
        for _ in range(60):
            damaged = bytearray(good)
            for place in rng.integers(8, len(good), 3):
                damaged[place] = rng.integers(256)
            answer = await ask(app, "POST", "/open", [bytes(damaged)], query="name=a.png")
            statuses.append(answer.status)
            assert answer.status == 200 or "a.png" in answer.error
        return await ask(app, "POST", "/open", [bytes(good)])

    assert asyncio.run(all_of_them()).status == 200
    assert set(statuses) <= {200, 422} and statuses.count(422) > 40


def test_a_zip_bomb_in_a_text_of_a_png_is_not_unpacked(app):
    text = b"zTXt" + b"Comment\0\0" + zlib.compress(b"\0" * (80 << 20), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    plain = png_of(IMAGE_SIZE[1], IMAGE_SIZE[0], b"\0" * IMAGE_SIZE[0] * (IMAGE_SIZE[1] + 1))
    file = io.BytesIO(plain[:33] + chunk + plain[33:])
    tracemalloc.start()
    answer = post(app, "/open", file.getvalue(), "name=a.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status == 422 and "a.png" in answer.error
    assert peak < 20 << 20
