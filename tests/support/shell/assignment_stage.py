"""The assignment of a worker among stand-ins: tasks without cores, a broker that is a few dictionaries."""

import asyncio
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from tests.support.shell.clocks import Clocks
from topology.records.piece import Piece
from topology.runtime.acceptance import Acceptance
from topology.settings import load_settings
from topology.worker import assignment as worker_assignment
from topology.worker.assignment import Assignment
from topology.worker.metrics import Instruments
from topology.worker.task import TaskSpec
from topology.worker.topic_snapshot import TopicSnapshot

SETTINGS = load_settings(
    environ={"MODPULSE_LIMITS__DEAD_LETTER_STOP_RATIO": "0.5", "MODPULSE_LIMITS__DEAD_LETTER_MIN_RECORDS": "10"}
)
SOURCE, FORWARDED, PARTIALS = SETTINGS.topics.module_log_events, SETTINGS.repartition_topic, SETTINGS.partials_topic


class Stage:
    """What the assignment under test meets.

    Attributes:
        fails: by the task's name, what its opening raises.
        owed: likewise, what its last flush raises.
        accepted: what each opening was told, in order.
        made: the newest task of each name.
        written, closed: names of the tasks whose last flush was committed, and of those that were closed.
        reading: from which offset each partition is read.
        failed: what ended the worker, and at which task.
    """

    def __init__(self, patch: pytest.MonkeyPatch, partitions: int = 3, **options: Any) -> None:
        self.topics = TopicSnapshot(partitions, {SOURCE: "in-1"})
        self.made: dict[str, StandIn] = {}
        self.fails: dict[str, BaseException] = {}
        self.owed: dict[str, BaseException] = {}
        self.accepted: list[tuple[str, Acceptance]] = []
        self.written: list[str] = []
        self.closed: list[str] = []
        self.reading: dict[TP, int] = {}
        self.log_of: dict[TP, tuple[int, int]] = {}
        self.failed: list[tuple[str | None, BaseException]] = []

        async def look(_: object) -> TopicSnapshot:
            return self.topics

        patch.setattr(worker_assignment, "look_at_topics", look)
        patch.setattr(worker_assignment, "Task", lambda spec, *_, **__: StandIn(self, spec))
        values: dict[str, Any] = {"acceptance": Acceptance(), "strict": False, "given_up": {}}
        self.assignment = Assignment(
            SETTINGS,
            (),
            {},
            Instruments(),
            lambda task, error: self.failed.append((task, error)),
            clock=Clocks().steady,
            **values | options,
        )
        self.assignment.reader = self

    async def begins(self, partitions: Iterable[TP]) -> dict[TP, int]:
        return {tp: self.log_of.get(tp, (0, 100))[0] for tp in partitions}

    async def ends(self, partitions: Iterable[TP]) -> dict[TP, int]:
        return {tp: self.log_of.get(tp, (0, 100))[1] for tp in partitions}

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int]:
        return {}

    async def at_time(self, partitions: Iterable[TP], time_ms: int) -> dict[TP, int]:
        return {}

    async def start_reading(self, offsets: Mapping[TP, int]) -> None:
        self.reading.update(offsets)

    async def stop_reading(self, partitions: Iterable[TP]) -> None:
        for partition in partitions:
            self.reading.pop(partition, None)

    @property
    def names(self) -> list[str]:
        return sorted(self.assignment.tasks)


class StandIn:
    """A task without a core or a producer."""

    def __init__(self, stage: Stage, spec: TaskSpec) -> None:
        self._stage = stage
        self.spec = spec
        stage.made[spec.name] = self
        self.sources = [TP(topic, spec.partition) for topic in spec.sources]
        self.offsets = dict.fromkeys(spec.sources, 10)
        self.suspended = True
        self.processed = 0
        self.core: Any = SimpleNamespace(ledgers={}, shell=SimpleNamespace(topic_ids={SOURCE: "in-1"}))
        self.client = spec.name

    async def open(self, _: object, acceptance: Acceptance, restores: asyncio.Semaphore) -> None:
        self._stage.accepted.append((self.spec.name, acceptance))
        if (error := self._stage.fails.get(self.spec.name)) is not None:
            raise error

    def resume(self) -> None:
        self.suspended = False

    async def process(self, topic: str, piece: Piece) -> int | None:
        self.processed += 1
        return None

    def skip_lost(self, topic: str, begin: int) -> int:
        self.offsets[topic] = begin
        return begin

    async def suspend(self, timeout_s: float) -> None:
        self.suspended = True
        if (error := self._stage.owed.get(self.spec.name)) is not None:
            raise error
        self._stage.written.append(self.spec.name)

    async def close(self) -> None:
        self.suspended = True
        self._stage.closed.append(self.spec.name)


def share(*numbers: int, system: bool = False) -> set[TP]:
    pairs = {TP(topic, number) for number in numbers for topic in (SOURCE, FORWARDED)}
    return pairs | ({TP(PARTIALS, 0)} if system else set())


async def until_quiet() -> None:
    """Everything that waits for nothing but its turn has had it."""
    for _ in range(20):
        await asyncio.sleep(0)
