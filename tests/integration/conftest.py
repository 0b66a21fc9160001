"""Fixtures of the tests that run real workers."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from tests.support.broker.fleet import Fleet
from tests.support.broker.records import FIRST_SPANS, REAL_SPANS, Json, json_values, real_lines, until
from topology.devbroker import Broker

MakeFleet = Callable[..., Fleet]


@pytest.fixture(scope="session")
def warm_broker(broker: Broker) -> Broker:
    """The broker after its first consumer group."""
    warm(broker.bootstrap_servers)
    return broker


def warm(servers: str) -> None:
    """Return when a broker has a group coordinator: until then workers rightly complain that there is none."""
    with Fleet(servers, Path(), {}) as fleet:

        def answered() -> bool:
            try:
                fleet.committed(fleet.input)
            except (AssertionError, KafkaException):  # a broker that has just started is still loading its groups
                return False
            return True

        until(answered, "a group coordinator")


@pytest.fixture
def make_fleet(warm_broker: Broker, tmp_path: Path) -> Iterator[MakeFleet]:
    """Makes applications of this test's own: `make_fleet(SMALL, windows__grace="0")`; their workers end with the test."""
    with contextlib.ExitStack() as stack:

        def make(base: Mapping[str, str] | None = None, *, topics: bool = True, **environment: str) -> Fleet:
            settings = {**(base or {}), **environment}
            fleet = stack.enter_context(Fleet(warm_broker.bootstrap_servers, tmp_path, settings))
            if topics:
                fleet.create_topics()
            return fleet

        yield make


def replayed(broker: Broker, directory: Path, file: Path) -> list[Json]:
    """What `modpulse replay` says of a file over 4 partitions, with the default configuration."""
    done = Fleet(broker.bootstrap_servers, directory, {}).command("replay", str(file), "--partitions", "4")
    assert done.returncode == 0, done.stderr
    return json_values(done.stdout.splitlines())


@pytest.fixture(scope="session")
def real_replay(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    """The replay of all real spans."""
    return replayed(broker, tmp_path_factory.mktemp("replay"), REAL_SPANS)


@pytest.fixture(scope="session")
def first_replay(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    """The replay of the first real spans, for tests that go through them many times."""
    directory = tmp_path_factory.mktemp("replay")
    file = directory / "spans.jsonl"
    file.write_bytes(b"\n".join(real_lines()[:FIRST_SPANS]) + b"\n")
    return replayed(broker, directory, file)
