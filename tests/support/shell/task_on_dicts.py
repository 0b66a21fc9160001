"""A task of a worker on a broker that is a few dictionaries."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from pipeline.cores.module_core import ModuleCore
from pipeline.outputs import Cut
from schemas.state import POSITION_KEY, pack_position
from tests.support.shell.clocks import NOW_MS, Clocks
from topology.records.piece import Piece
from topology.records.record_objects import RecordObjects
from topology.runtime.acceptance import Acceptance
from topology.settings import Settings
from topology.state.log_position import LogEdges
from topology.state.restore import Restored
from topology.worker import task as worker_task
from topology.worker.flush_pace import FlushPace
from topology.worker.metrics import Instruments
from topology.worker.task import Task, TaskSpec

SETTINGS = Settings()
SOURCE, FORWARDED, CHANGELOG = SETTINGS.topics.module_log_events, SETTINGS.repartition_topic, SETTINGS.changelog_topic


@dataclass
class Kafka:
    """Everything a task asks of a broker, and what it has committed there."""

    edges_of: dict[str, LogEdges] = field(
        default_factory=lambda: {
            SOURCE: LogEdges("in-1", 0, 1_000),
            FORWARDED: LogEdges("re-1", 0, 0),
            CHANGELOG: LogEdges("log-1", 0, 0),
        }
    )
    committed_to: dict[str, int] = field(default_factory=dict)
    other_partitions: BaseException | None = None
    asked_time_ms: list[int] = field(default_factory=list)
    state: dict[bytes, bytes] = field(default_factory=dict)
    transactions: list[Cut] = field(default_factory=list)
    commits: Callable[[], Awaitable[None]] | None = None
    client: Any = None

    async def open(self) -> None:
        """Fenced."""

    async def close(self) -> None:
        """Disconnected."""

    async def commit(self, cut: Cut, partition: int, changelog: str, offsets: Mapping[Any, int]) -> Cut:
        if self.commits is not None:
            await self.commits()
        self.transactions.append(cut)
        for key, value in cut.state:
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.state[POSITION_KEY] = pack_position(cut.position)
        self.committed_to.update({tp.topic: offset for tp, offset in offsets.items()})
        return cut

    def topic_id(self, topic: str) -> str:
        return self.edges_of[topic].topic_id

    async def edges(self, partitions: Iterable[TP]) -> dict[TP, LogEdges]:
        return {tp: self.edges_of[tp.topic] for tp in partitions}

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int]:
        return {tp: self.committed_to[tp.topic] for tp in partitions if tp.topic in self.committed_to}

    async def check_partitions(self) -> None:
        if self.other_partitions is not None:
            raise self.other_partitions

    async def at_time(self, partitions: Iterable[TP], time_ms: int) -> dict[TP, int]:
        self.asked_time_ms.append(time_ms)
        return dict.fromkeys(partitions, 400)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Every task that is made from now on has this broker."""

        async def read(*_: object) -> Restored:
            return Restored(dict(self.state), self.edges_of[CHANGELOG].begin, len(self.state), 0.1)

        patch.setattr(worker_task, "Transactor", lambda *_: self)
        patch.setattr(worker_task, "read_changelog", read)


def made(
    clocks: Clocks, settings: Settings = SETTINGS, failed: Callable[[str, BaseException], None] | None = None
) -> Task:
    """Task 3, not open yet."""
    spec = TaskSpec(
        "3", 3, (SOURCE, FORWARDED), FORWARDED, CHANGELOG, lambda start: ModuleCore(settings.core(), start=start)
    )
    told = failed or (lambda name, error: None)
    return Task(spec, settings, {}, Instruments(), told, clock=clocks.steady, pace=FlushPace(60.0))


async def opened(
    kafka: Kafka,
    clocks: Clocks | None = None,
    settings: Settings = SETTINGS,
    acceptance: Acceptance | None = None,
    failed: Callable[[str, BaseException], None] | None = None,
) -> Task:
    """Task 3, restored and ready to process; `resume` lets it flush by itself."""
    task = made(clocks or Clocks(), settings, failed)
    await task.open(kafka, acceptance or Acceptance(), asyncio.Semaphore(1))
    return task


def piece(start: int, end: int, value: bytes = b"{") -> Piece:
    """Records of these offsets; they are no events unless it is said what they are."""
    records = [
        SimpleNamespace(offset=offset, timestamp=NOW_MS, key=b"shop", value=value, headers=())
        for offset in range(start, end)
    ]
    return Piece(start, end, RecordObjects(records, 100, 1_000))
