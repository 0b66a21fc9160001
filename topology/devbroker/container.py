"""Apache Kafka's own image in a Docker engine, by testcontainers' generic container.

testcontainers is a development dependency, so it is imported only here and only when asked. Its own `KafkaContainer` is
not used: it cannot run `apache/kafka` images.
"""

import contextlib
import socket
from collections.abc import Iterator, Mapping

from topology.devbroker.handshake import wait_until_ready
from topology.devbroker.packages import ProviderUnavailableError
from topology.devbroker.process import DEFAULT_PROPERTIES, free_port

IMAGE = "apache/kafka:4.1.0"
_CONTROLLER_PORT = 9093
_CLUSTER_ID = "bW9kcHVsc2UtZGV2LWJyaw"
_START_DEADLINE_S = 90.0
_ENGINE_TIMEOUT_S = 2.0
_DEFAULT_ENGINE = "unix:///var/run/docker.sock"


@contextlib.contextmanager
def kafka_container(properties: Mapping[str, str]) -> Iterator[str]:
    """Run the image for as long as the context lasts and yield its address.

    Raises:
        ProviderUnavailableError: testcontainers is not installed, no local engine answers, or it cannot run the image.
        BrokerUnavailable: the container runs but Kafka in it was not ready in time.
    """
    try:
        import docker.errors  # type: ignore[import-untyped]
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.docker_client import get_docker_host
        from testcontainers.core.exceptions import ContainerStartException
    except ImportError as problem:
        raise ProviderUnavailableError("testcontainers is not installed") from problem
    port = free_port()
    try:
        _ask_engine(get_docker_host() or _DEFAULT_ENGINE)
        container = DockerContainer(IMAGE, env=environment(properties, port))
        container.ports[f"{port}/tcp"] = ("127.0.0.1", port)
        container.start()
    except (docker.errors.DockerException, ContainerStartException, OSError) as problem:
        raise ProviderUnavailableError(f"no Docker engine that runs {IMAGE}: {problem}") from problem
    try:
        address = f"127.0.0.1:{port}"

        def still_starting() -> bool:
            container.reload()
            return container.status not in {"exited", "dead"}

        wait_until_ready(address, _START_DEADLINE_S, still_starting)
        yield address
    finally:
        container.stop()


def environment(properties: Mapping[str, str], port: int) -> dict[str, str]:
    """Return the image's full environment: a single variable replaces all of its packaged defaults.

    The port is the same inside and outside: the broker also talks to itself at its advertised address (transaction
    markers), so that must be right from both sides.
    """
    server = {
        **DEFAULT_PROPERTIES,
        "controller.quorum.voters": f"1@localhost:{_CONTROLLER_PORT}",
        "log.dirs": "/tmp/kraft-combined-logs",  # noqa: S108 - in the container
        "listeners": f"PLAINTEXT://:{port},CONTROLLER://:{_CONTROLLER_PORT}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        **properties,
    }
    return {"CLUSTER_ID": _CLUSTER_ID, **{environment_name(name): value for name, value in server.items()}}


def environment_name(property_name: str) -> str:
    """Spell a server property as the image's environment does: `.` is `_`, `_` is `__`, `-` is `___`."""
    escaped = property_name.replace("_", "__").replace("-", "___").replace(".", "_")
    return f"KAFKA_{escaped.upper()}"


def _ask_engine(engine: str) -> None:
    """Connect to the engine's socket once: the client library takes longer to find nobody and leaks a socket then."""
    path = engine.removeprefix("unix://")
    if path == engine:
        raise ProviderUnavailableError(
            f"the Docker engine at {engine} is not on this machine, so its ports are not ours"
        )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ENGINE_TIMEOUT_S)
        try:
            connection.connect(path)
        except OSError as problem:
            raise ProviderUnavailableError(f"no Docker engine answers at {path}") from problem
