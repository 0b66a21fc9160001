"""The demo's own small questions: is the worker ready, and what did the generator send. `make demo` runs all of it."""

import asyncio
import json
import socket
from pathlib import Path
from typing import cast

import pytest

from topology.demo.demo import _answers_ok, _published
from topology.demo.processes import Child
from topology.traffic.generate import Generated


class Told:
    """Stands for a generator that has ended."""

    def __init__(self, file: Path, words: bytes) -> None:
        self.out_file = file
        file.write_bytes(words)


def test_a_generator_that_was_ended_before_it_began_has_sent_nothing(tmp_path: Path) -> None:
    silent = cast("Child", Told(tmp_path / "out", b""))
    assert _published(silent) == Generated().summary()
    assert _published(silent)["records"] == 0
    told = {"records": 3, "seconds": 1.5}
    assert _published(cast("Child", Told(tmp_path / "out", json.dumps(told).encode()))) == told


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nok\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n 200 \n", False),
        (b"HTTP/1.1 302 Found\r\nx: 200 \r\n", False),
        (b"", False),
    ],
)
def test_a_worker_is_ready_when_its_first_line_says_200(answer: bytes, ok: bool) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async def scenario() -> bool:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            return await _answers_ok(host, port, "/readyz")

    assert asyncio.run(scenario()) is ok
    assert asked[0].startswith(b"GET /readyz HTTP/1.0\r\n")


def test_a_worker_that_does_not_listen_yet_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert asyncio.run(_answers_ok("127.0.0.1", port, "/readyz")) is False
