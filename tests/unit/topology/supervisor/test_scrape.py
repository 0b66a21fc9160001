"""All probes are asked at once, each for a short while, and each worker has an answer whatever it does."""

import asyncio
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from topology.supervisor import scrape
from topology.supervisor.child import Child
from topology.supervisor.scrape import Answer, Scraper

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DEADLINE_S = 0.2


class At(Child):
    """A worker whose probes are at an address, without a process."""

    def __init__(self, number: int, directory: Path, address: str | None) -> None:
        super().__init__(number, [sys.executable], directory, {}, sys.stderr.buffer)
        self._at = address

    @property
    def address(self) -> str | None:
        return self._at


def asked(directory: Path, *handlers: Handler | str | None) -> dict[int, Answer]:
    """The answers of workers with these handlers; a text is an address, None is no address yet."""

    async def scenario() -> dict[int, Answer]:
        runners: list[web.AppRunner] = []
        children: list[Child] = []
        for number, handler in enumerate(handlers):
            address = handler if isinstance(handler, str) else None
            if callable(handler):
                app = web.Application()
                app.router.add_get("/livez", handler)
                runners.append(web.AppRunner(app))
                await runners[-1].setup()
                await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
                host, port = runners[-1].addresses[0][:2]
                address = f"{host}:{port}"
            children.append(At(number, directory, address))
        scraper = Scraper(DEADLINE_S)
        await scraper.start()
        try:
            return await scraper.ask(children, "/livez")
        finally:
            await scraper.stop()
            for runner in runners:
                await runner.cleanup()

    return asyncio.run(scenario())


async def fine(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def elsewhere(request: web.Request) -> web.Response:
    raise web.HTTPFound("http://127.0.0.1:1/livez")


def test_each_worker_has_its_answer_and_one_that_is_silent_holds_up_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # whoever connects waits
        silent = f"127.0.0.1:{listening.getsockname()[1]}"
        began = time.monotonic()
        found = asked(tmp_path, fine, *[silent] * 40, None, "127.0.0.1:1", fine)
    assert time.monotonic() - began < 10 * DEADLINE_S
    assert found == {
        0: Answer(200, "ok\n"),
        **dict.fromkeys(range(1, 41), Answer(None, "its probes do not answer")),
        41: Answer(None, "starting"),
        42: Answer(None, "its probes do not answer"),
        43: Answer(200, "ok\n"),
    }
    assert [number for number, answer in found.items() if answer.good] == [0, 43]


def test_a_worker_that_says_no_or_sends_one_elsewhere_is_taken_at_its_word(tmp_path: Path) -> None:
    async def no(request: web.Request) -> web.Response:
        return web.Response(status=503, body=b"stuck \xff")

    found = asked(tmp_path, no, elsewhere)
    assert found[0] == Answer(503, "stuck \ufffd")
    assert (found[1].status, found[1].good) == (302, False)


def test_a_page_that_does_not_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "_MOST_BYTES", 1_000)

    async def long(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x" * 600)
        for _ in range(50):  # the reader has its turn
            await asyncio.sleep(0)
        await response.write(b"x" * 600)
        return response

    assert asked(tmp_path, long) == {0: Answer(200, "x" * 1_000)}


def test_nobody_to_ask_is_no_answer(tmp_path: Path) -> None:
    assert asked(tmp_path) == {}
