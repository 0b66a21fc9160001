"""The page for Prometheus comes in the format that the server asks for."""

import aiohttp
import pytest
from prometheus_client import Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from topology.serve.probes import Probes
from topology.serve.registry import new_registry

# As Prometheus 2.42 and 3 ask, and as curl does.
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


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
