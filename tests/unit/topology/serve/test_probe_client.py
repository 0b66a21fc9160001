"""What a health check asks, and what it makes of every kind of answer."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from topology.serve.probe_client import ask, probe_url


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = self.path == "/livez"
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(b"ok\n" if ready else "restoring 3 \N{EN DASH} \xff\n".encode("latin-1", "replace"))

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9464/livez"),
        ("0.0.0.0", "http://127.0.0.1:9464/livez"),
        ("::", "http://[::1]:9464/livez"),
        ("::1", "http://[::1]:9464/livez"),
        ("worker-1", "http://worker-1:9464/livez"),
    ],
)
def test_an_address_that_means_all_is_asked_on_loopback(host: str, url: str) -> None:
    assert probe_url(host, 9464, "/livez") == url


def test_an_answer_of_200_is_ok_with_its_text(port: int) -> None:
    answer = ask(f"http://127.0.0.1:{port}/livez")
    assert (answer.ok, answer.text) == (True, "ok")


def test_any_other_answer_is_not_ok_and_quoted_whatever_its_bytes(port: int) -> None:
    answer = ask(f"http://127.0.0.1:{port}/readyz")
    assert not answer.ok
    assert "answers 503: restoring 3" in answer.text


def test_nobody_there_is_not_ok_and_says_where_it_was_asked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask("http://127.0.0.1:1/livez")
    assert not answer.ok
    assert answer.text.startswith("http://127.0.0.1:1/livez does not answer (")


def test_a_proxy_is_not_asked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert ask(f"http://127.0.0.1:{port}/livez").ok
