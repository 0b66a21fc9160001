"""Tests that need programs of other projects; `make test-servers` runs them, `make test` does not."""

import contextlib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import warm_broker  # noqa: F401 - a fixture
from tests.servers.programs import find
from tests.support.broker.fleet import Fleet, WorkerProcess
from tests.support.broker.records import SMALL, T0, Row, event, module_on, row, until
from topology.devbroker import Broker

PARTITIONS = 2
# A rule that fails on each record: its metric begins with the first one.
RULES = """
[[rule]]
name = "Broken"
window = "1s"
expression = "health.reasons[50] == 'x'"
severity = "info"
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of this directory out unless they are asked for, by their marker or their path."""
    here = Path(__file__).parent
    asked = "servers" in config.option.markexpr or any(here in (Path(a), *Path(a).parents) for a in _paths(config))
    if not asked:
        left_out = [item for item in items if item.get_closest_marker("servers")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def _paths(config: pytest.Config) -> list[Path]:
    return [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' own tool for rules and metrics."""
    found = find("promtool")
    if found is None:
        pytest.fail("promtool is not here: `make test-servers` fetches it", pytrace=False)
    return found


@dataclass(frozen=True)
class Pages:
    """What real workers said at `/metrics` after records of every fate: one alone, and two under a supervisor."""

    worker: str
    supervisor: str
    openmetrics: str


@pytest.fixture(scope="session")
def pages(warm_broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:  # noqa: F811
    """Real pages, made anew in each run: a metric that has another name today is missing here today."""
    rules = tmp_path_factory.mktemp("rules") / "rules.toml"
    rules.write_text(RULES, "utf-8")
    settings = SMALL | {"topics__partitions": str(PARTITIONS), "alerts__rules_file": str(rules)}
    with contextlib.ExitStack() as stack:
        fleets = [
            stack.enter_context(Fleet(warm_broker.bootstrap_servers, tmp_path_factory.mktemp("pages"), settings))
            for _ in range(2)
        ]
        for fleet in fleets:
            fleet.create_topics()
        started = [fleets[0].start(), fleets[1].start("--workers", "2")]
        for fleet, process in zip(fleets, started, strict=True):
            process.wait_until_ready()
            fleet.publish(_rows())
            fleet.wait_until_processed()
            until(lambda p=process: p.metric("modpulse_rejected_records_total", reason="late") == 1, "a late event")  # type: ignore[misc]
            until(lambda p=process: p.metric("modpulse_rule_failures_total", reason="failed"), "a rule that fails")  # type: ignore[misc]
            until(lambda p=process: p.metric("modpulse_last_commit_timestamp_seconds", task="system"), "a system task")  # type: ignore[misc]
            until(lambda p=process: p.metric("modpulse_lag_records", task="system") == 0, "a look at the lag")  # type: ignore[misc]
        alone, supervisor = (process.get("/metrics")[1] for process in started)
        yield Pages(alone, supervisor, _openmetrics(started[0]))
        assert [process.terminate() for process in started] == [0, 0]


def _openmetrics(worker: WorkerProcess) -> str:
    request = urllib.request.Request(
        f"http://{worker.address}/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def _rows() -> list[Row]:
    modules = [module_on(partition, PARTITIONS) for partition in range(PARTITIONS)]
    good = [row(module, T0 + n * 100, event_id=f"e{n}") for module in modules for n in range(100)]
    foreign = Row(None, event(modules[1], T0 + 9_900), partition=0)
    return [*good, row(modules[0], T0 + 10), Row(modules[1].encode(), b"{"), foreign]
