"""A broker of our own with two listeners: one for the harness, and one for workers that goes through the proxy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.proxy import Proxy
from topology.devbroker.process import KafkaProcess, free_port


@dataclass(frozen=True, slots=True)
class Brokers:
    """Where the broker is.

    Attributes:
        direct: for the harness. workers: for the workers.
        process, proxy: to break them; None when the broker is somebody else's.
    """

    direct: str
    workers: str
    process: KafkaProcess | None = None
    proxy: Proxy | None = None


@contextmanager
def own_broker(directory: Path) -> Iterator[Brokers]:
    """Start one, and the proxy in front of it."""
    port, inner, outer, controller = (free_port() for _ in range(4))
    properties = {
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": (f"PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}"),
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{outer}",
        # How soon the coordinator looks for transactions that timed out; 10 s by default.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    }
    directory.mkdir(parents=True, exist_ok=True)
    process = KafkaProcess(properties=properties, data_dir=directory, port=port)
    with process, Proxy(outer, inner) as proxy:
        yield Brokers(process.bootstrap_servers, f"127.0.0.1:{outer}", process, proxy)
