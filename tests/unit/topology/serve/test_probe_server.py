"""Where the probes listen: at what was asked for, and a place that is taken is a wrong setting."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiohttp import web

from schemas.errors import ConfigError
from topology.serve.probe_server import ProbeServer


class Says(ProbeServer):
    """Answers with the name of what was asked."""

    remedy = "move over"

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text="metrics")

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(status=503, text="livez")

    async def _readyz(self, request: web.Request) -> web.Response:
        return web.Response(text="readyz")


def got(address: str, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://{address}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def serving(*servers: ProbeServer, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario; the servers are stopped after it."""

    async def run() -> None:
        try:
            await scenario()
        finally:
            for server in servers:
                await server.stop()

    asyncio.run(run())


def test_each_question_has_its_own_answer_and_there_are_no_others() -> None:
    server = Says()

    async def scenario() -> None:
        await server.start("127.0.0.1", 0)
        (address,) = server.addresses
        for path, wanted in (
            ("/metrics", (200, "metrics")),
            ("/livez", (503, "livez")),
            ("/readyz?verbose", (200, "readyz")),
        ):
            assert await asyncio.to_thread(got, address, path) == wanted
        assert (await asyncio.to_thread(got, address, "/"))[0] == 404
        assert (await asyncio.to_thread(got, address, "/livez", "POST"))[0] == 405

    serving(server, scenario=scenario)


def test_an_address_that_is_taken_is_a_wrong_setting_with_the_way_out() -> None:
    first, second = Says(), Says()

    async def scenario() -> None:
        await first.start("127.0.0.1", 0)
        port = int(first.addresses[0].rpartition(":")[2])
        with pytest.raises(
            ConfigError, match=rf"metrics\.bind = 127\.0\.0\.1:{port} cannot be bound \(.+\); move over"
        ):
            await second.start("127.0.0.1", port)
        assert second.addresses == []

    serving(first, second, scenario=scenario)


def test_one_that_never_listened_can_be_stopped_and_one_that_was_stopped_listens_nowhere() -> None:
    never, once = Says(), Says()

    async def scenario() -> None:
        assert never.addresses == []
        await never.stop()
        await once.start("127.0.0.1", 0)
        (address,) = once.addresses
        await once.stop()
        with pytest.raises(OSError, match="refused"):
            await asyncio.to_thread(got, address, "/livez")

    serving(scenario=scenario)
