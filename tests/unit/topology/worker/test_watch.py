"""What a worker concludes from what it sees around it: silence, topics made anew, a group that refuses it, limits."""

import asyncio
import contextlib
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from pipeline.cores.module_core import ModuleCore
from schemas.errors import InputRewound, ModpulseError, PartitionsChanged, StateLost
from tests.support.core.cores import Event
from tests.support.shell.clocks import NOW_MS, Clocks
from tests.support.shell.task_on_dicts import CHANGELOG, FORWARDED, SETTINGS, SOURCE, Kafka, opened, piece
from topology.consumer.coordinator import GroupHealth
from topology.settings import Settings
from topology.worker import watch as module_under_test
from topology.worker.metrics import Instruments
from topology.worker.task import Task
from topology.worker.topic_snapshot import TopicSnapshot
from topology.worker.watch import Watch

PARTITIONS = 4
IDLE_S = SETTINGS.windows.idle_timeout / 1000
IDS = {SOURCE: "in-1", FORWARDED: "re-1", CHANGELOG: "log-1"}


class Around:
    """What the watch looks at; by default task 3 has read all five records of its input and forwarded none."""

    def __init__(self, patch: pytest.MonkeyPatch, settings: Settings = SETTINGS) -> None:
        self.clocks = Clocks()
        self.instruments = Instruments()
        self.settings = settings
        self.kafka = Kafka()
        self.kafka.install(patch)
        self.ends_of = {TP(SOURCE, 3): 5}
        self.committed_to = {TP(SOURCE, 3): 5}
        self.error: BaseException | None = None
        self.group = GroupHealth(joined=True, heard_s=None, error=None)
        self.topics: TopicSnapshot | ModpulseError = TopicSnapshot(PARTITIONS, IDS)
        self.parked: list[tuple[str, type[BaseException], bool]] = []
        self.failed: list[BaseException] = []
        self.tasks: dict[str, Task] = {}
        self.watch: Any = None
        for name in ("LOOK_S", "WARN_EVERY_S", "TOPICS_EVERY_S"):
            patch.setattr(module_under_test, name, 0.0)
        patch.setattr(module_under_test, "look_at_topics", self._look_at_topics)

    async def _look_at_topics(self, _: Settings) -> TopicSnapshot:
        if isinstance(self.topics, ModpulseError):
            raise self.topics
        return self.topics

    async def ends(self, partitions: Iterable[TP]) -> dict[TP, int]:
        asked = list(partitions)
        assert asked, "who asks for nothing is answered without the broker"
        if self.error is not None:
            raise self.error
        await self.meanwhile()
        return {tp: self.ends_of.get(tp, 0) for tp in asked}

    async def meanwhile(self) -> None:
        """What happens while the broker is asked."""

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int]:
        return {tp: self.committed_to[tp] for tp in partitions if tp in self.committed_to}

    def health(self) -> GroupHealth:
        return self.group

    async def park(self, task: Task, error: BaseException, *, flush: bool = True) -> None:
        self.parked.append((task.spec.name, type(error), flush))
        del self.tasks[task.spec.name]

    async def task_at_work(self) -> Task:
        task = await opened(self.kafka, self.clocks, self.settings)
        await task.process(SOURCE, piece(0, 5, Event("shop", NOW_MS).value))
        await task.flush()
        task.suspended = False
        self.tasks["3"] = task
        return task

    async def look(self) -> list[Any]:
        """Look around some times; answers what was logged."""
        nothing = SimpleNamespace(look=lambda *_: None, remind=lambda: None)
        if self.watch is None:
            assignment: Any = SimpleNamespace(
                topics=TopicSnapshot(PARTITIONS, IDS),
                tasks=self.tasks,
                opening=False,
                letters=nothing,
                parked=nothing,
                park=self.park,
                retry_parked=lambda: None,
            )
            reader: Any = self
            credentials: Any = nothing
            self.watch = Watch(
                self.settings,
                assignment,
                reader,
                self.instruments,
                clock=self.clocks.steady,
                credentials=credentials,
                failed=lambda _, error: self.failed.append(error),
            )
        with capture_logs() as lines:
            looking = asyncio.ensure_future(self.watch.run())
            for _ in range(40):
                await asyncio.sleep(0)
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking
        return lines


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch) -> Around:
    return Around(monkeypatch)


def idle_after(around: Around, silent_s: float = IDLE_S) -> bool:
    """Whether stream time follows the clock after so much silence."""

    async def run() -> bool:
        task = await around.task_at_work()
        around.clocks.elapsed += silent_s
        await around.look()
        return task.core.idle

    return asyncio.run(run())


def test_a_task_that_read_everything_is_idle_when_it_was_silent_for_long_enough(around: Around) -> None:
    assert idle_after(around)


def test_a_task_that_heard_something_a_moment_ago_is_not_idle(around: Around) -> None:
    assert not idle_after(around, IDLE_S - 0.01)


