"""The chain that finds a broker: a given address, a Docker engine, Apache Kafka's jars.

Each provider either gives a broker, or says in a sentence why it cannot; only when all three cannot is it an error.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from schemas.errors import BrokerUnavailable, ConfigError
from topology.devbroker.container import kafka_container
from topology.devbroker.handshake import accepts_connections
from topology.devbroker.jars import kafka_libs
from topology.devbroker.java import java
from topology.devbroker.packages import ProviderUnavailableError
from topology.devbroker.process import KafkaProcess

# Not the worker's own setting: where that is set for a cluster that is meant for work, tests must not follow it.
TEST_ADDRESS_VARIABLE = "MODPULSE_TEST_BOOTSTRAP_SERVERS"
_GIVEN_DEADLINE_S = 15.0
_START_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker that is ready.

    Attributes:
        bootstrap_servers: the address for clients.
        provider: where it came from.
        process: the broker's process when we started it from the jars, for faults; else None.
    """

    bootstrap_servers: str
    provider: Literal["address", "docker", "jars"]
    process: KafkaProcess | None = None


@contextlib.contextmanager
def dev_broker(
    *,
    properties: Mapping[str, str] | None = None,
    data_dir: Path | None = None,
    address_variable: str = TEST_ADDRESS_VARIABLE,
) -> Iterator[Broker]:
    """Give a ready broker for as long as the context lasts; one we started is gone afterwards.

    Args:
        properties: server properties over the defaults. A given address keeps its own.
        data_dir: kept over runs, by the jars' provider only; by default data lasts as long as the context.
        address_variable: the environment variable that gives an address.

    Raises:
        ConfigError: no provider can give one; the message names the three ways out.
        BrokerUnavailable: a provider was found, but its broker did not become ready.
    """
    given = os.environ.get(address_variable, "").strip()
    if given:
        _wait_for_given(given, address_variable)
        yield Broker(given, "address")
        return
    with contextlib.ExitStack() as stack:
        yield _start(stack, properties or {}, data_dir, address_variable)


def _start(
    stack: contextlib.ExitStack, properties: Mapping[str, str], data_dir: Path | None, address_variable: str
) -> Broker:
    try:
        return Broker(stack.enter_context(kafka_container(properties)), "docker")
    except ProviderUnavailableError as problem:
        no_docker = str(problem)
    try:
        java()
        kafka_libs()
    except ProviderUnavailableError as problem:
        raise ConfigError(_remedies(address_variable, no_docker, str(problem))) from problem
    for attempt in range(1, _START_ATTEMPTS + 1):
        try:
            process = stack.enter_context(KafkaProcess(properties=properties, data_dir=data_dir))
        except BrokerUnavailable:  # its port may have been taken between being found free and being listened on
            if attempt == _START_ATTEMPTS:
                raise
        else:
            return Broker(process.bootstrap_servers, "jars", process)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _remedies(address_variable: str, no_docker: str, no_jars: str) -> str:
    return (
        "no Kafka broker to work with. Any one of these gives one:\n"
        f"  1. set {address_variable}=host:port of a broker (it is not set)\n"
        f"  2. start a Docker engine ({no_docker})\n"
        f"  3. let Apache Kafka be fetched: a network that reaches PyPI and Maven Central, or Java 17 and Maven here ({no_jars})"
    )


def _wait_for_given(addresses: str, address_variable: str) -> None:
    """Return once one of the addresses accepts connections. It may speak TLS or SASL, so nothing is asked of it."""
    end = time.monotonic() + _GIVEN_DEADLINE_S
    try:
        while not any(accepts_connections(address) for address in addresses.split(",")):
            if time.monotonic() > end:
                raise BrokerUnavailable(f"nothing listens at {addresses} ({address_variable})")
            time.sleep(0.2)
    except ValueError as problem:
        raise ConfigError(f"{address_variable}: {problem}") from problem
