"""What a worker answers to its probes: alive by its loop alone, ready by its work, and warnings beside it."""

import asyncio
import time
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from topology.serve.probes import STUCK_AFTER_S, Probes
from topology.serve.registry import new_registry

# As Prometheus 2.42 and 3 ask, and as curl does.
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def answer(probes: Probes, path: str) -> tuple[int, str, str]:
    """Status, text and content type of an answer."""
    handlers = {"/metrics": probes._metrics, "/livez": probes._livez, "/readyz": probes._readyz}

    async def ask() -> web.Response:
        return await handlers[path](make_mocked_request("GET", path))

    response = asyncio.run(ask())
    body = response.body
    assert isinstance(body, bytes)
    return response.status, body.decode(), response.headers["Content-Type"]


def probes(not_ready: Callable[[], str | None] = lambda: None, *warnings: str) -> Probes:
    return Probes(CollectorRegistry(), not_ready, lambda: list(warnings))


def test_a_worker_is_alive_as_long_as_its_loop_turns_and_says_for_how_long_it_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    worker = probes(lambda: "waiting for the broker")
    now += STUCK_AFTER_S
    assert answer(worker, "/livez")[:2] == (200, "ok\n"), "a broker that is away is no reason"
    now += 1
    assert answer(worker, "/livez")[:2] == (503, "the main loop has not turned for 61 s\n")
    worker.turned()
    assert answer(worker, "/livez")[:2] == (200, "ok\n")


def test_a_worker_that_is_not_ready_says_why() -> None:
    assert answer(probes(lambda: "restoring task 3", "dead letters"), "/readyz")[:2] == (503, "restoring task 3\n")


def test_warnings_are_said_and_take_no_worker_away() -> None:
    assert answer(probes(), "/readyz")[:2] == (200, "ok\n")
    assert answer(probes(lambda: None, "a", "b"), "/readyz")[:2] == (200, "ok\na\nb\n")


def test_the_page_of_metrics_is_that_of_the_registry_as_it_stands() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("tasks", "Tasks.", registry=registry)
    worker = Probes(registry, lambda: None, list)
    for number in (1, 2):
        gauge.set(number)
        status, text, kind = answer(worker, "/metrics")
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        assert text.splitlines()[-1] == f"tasks {number}.0"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("accept", "parse", "content_type"),
    [
        (OPENMETRICS, openmetrics, "application/openmetrics-text; version=1.0.0"),
        ("*/*", plain, "text/plain; version=0.0.4"),
        ("", plain, "text/plain; version=0.0.4"),
    ],
)
async def test_a_server_gets_the_format_it_asks_for(accept: str, parse: object, content_type: str) -> None:
    registry = new_registry()
    Counter("records", "Records.", registry=registry).inc(3)
    probes = Probes(registry, lambda: None, list)
    await probes.start("127.0.0.1", 0)
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{probes.addresses[0]}/metrics", headers={"Accept": accept}) as answer,
        ):
            assert answer.headers["Content-Type"].startswith(content_type)
            text = await answer.text()
    finally:
        await probes.stop()
    assert callable(parse)
    (family,) = parse(text)
    assert (family.name, family.type, [(s.name, s.value) for s in family.samples]) == (
        "records",
        "counter",
        [("records_total", 3)],
    )
