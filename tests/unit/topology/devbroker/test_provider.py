"""Where a broker comes from: a given address, Docker or Kafka's jars; and when none can give one, every way out is named."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

import pytest

from schemas.errors import BrokerUnavailable, ConfigError
from topology.devbroker import Broker, dev_broker, provider
from topology.devbroker.packages import ProviderUnavailableError
from topology.devbroker.process import free_port
from topology.devbroker.provider import TEST_ADDRESS_VARIABLE


def test_a_given_address_where_nothing_listens_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topology.devbroker.provider._GIVEN_DEADLINE_S", 0.3)
    monkeypatch.setenv(TEST_ADDRESS_VARIABLE, f"127.0.0.1:{free_port()}")
    with pytest.raises(BrokerUnavailable, match=TEST_ADDRESS_VARIABLE), dev_broker():
        pass


def no_network(lock: Path, what: str) -> Path:
    raise ProviderUnavailableError("no network")


def test_without_any_provider_the_error_names_all_three(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(TEST_ADDRESS_VARIABLE, raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("topology.devbroker.java.installed", no_network)
    with pytest.raises(ConfigError) as caught, dev_broker():
        pass
    message = str(caught.value)
    assert TEST_ADDRESS_VARIABLE in message
    assert "Docker engine" in message
    assert "Java 17 and Maven" in message
    assert "no `java` command, and no network" in message


def test_a_given_address_is_taken_when_any_of_its_parts_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{free_port()},127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv(TEST_ADDRESS_VARIABLE, f" {address} ")
        with dev_broker() as given:
            assert given == Broker(address, "address", None)


def test_a_given_address_without_a_port_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("localhost", "localhost:", "localhost:kafka"):
        monkeypatch.setenv(TEST_ADDRESS_VARIABLE, address)
        with pytest.raises(ConfigError, match=TEST_ADDRESS_VARIABLE), dev_broker():
            pass


class Started:
    """Stands for a broker from jars; so many of them find their port taken before one does not."""

    bootstrap_servers = "127.0.0.1:1"
    taken = 2
    begun = ended = 0

    def __init__(self, **options: Any) -> None:
        type(self).begun += 1

    def __enter__(self) -> Self:
        if self.begun <= self.taken:
            raise BrokerUnavailable("its port was taken")
        return self

    def __exit__(self, *error: object) -> None:
        type(self).ended += 1


def no_docker(properties: Mapping[str, str]) -> NoReturn:
    raise ProviderUnavailableError("no engine")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> type[Started]:
    """No address, no Docker, and jars that are there."""

    class Own(Started):
        """The counts of this test."""

    monkeypatch.delenv(TEST_ADDRESS_VARIABLE, raising=False)
    monkeypatch.setattr(provider, "kafka_container", no_docker)
    monkeypatch.setattr(provider, "KafkaProcess", Own)
    monkeypatch.setattr(provider, "java", lambda: "java")
    monkeypatch.setattr(provider, "kafka_libs", Path)
    return Own


def test_a_port_that_was_taken_meanwhile_is_tried_twice_more(started: type[Started]) -> None:
    with dev_broker() as found:
        assert (found.bootstrap_servers, found.provider) == ("127.0.0.1:1", "jars")
        assert (started.begun, started.ended) == (3, 0)
    assert (started.begun, started.ended) == (3, 1), "gone with the context"


def test_a_broker_that_never_gets_ready_is_not_tried_for_ever(started: type[Started]) -> None:
    started.taken = 3
    with pytest.raises(BrokerUnavailable, match="its port was taken"), dev_broker():
        pass
    assert started.begun == 3
