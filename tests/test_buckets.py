"""Before a bucket is used, its server must respond: a command says that it is waiting for it, and does not wait for ever."""
import http.server
import re
import socket
import threading

import pytest

from oasis_jax.buckets import refuse_unreachable

PATHS = {"--count": 4, "--labels": "labels", "--workdir": "gs://bucket/run"}


def test_a_server_that_answers_anything_is_reachable(monkeypatch):
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:  # answers 501 to every request
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        refuse_unreachable(PATHS)


def test_a_server_that_refuses_is_told_with_the_option(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        refuse_unreachable({"--workdir": "run"})
        told = f"--workdir=gs://bucket/run cannot be reached (http://{address}: Connection refused): "
        with pytest.raises(ValueError, match=re.escape(told)):
            refuse_unreachable(PATHS)


def test_a_server_that_says_nothing_is_waited_for_in_words_and_not_for_ever(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ValueError, match="gs://bucket/run cannot be reached .*: (no answer for|timed out)"):
            refuse_unreachable(PATHS, patience=0.05, limit=0.3)
    assert re.fullmatch(r"waiting for http://\S+, for --workdir=gs://bucket/run \.\.\.\n", capsys.readouterr().err)
