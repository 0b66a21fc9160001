"""A broker of our own with two listeners: one for the harness, and one for workers that goes through the proxy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.strikes.proxy import Proxy
from tests.faults.strikes.small_disk import SmallDisk, small_disk
from topology.devbroker.process import KafkaProcess, free_port

DISK_MIB = 96
# How soon the coordinator looks for transactions that timed out; 10 s by default.
COMMON = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500"}


@dataclass(frozen=True, slots=True)
class Brokers:
    """Where the broker is.

    Attributes:
        direct: for the harness. workers: for the workers.
        process, proxy: to break them; None when the broker is somebody else's.
        disk: to fill it up; only of a broker that was given a small one.
    """

    direct: str
    workers: str
    process: KafkaProcess | None = None
    proxy: Proxy | None = None
    disk: SmallDisk | None = None


@contextmanager
def own_broker(directory: Path) -> Iterator[Brokers]:
    """Start one, and the proxy in front of it."""
    port, inner, outer, controller = (free_port() for _ in range(4))
    properties = {
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": (f"PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}"),
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{outer}",
        **COMMON,
    }
    directory.mkdir(parents=True, exist_ok=True)
    process = KafkaProcess(properties=properties, data_dir=directory, port=port)
    with process, Proxy(outer, inner) as proxy:
        yield Brokers(process.bootstrap_servers, f"127.0.0.1:{outer}", process, proxy)


@contextmanager
def broker_on_small_disk(directory: Path) -> Iterator[Brokers]:
    """Another one, with its topics on a file system that can be filled up; its own log stays here.

    Raises:
        RuntimeError: no such file system can be made here.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with small_disk(DISK_MIB) as disk:
        (directory / "topics").unlink(missing_ok=True)
        (directory / "topics").symlink_to(disk.directory)
        with KafkaProcess(properties=COMMON, data_dir=directory, heap="256m") as process:
            yield Brokers(process.bootstrap_servers, process.bootstrap_servers, process, disk=disk)
