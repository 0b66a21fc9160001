"""Asks a worker of this machine whether it lives, or is ready: what the image's health check does."""

import urllib.error
import urllib.request
from dataclasses import dataclass

_TIMEOUT_S = 3.0
_MOST_BYTES = 10_000
# An address that means every address; the loopback of its kind answers too.
_EVERY = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, never bound


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: whether it was 200, and the text for people."""

    ok: bool
    text: str


def probe_url(host: str, port: int, path: str) -> str:
    """Where to ask a worker that listens at `host` and `port`."""
    host = _EVERY.get(host, host)
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"


def ask(url: str) -> Answer:
    """Ask once. Nobody there, or no answer in 3 s, is an answer too: not ok."""
    # No proxy is asked for what is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_TIMEOUT_S) as response:
            return Answer(True, _text(response.read(_MOST_BYTES)))
    except urllib.error.HTTPError as refused:
        return Answer(False, f"{url} answers {refused.code}: {_text(refused.read(_MOST_BYTES))}")
    except OSError as problem:
        return Answer(False, f"{url} does not answer ({getattr(problem, 'reason', problem)})")


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace").strip()