def test_a_record_that_comes_while_the_broker_is_asked_ends_the_silence(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def one_comes() -> None:
        await around.tasks["3"].process(SOURCE, piece(5, 6, Event("shop", NOW_MS).value))

    monkeypatch.setattr(around, "meanwhile", one_comes)
    around.ends_of[TP(SOURCE, 3)] = around.committed_to[TP(SOURCE, 3)] = 6
    assert not idle_after(around)


@pytest.mark.parametrize("end", [4, 6])
def test_a_task_that_is_not_exactly_at_the_end_of_its_input_is_not_idle(around: Around, end: int) -> None:
    around.ends_of[TP(SOURCE, 3)] = around.committed_to[TP(SOURCE, 3)] = end
    assert not idle_after(around)


def test_a_task_that_has_not_read_what_was_forwarded_to_it_is_not_idle(around: Around) -> None:
    around.ends_of[TP(FORWARDED, 3)] = 1
    assert not idle_after(around)


@pytest.mark.parametrize(("committed", "idle"), [({}, False), ({TP(SOURCE, 1): 8}, False), ({TP(SOURCE, 1): 9}, True)])
def test_where_records_are_forwarded_an_input_that_is_not_processed_may_hold_one_for_a_silent_task(
    around: Around, committed: dict[TP, int], idle: bool
) -> None:
    around.ends_of |= {TP(SOURCE, 1): 9, TP(FORWARDED, 2): 1}
    around.committed_to |= committed
    assert idle_after(around) == idle


def test_where_nothing_was_ever_forwarded_nobody_waits_for_other_partitions_unless_all_is_forwarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for repartition, idle in (("mismatch", True), ("always", False)):
        around = Around(monkeypatch, SETTINGS.model_copy(update={"repartition": repartition}))
        around.ends_of[TP(SOURCE, 1)] = 9
        assert idle_after(around) == idle


def test_a_broker_that_does_not_answer_proves_no_silence_and_is_not_heard(around: Around) -> None:
    async def run() -> None:
        task = await around.task_at_work()
        await around.look()
        heard_s = around.watch.heard_s
        around.error = OSError("away")
        around.clocks.elapsed += IDLE_S
        lines = await around.look()
        assert any(line.get("error") == "away" for line in lines)
        assert (task.core.idle, around.watch.heard_s) == (False, heard_s)
        around.group = GroupHealth(joined=True, heard_s=-1.0, error=None)
        assert around.watch.unheard_s == -1.0, "an answer of the group is one of the broker too"

    asyncio.run(run())


def test_a_worker_without_a_task_asks_the_broker_all_the_same(around: Around, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr(module_under_test, "LAG_EVERY_S", 0.0)
        await around.look()
        around.watch.heard_s = 0.0
        await around.look()
        assert around.watch.heard_s > 0

    asyncio.run(run())


def test_the_lag_is_what_the_input_holds_behind_the_position(around: Around) -> None:
    async def run() -> list[float | None]:
        await around.task_at_work()
        around.ends_of |= {TP(SOURCE, 3): 12}
        await around.look()
        value = around.instruments.registry.get_sample_value
        return [value("modpulse_lag_records", {"task": "3", "topic": topic}) for topic in (SOURCE, FORWARDED)]

    assert asyncio.run(run()) == [7.0, 0.0]


@pytest.mark.parametrize(
    ("changed", "parked"),
    [
        ({}, []),
        ({SOURCE: "in-2"}, [("3", InputRewound, True)]),
        ({FORWARDED: "re-2"}, [("3", InputRewound, True)]),
        ({CHANGELOG: "log-2"}, [("3", StateLost, False)]),
        ({CHANGELOG: "log-2", SOURCE: "in-2"}, [("3", StateLost, False)]),
        ({SOURCE: ""}, []),
    ],
)
def test_a_topic_that_was_made_anew_stops_its_tasks_and_one_whose_id_is_not_told_does_not(
    around: Around, changed: dict[str, str], parked: list[tuple[str, type[BaseException], bool]]
) -> None:
    async def run() -> None:
        await around.task_at_work()
        around.topics = TopicSnapshot(PARTITIONS, IDS | changed)
        await around.look()
        assert around.parked == parked, "what it owes is written unless the changelog it belongs to is gone"

    asyncio.run(run())


def test_more_partitions_end_the_worker_and_a_topic_that_is_away_for_a_moment_does_not(around: Around) -> None:
    async def run() -> None:
        await around.task_at_work()
        around.topics = StateLost("not there")
        lines = await around.look()
        assert any(line["event"] == "the topics cannot be looked at" for line in lines)
        assert (around.failed, around.parked) == ([], [])
        around.topics = TopicSnapshot(PARTITIONS + 1, IDS)
        await around.look()
        assert {type(error) for error in around.failed} == {PartitionsChanged}

    asyncio.run(run())


def test_what_the_group_refuses_ends_the_worker(around: Around) -> None:
    refused = ValueError("no ACL")
    around.group = GroupHealth(joined=False, heard_s=None, error=refused)
    asyncio.run(around.look())
    assert around.failed[0] is refused


def test_modules_over_the_limit_are_warned_of_while_they_go_on_to_come(around: Around) -> None:
    def warned(lines: list[Any]) -> list[int]:
        return [line["events"] for line in lines if "__other__" in line["event"]]

    async def run() -> None:
        core = (await around.task_at_work()).core
        assert isinstance(core, ModuleCore)
        core.modules.overflowed = 7
        assert warned(await around.look()) == [7]
        assert warned(await around.look()) == []
        core.modules.overflowed = 9
        assert warned(await around.look()) == [2]

    asyncio.run(run())
