"""One application on the shared broker: its topics, its worker processes, and what they wrote.

Everything is seen from outside: workers are processes, outputs are read by another client library than the worker's.
"""

import asyncio
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from tests.support.broker.follower import Follower
from tests.support.broker.records import (
    DEADLINE_S,
    MODPULSE,
    NEW_GROUP,
    NEW_TOPIC,
    Json,
    Place,
    Record,
    Row,
    default_partition,
    until,
)
from tests.support.paths import ROOT
from topology.kafka.topic_admin import create_topics
from topology.settings import Settings, load_settings
from topology.settings.sections import TOPIC_FIELDS


class WorkerProcess:
    """A `modpulse run` in a process of its own, and its log."""

    def __init__(self, environment: Mapping[str, str], log_file: Path, arguments: Sequence[str]) -> None:
        self.log_file = log_file
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [*MODPULSE, "run", *arguments], env=environment, cwd=log_file.parent, stdout=log, stderr=log
            )
        self.pid = self._process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def events(self, name: str | None = None) -> list[Json]:
        """Its log lines, or those of one event."""
        said = [orjson.loads(line) for line in self.log.splitlines(keepends=False) if line.startswith("{")]
        return [line for line in said if name is None or line["event"] == name]

    def complaints(self) -> list[Json]:
        """Log lines of level error and above."""
        return [line for line in self.events() if line["level"] in {"error", "critical"}]

    def wait_until_ready(self) -> Self:
        """Return when `/readyz` says so."""
        until(lambda: self._ended() or self.get("/readyz")[0] == 200, f"worker ready; {self.log_file}")
        assert self.alive, self.log
        return self

    def _ended(self) -> bool:
        return not self.alive

    @property
    def address(self) -> str | None:
        """Where its probes listen."""
        said = self.events("probes") if self.log_file.exists() else []
        return said[0]["listening"][0] if said else None

    def get(self, path: str) -> tuple[int, str]:
        """Ask a probe; status 0 when it does not answer."""
        if self.address is None:
            return 0, "no address yet"
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metric(self, name: str, **labels: str) -> float | None:
        """The sum of a metric's samples with these labels; None where there is none."""
        status, text = self.get("/metrics")
        if status != 200:
            return None
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]
        found = [s.value for s in samples if labels.items() <= s.labels.items()]
        return sum(found) if found else None

    def terminate(self) -> int:
        """SIGTERM; its exit code."""
        self._process.terminate()
        return self.wait()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Its exit code, when it has ended."""
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not end:\n{self.log}") from None


# --- the application ------------------------------------------------------------------------------------------------


class Fleet:
    """An application with names of its own. Its workers are gone when the context is left."""

    def __init__(self, servers: str, directory: Path, environment: Mapping[str, str]) -> None:
        """Nothing is started and no topic is made yet.

        Args:
            servers: the broker.
            directory: for logs.
            environment: settings by lower-case environment name without prefix, such as `windows__grace`.
        """
        self.servers = servers
        self.name = f"it-{uuid4().hex[:10]}"
        self._directory = directory
        named = {f"topics__{field}": f"{self.name}.{field}" for field in TOPIC_FIELDS}
        base = {
            "kafka__bootstrap_servers": servers,
            "kafka__session_timeout": "6s",
            "metrics__bind": "127.0.0.1:0",
            "application_id": f"{self.name}-app",
        }
        self._mine = base | named | dict(environment)
        self.workers: list[WorkerProcess] = []
        self._watcher: Any = None

    @property
    def environment(self) -> dict[str, str]:
        """Of every process of this application."""
        # Compiled modules are kept: every start would compile everything again.
        unwanted = ("MODPULSE_", "PYTHONDONTWRITEBYTECODE")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        mine = {f"MODPULSE_{name.upper()}": value for name, value in self._mine.items()}
        return inherited | mine | {"PYTHONPATH": str(ROOT)}

    def configure(self, **environment: str) -> None:
        """Change settings for the processes started from now on."""
        self._mine |= environment
        self._watcher = None  # it knows the topics as they were

    @property
    def settings(self) -> Settings:
        return load_settings(environ={name: v for name, v in self.environment.items() if name.startswith("MODPULSE_")})

    @property
    def input(self) -> str:
        return self.settings.topics.module_log_events

    @property
    def partitions(self) -> int:
        return self.settings.topics.partitions

    def create_topics(self) -> None:
        asyncio.run(create_topics(self.settings, dry_run=False))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a modpulse command to its end."""
        return subprocess.run(
            [*MODPULSE, *arguments],
            env=self.environment,
            cwd=self._directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *arguments: str, **environment: str) -> WorkerProcess:
        """Start a worker; it is not ready yet."""
        variables = self.environment | {f"MODPULSE_{name.upper()}": value for name, value in environment.items()}
        log_file = self._directory / f"{self.name}-{len(self.workers)}.log"
        self.workers.append(WorkerProcess(variables, log_file, arguments))
        return self.workers[-1]

    def publish(self, rows: Iterable[Row], **producer: object) -> list[Place]:
        """Write records to the input; answers where each went, in order."""
        writer = Producer({"bootstrap.servers": self.servers, "linger.ms": 20, "log_level": 0, **producer})
        return self.write(writer, rows)

    def write(self, writer: Any, rows: Iterable[Row]) -> list[Place]:
        """The same with a producer of the test's own."""
        places: dict[int, Place] = {}

        def note(number: int) -> Callable[[Any, Any], None]:
            def delivered(error: Any, message: Any) -> None:
                assert error is None, error
                places[number] = Place(message.partition(), message.offset())

            return delivered

        topic, partitions = self.input, self.partitions
        for number, one in enumerate(rows):
            target = one.partition
            if target is None:
                assert one.key is not None
                target = default_partition(one.key, partitions)
            arguments = {"key": one.key, "value": one.value, "partition": target, "headers": list(one.headers)}
            while True:
                try:
                    writer.produce(topic, on_delivery=note(number), **arguments)
                    break
                except BufferError:
                    writer.poll(0.1)
            if number % 1000 == 0:
                writer.poll(0)
        assert writer.flush(DEADLINE_S) == 0
        return [places[number] for number in sorted(places)]

    def follow(self, topic: str) -> "Follower":
        """A reader that stays."""
        return Follower(self.servers, topic)

    def read(self, topic: str) -> list[Record]:
        """Every committed record of a topic, from offset 0 to the end of each partition."""
        with self.follow(topic) as reader:
            return reader.to_the_end()

    def metrics(self) -> list[Json]:
        """Everything on module-metrics, partition by partition in the order of its offsets."""
        return [record.json for record in self.read(self.settings.topics.module_metrics)]

    def committed(self, topic: str) -> dict[int, int]:
        """The group's committed offset of each partition; 0 where there is none."""
        if self._watcher is None:
            self._watcher = Consumer(
                {
                    "bootstrap.servers": self.servers,
                    "group.id": self.settings.application_id,
                    "log_level": 0,
                    "isolation.level": "read_uncommitted",  # of an offset in an open transaction, what was before
                }
            )
        wanted = [TopicPartition(topic, partition) for partition in range(self.partitions)]

        def asked() -> dict[int, int]:
            try:
                found = self._watcher.committed(wanted, timeout=10)
            except KafkaException as error:
                if not error.args[0].retriable() and error.args[0].code() not in NEW_GROUP:
                    raise
                return {}
            return {tp.partition: max(tp.offset, 0) for tp in found}

        return until(asked, f"the commits of {topic}")

    def begins(self, topic: str) -> dict[int, int]:
        """The first offset that still exists of each partition."""
        return self._watermarks(topic, 0)

    def ends(self, topic: str) -> dict[int, int]:
        """The end of each partition's log."""
        self.committed(topic)  # makes the watcher
        return self._watermarks(topic, 1)

    def _watermarks(self, topic: str, which: int) -> dict[int, int]:
        def asked() -> dict[int, int]:
            try:
                watcher = self._watcher
                return {
                    partition: watcher.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[which]
                    for partition in range(self.partitions)
                }
            except KafkaException as error:
                if not error.args[0].retriable() and error.args[0].code() not in NEW_TOPIC:
                    raise
                return {}

        return until(asked, f"the ends of {topic}")

    def processed(self) -> int:
        """How many offsets of the input the group has committed."""
        return sum(self.committed(self.input).values())

    def wait_until_processed(self, *, deadline_s: float = DEADLINE_S) -> None:
        """Return when everything published, and everything forwarded, is processed and committed."""
        sources = (self.input, self.settings.repartition_topic)

        seen: list[object] = []

        def done() -> bool:
            # Committed first: an event that was forwarded stands in the repartition topic by then.
            committed = [self.committed(source) for source in sources]
            ends = [self.ends(source) for source in sources]
            seen[:] = committed, ends
            return committed == ends or self._no_worker()

        until(done, lambda: f"{self.name}: committed and ends are {seen}\n{self.workers[-1].log}", deadline_s)
        assert not self._no_worker(), self.workers[-1].log

    def _no_worker(self) -> bool:
        return not any(worker.alive for worker in self.workers)

    def positions(self) -> dict[int, Json]:
        """The newest position record of each partition's changelog."""
        said = self.read(self.settings.changelog_topic)
        return {record.partition: record.json for record in said if record.key == b"position"}

    def ledgers(self) -> dict[str, Counter[str]]:
        """The ledger of each source over all partitions, checked to balance in each."""
        names = ("consumed", "applied", "late", "duplicate", "invalid", "future", "forwarded")
        total: dict[str, Counter[str]] = {
            "input": Counter(dict.fromkeys(names, 0)),
            "repartition": Counter(dict.fromkeys(names, 0)),
        }
        sources = {self.input: "input", self.settings.repartition_topic: "repartition"}
        for position in self.positions().values():
            for topic, columns in position["ledger"].items():
                assert columns[0] == sum(columns[1:]), (topic, columns)
                total[sources[topic]].update(dict(zip(names, columns, strict=True)))
        return total

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if worker.alive:
                worker.kill()
        if self._watcher is not None:
            self._watcher.close()
