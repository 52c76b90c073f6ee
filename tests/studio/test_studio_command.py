"""The command `python -m oasis_jax.studio`: a real server, reached over sockets, and user errors reported in one line."""
import concurrent.futures
import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

import oasis_jax
from oasis_jax import recipe_file, sample
from oasis_jax.data.labels import DataError
from oasis_jax.noise import Regions
from oasis_jax.recipes import Recipe
from oasis_jax.studio.__main__ import serve
from tests.killed_run import HEEDING
from tests.sample_options import sample_options
from tests.studio_client import image_message
from tests.tiny_run import CLASS_NAMES, IMAGE_SIZE

LABELS = np.random.default_rng(0).integers(0, 4, IMAGE_SIZE).astype(np.uint8)


@contextlib.contextmanager
def started(run, *flags):
    """Starts a studio; yields the lines that it has printed when its page can be opened. At the end, it is interrupted."""
    command = [*HEEDING, sys.executable, "-u", "-m", "oasis_jax.studio", f"--checkpoint={run}", "--port=0", "--no_browser", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    printed = []
    try:
        for line in process.stdout:
            printed.append(line)
            if "http://" in line:
                break
        else:
            raise AssertionError(process.stderr.read())
        yield printed
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130 and "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(scope="module")
def studio(run):
    """A running studio: (its address as (host, port), what it has printed)."""
    with started(run) as printed:
        found = re.search(r"http://([\d.]+):(\d+)/ ", printed[-1])
        yield (found[1], int(found[2])), printed


def asked(address, method, path, body=None, headers=None):
    """Sends a request; returns (status, headers, body) of the response."""
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def test_it_compiles_first_and_then_prints_its_address_in_one_line(studio):
    _, printed = studio
    assert printed[0] == "compiling for 16x32 (1 of 6) ...\n"
    assert [line for line in printed if "http" in line] == printed[-1:] and "(Ctrl-C ends it)" in printed[-1]


def test_an_image_over_the_network_is_that_of_the_library_and_of_the_sampling_command(studio, run, tmp_path):
    address, _ = studio
    message = image_message(LABELS, np.uint8(LABELS == 2), seed=3, class_seeds={"car": 5}, regions=[{"seed": 8}])
    status, headers, body = asked(address, "POST", "/render", message)
    assert status == 200 and headers["X-Exact"] == "1"
    recipe = Recipe(3, {2: 5}, regions=Regions(np.uint8(LABELS == 2), (8,)))
    recipe_file.write(tmp_path / "recipe.json", str(run), LABELS, recipe, CLASS_NAMES)
    sample.run(sample_options(run, tmp_path / "out", recipe=str(tmp_path / "recipe.json")))
    (file,) = (each["file"] for each in json.loads((tmp_path / "out" / "samples.json").read_text())["images"])
    np.testing.assert_array_equal(np.frombuffer(body, np.uint8).reshape(*IMAGE_SIZE, 3), np.asarray(Image.open(tmp_path / "out" / file)))
    _, _, plain = asked(address, "POST", "/render", image_message(LABELS, seed=4))
    assert plain == oasis_jax.load(run).sample(LABELS, seed=4).tobytes()


def test_a_long_body_is_refused_before_it_has_arrived(studio):
    address, _ = studio
    with socket.create_connection(address, timeout=30) as connection:
        head = f"POST /render HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        piece, sent = b"10000\r\n" + b"\0" * 0x10000 + b"\r\n", 0
        with contextlib.suppress(ConnectionError):  # the server closes the connection
            for _ in range(1600):
                connection.sendall(piece)
                sent += len(piece)
        assert sent < 20e6
    assert asked(address, "POST", "/render", image_message(LABELS))[0] == 200


def test_hosts_and_sites_are_checked_and_paths_stay_in_the_page(studio):
    address, _ = studio
    assert asked(address, "GET", "/info", headers={"Host": "evil.example"})[0] == 403
    assert asked(address, "POST", "/render", image_message(LABELS), {"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert asked(address, "GET", "/../__main__.py")[0] == 404


def test_where_other_machines_reach_it_only_who_knows_the_printed_address_is_answered(run):
    with started(run, "--host=0.0.0.0") as printed:
        host, port, token = re.search(r"http://([^/:]+):(\d+)/\?token=([\w-]{16,}) ", printed[-1]).groups()
        assert host == socket.gethostname()
        address, named = ("127.0.0.1", int(port)), {"Host": f"{host}:{port}"}
        for method, path, body in (("GET", "/info", None), ("POST", "/render", image_message(LABELS))):
            for unknown in ({}, {"X-Token": ""}, {"X-Token": token[:-1]}):
                status, _, answer = asked(address, method, path, body, named | unknown)
                assert status == 403 and token.encode() not in answer
            known = named | {"X-Token": token}
            assert asked(address, method, path, body, known)[0] == 200
            assert asked(address, method, path, body, known | {"Sec-Fetch-Site": "cross-site"})[0] == 403
        assert asked(address, "GET", f"/?token={token}", headers=named | {"Sec-Fetch-Site": "cross-site"})[0] == 200
        assert asked(address, "GET", f"/info?token={token}", headers=named)[0] == 403  # a token in an address would be kept in logs


def test_broken_off_and_many_requests_at_once_leave_the_session_alive(studio):
    address, _ = studio
    for _ in range(10):
        with socket.create_connection(address) as connection:
            body = image_message(LABELS)
            connection.sendall(f"POST /render HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
    with concurrent.futures.ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda seed: asked(address, "POST", "/render", image_message(LABELS, seed=seed % 5)), range(50)))
    assert {status for status, _, _ in answers} == {200}
    assert len({(seed % 5, body) for seed, (_, _, body) in enumerate(answers)}) == 5


def options_of(run, **changed):
    unset = {"labels": None, "size": "", "best": False, "host": "127.0.0.1", "port": 0, "token": False, "no_browser": True, "config": None}
    return types.SimpleNamespace(**(unset | {"checkpoint": str(run)} | changed))


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"size": "7x9"}, "image size 7x9 does not fit"),
        ({"size": "large"}, "--size=large: write height and width"),
        ({"host": "no.such.host.example"}, "--host=no.such.host.example: "),
        ({"labels": "/nowhere"}, "no label files at /nowhere"),
    ],
)
def test_a_mistake_in_a_flag_is_told_before_anything_is_compiled(run, changed, words):
    with pytest.raises((ValueError, DataError)) as error:
        serve(options_of(run, **changed))
    assert str(error.value).startswith(words) and "\n" not in str(error.value)


def test_a_port_in_use_is_told(run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"--host=127.0.0.1 --port={port}: Address already in use; --port=0 takes any free port"):
            serve(options_of(run, port=port))
