"""A broker with a loaded topic, and everything a program needs to run on it."""

import asyncio
import contextlib
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.report.catalog import Program
from bench.report.progress import Task
from bench.rig.builds import ROOT
from bench.rig.measure import Outcome, measure
from bench.rig.workload import Loaded, Workload, load, make_topic, remove_topics
from pipeline.config import WindowConfig
from topology.devbroker import dev_broker
from topology.kafka.topic_admin import create_topics
from topology.settings import Settings, load_settings

LOGS = ROOT / ".dev" / "bench-logs"
_DEADLINE_S = 60.0
_SLOWEST_RATE = 1_000.0
# Outputs pile up over the runs; nobody reads them.
_BROKER = {"log.retention.bytes": str(4 << 30), "log.segment.bytes": str(64 << 20)}


@dataclass(frozen=True, slots=True)
class Arena:
    """Where programs are measured."""

    bootstrap_servers: str

    def settings(self, run: str, topic: str, partitions: int) -> dict[str, str]:
        """The worker's environment for one run: names of its own, everything else as it comes."""
        return {
            "MODPULSE_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "MODPULSE_APPLICATION_ID": run,
            "MODPULSE_TOPICS__MODULE_LOG_EVENTS": topic,
            "MODPULSE_TOPICS__PARTITIONS": str(partitions),
            "MODPULSE_METRICS__BIND": f"127.0.0.1:{free_port()}",
            "MODPULSE_LOG__LEVEL": "warning",
            **{
                f"MODPULSE_TOPICS__{field}": f"{run}-{name}"
                for field, name in (
                    ("MODULE_METRICS", "module-metrics"),
                    ("SYSTEM_METRICS", "system-metrics"),
                    ("MODULE_ALERTS", "module-alerts"),
                    ("LATE", "late"),
                    ("DLQ", "dlq"),
                )
            },
        }

    def load(self, workload: Workload) -> Loaded:
        """Fill a new topic."""
        topic = f"bench-input-{secrets.token_hex(3)}"
        return load(self.read(self.settings("bench-load", topic, workload.partitions)), workload)

    @staticmethod
    def read(environment: Mapping[str, str]) -> Settings:
        """These settings and no others: neither a file nor the caller's environment changes a benchmark."""
        return load_settings(Path("/dev/null"), environ=dict(environment))

    def task(self, loaded: Loaded, events: int, run: str) -> Task:
        """What a program is asked to do."""
        windows = WindowConfig()
        partitions = loaded.workload.partitions
        return Task(self.bootstrap_servers, loaded.topic, partitions, events, run, windows.base_ms, windows.grace_ms)

    def run(self, program: Program, loaded: Loaded, more: Mapping[str, str] | None = None) -> Outcome:
        """Measure a program once.

        Raises:
            NotBuiltError: it cannot be made here.
            VoidError: not every event was processed.
        """
        command = program.command()
        total = loaded.workload.events
        events = max(int(total * program.share), 1_000)
        run = f"bench-{secrets.token_hex(4)}"
        task = self.task(loaded, events, run)
        environment: dict[str, str] = {}
        if program.kind == "modpulse":
            environment = self.settings(run, loaded.topic, loaded.workload.partitions)
            environment |= {**program.settings, **(more or {})}
            asyncio.run(create_topics(self.read(environment), dry_run=False))
        if program.output:
            asyncio.run(make_topic(self.bootstrap_servers, f"{run}-out", loaded.workload.partitions))
        try:
            return measure(
                command,
                task,
                environment,
                LOGS / run / "stderr.log",
                whole=events == total,
                verifies=program.verifies,
                deadline_s=_DEADLINE_S + events / _SLOWEST_RATE,
            )
        finally:
            asyncio.run(remove_topics(self.bootstrap_servers, run))
            shutil.rmtree(LOGS / run / "tmp", ignore_errors=True)


@contextlib.contextmanager
def arena() -> Iterator[Arena]:
    """A broker of one's own for as long as the context lasts."""
    with dev_broker(properties=_BROKER) as broker:
        yield Arena(broker.bootstrap_servers)


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
