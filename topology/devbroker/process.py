"""One Apache Kafka broker as a child process: started from the jars, stopped, killed, frozen and restarted by tests.

Its port and data directory stay the same over restarts, so a restart looks to clients like a broker that came back.
The child dies with this process, even when that is killed.
"""

import atexit
import base64
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from schemas.errors import BrokerUnavailable
from topology.devbroker.handshake import wait_until_ready
from topology.devbroker.jars import kafka_java
from topology.runtime import parent_death

_PARENT_DEATH = Path(parent_death.__file__)
_START_DEADLINE_S = 90.0  # 4 s on a quiet machine; CI machines are not quiet
_STOP_DEADLINE_S = 20.0
_LOG_TAIL_LINES = 15
# Below every usual ephemeral range: while the broker is down, no outgoing connection can take its port.
_FIRST_PORT, _LAST_PORT = 20_000, 30_000
# slf4j-simple writes to standard error, which is the log file; its level is INFO.
_LOG_OPTIONS = ("-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")
# The kernel ties "kill at the parent's death" to the starting thread, so that one must live as long as we do.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devbroker")

DEFAULT_PROPERTIES: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",  # a mistyped topic is an error, as in production
    "offsets.topic.num.partitions": "1",  # 50 by default: seconds of start time for nothing
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker that comes back waits until the controller gave up on its former self: 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}


class KafkaProcess:
    """A single-node KRaft broker on 127.0.0.1.

    As a context manager it is started on entry and stopped on exit. A data directory it made itself is removed by
    `close`; a given one is kept, and a later process on it finds its topics again.

    Args:
        properties: server properties over `DEFAULT_PROPERTIES`.
        data_dir: where topics, `server.properties` and `broker.log` live; by default a new temporary directory.
        port: the client port; by default a free one, fixed for the life of this object.
        heap: the maximum heap in Java's spelling.
    """

    def __init__(
        self,
        *,
        properties: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
        port: int | None = None,
        heap: str = "512m",
    ) -> None:
        self._given_properties = dict(properties or {})
        self._own_directory = data_dir is None
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="modpulse-kafka-"))
        self.port = port or free_port()
        self._controller_port = free_port()
        self._heap = heap
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        """The broker's log, appended to over restarts."""
        return self.data_dir / "broker.log"

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def alive(self) -> bool:
        """Whether the process exists; a paused one is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start the broker (formatting its storage the first time) and return once it serves; a running one is left.

        Args:
            wait: with False, return at once; `wait_until_ready` waits later.

        Raises:
            ProviderUnavailableError: no Java or no jars.
            BrokerUnavailable: it ended or was not ready in time; the message holds the end of its log.
        """
        if self.alive:
            return
        self.data_dir.mkdir(parents=True, exist_ok=True)
        configuration = self._write_configuration()
        if not (self.data_dir / "topics" / "meta.properties").exists():
            self._format_storage(configuration)
        server = kafka_java("kafka.Kafka", str(configuration), jvm=(f"-Xmx{self._heap}", *_LOG_OPTIONS))
        self._process = _SPAWNER.submit(self._spawn, server).result()
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, deadline_s: float = _START_DEADLINE_S) -> None:
        """Return once the broker serves requests; end it and raise BrokerUnavailable when it does not in time."""
        try:
            wait_until_ready(self.bootstrap_servers, deadline_s, lambda: self.alive)
        except BrokerUnavailable as problem:
            self.kill()
            raise BrokerUnavailable(f"{problem}; the end of its log:\n{self._log_tail()}") from problem

    def stop(self) -> None:
        """End it in an orderly way (SIGTERM), paused or not; one that does not end in 20 s is killed."""
        if self._process is None or not self.alive:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL), paused or not. No effect when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one run on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def restart(self, *, hard: bool = False) -> None:
        """Stop it (or kill it, if `hard`) and start it on the same port and data."""
        if hard:
            self.kill()
        else:
            self.stop()
        self.start()

    def close(self) -> None:
        """End it for good. A data directory of its own goes too, so there nothing is worth an orderly stop."""
        atexit.unregister(self.close)
        if self._own_directory:
            self.kill()
            shutil.rmtree(self.data_dir, ignore_errors=True)
        else:
            self.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", str(_PARENT_DEATH), str(os.getpid()), *command]
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.data_dir,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to handle, not the broker's
            )

    def _write_configuration(self) -> Path:
        properties = {
            **DEFAULT_PROPERTIES,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "log.dirs": str(self.data_dir / "topics"),
            **self._given_properties,
        }
        path = self.data_dir / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()), encoding="utf-8")
        return path

    def _format_storage(self, configuration: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode().replace("-", "_")
        command = kafka_java(
            "kafka.tools.StorageTool",
            *("format", "--cluster-id", cluster, "--config", str(configuration)),
            jvm=("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),  # it lives for a second
        )
        with self.log_file.open("ab") as log:
            ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        if ended.returncode != 0:
            raise BrokerUnavailable(f"Kafka's storage could not be formatted:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
            return "\n".join(lines[-_LOG_TAIL_LINES:])
        return "(no log)"


def free_port() -> int:
    """Return a port of 127.0.0.1 nothing listens on, outside the range outgoing connections take theirs from."""
    for _ in range(100):
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise BrokerUnavailable(f"no free port on 127.0.0.1 between {_FIRST_PORT} and {_LAST_PORT}")
