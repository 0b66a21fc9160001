"""Stands in for a worker in tests of its supervisor: probes, signals and ends as a file beside it says. Standard library only.

Run as `python fake_worker.py FILE`. The file holds JSON, read anew for each question and signal: `exit` (end at once with this
code), `answers` ({path: [status, text]}), `silent` (paths that get no answer), `deaf` (SIGTERM is not minded), `ends_with`
(the code after SIGTERM).
"""

import contextlib
import http.server
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

FILE = Path(sys.argv[1])
NEVER = threading.Event()
ANSWERS = {"/livez": [200, "ok\n"], "/readyz": [200, "ok\n"], "/metrics": [200, "# TYPE work gauge\nwork 1.0\n"]}


def behaviour() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


class Probes(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        now = behaviour()
        if self.path in now.get("silent", ()):
            NEVER.wait()
        status, text = {**ANSWERS, **now.get("answers", {})}[self.path]
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class calls it
        """Say nothing."""


def terminated(*_: object) -> None:
    now = behaviour()
    if not now.get("deaf"):
        print(json.dumps({"event": "stopped"}), file=sys.stderr, flush=True)
        os._exit(now.get("ends_with", 0))


def tried_again(*_: object) -> None:
    print(json.dumps({"event": "tried again"}), file=sys.stderr, flush=True)


def main() -> None:
    if (code := behaviour().get("exit")) is not None:
        print("modpulse: a wrong setting", file=sys.stderr, flush=True)
        sys.exit(code)
    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGHUP, tried_again)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Probes)
    address = Path(os.environ["_PROBES_OF_MODPULSE"])
    new = address.with_suffix(".new")
    new.write_text(f"127.0.0.1:{server.server_address[1]}")
    new.replace(address)
    print(json.dumps({"event": "probes"}), file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
