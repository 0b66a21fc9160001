"""The tasks of a worker: opened when their partitions are assigned, given what was fetched for them, and given up in time."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP

from pipeline.alerts.rules import Rule
from pipeline.cores.module_core import ModuleCore
from pipeline.system.core import SystemCore
from schemas.errors import (
    ConfigError,
    InputRewound,
    ModpulseError,
    PartitionsChanged,
    RecordRefused,
    StateIncompatible,
    StateLost,
    TaskFenced,
)
from topology.consumer.fetch import Piece
from topology.kafka.client import named_error
from topology.runtime.acceptance import Acceptance
from topology.runtime.clock import SteadyClock
from topology.settings import Settings
from topology.state.log_position import LogEdges, start_of
from topology.state.restore import check_partitions, partition_counts
from topology.worker.dead_letter_watch import DeadLetterWatch
from topology.worker.flush_pace import FlushPace
from topology.worker.metrics import Instruments
from topology.worker.parked import ParkedTasks
from topology.worker.task import Task, TaskSpec
from topology.worker.topic_snapshot import TopicSnapshot, look_at_topics, refuse_other_count

log = structlog.get_logger()

# A rebalance waits for the slowest member: what cannot be written in this time is left to the next owner.
SUSPEND_TIMEOUT_S = 8.0
# Restores under way at once: each holds a connection, three fetches and the state it has read so far.
RESTORES_AT_ONCE = 3
# A position that does not fit its log is asked about again: right after a new leader was elected an answer may be an old one.
REWOUND_ANSWERS = 3
ASK_AGAIN_S = 1.0
MADE_ANEW_S = 15.0
SYSTEM = "system"
# What an operator has to mend for one task; the other tasks can do without it.
_ITS_OWN = (StateLost, StateIncompatible, InputRewound, RecordRefused)


class Reader(Protocol):
    """Who reads for the tasks (`topology.consumer.transport.BatchConsumer`)."""

    async def ends(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The end of each partition's log."""

    async def begins(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The first offset of each partition that still exists."""

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """What the group committed."""

    async def at_time(self, partitions: Iterable[TP], time_ms: int) -> dict[TP, int]:
        """The first offset written at a time or later; the log's end where there is none."""

    async def start_reading(self, offsets: Mapping[TP, int]) -> None:
        """Read these partitions from these offsets on."""

    async def stop_reading(self, partitions: Iterable[TP]) -> None:
        """Read these partitions no more."""


class Assignment:
    """Everything the transport tells the worker (`topology.consumer.transport.Listener`).

    Attributes:
        tasks: the open ones by name.
        parked: those that cannot be opened.
        joined: whether the group has given this worker its share, be it empty.
        opening: whether tasks are being restored.
        topics: the worker's topics when its share was given.
    """

    def __init__(
        self,
        settings: Settings,
        rules: Sequence[Rule],
        options: Mapping[str, Any],
        instruments: Instruments,
        failed: Callable[[str | None, BaseException], None],
        *,
        clock: SteadyClock,
        acceptance: Acceptance,
        strict: bool,
        given_up: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._config = settings.core()
        self._options = options
        self._instruments = instruments
        self._task_failed = failed
        self._clock = clock
        self._acceptance = acceptance
        self._strict = strict
        self._given_up = dict(given_up)
        self._pace = FlushPace(settings.flush_interval / 1000)
        self._by_source: dict[TP, Task] = {}
        self._partitions: set[TP] = set()
        self._restores = asyncio.Semaphore(RESTORES_AT_ONCE)
        self._background: set[asyncio.Task[None]] = set()
        self._rewound: dict[TP, int] = {}
        self._opening_again = False
        self._retry_all = False
        self._checking = asyncio.Lock()
        self._checked: TopicSnapshot | None = None
        self._consented: set[str] = set()
        self._began = False
        self.reader: Reader | None = None
        self.tasks: dict[str, Task] = {}
        self.parked = ParkedTasks(instruments.parked)
        self.letters = DeadLetterWatch(settings.limits, instruments)
        self.joined = False
        self.opening = False
        self.topics = TopicSnapshot()

    def clients(self) -> list[Any]:
        """The aiokafka clients of all open tasks."""
        return [task.client for task in self.tasks.values()]

    # --- what the transport tells ---------------------------------------------------------------------------------------

    async def assigned(self, partitions: set[TP]) -> None:
        """Open the tasks that are new here, drop those that are not ours any more, keep the others as they are."""
        self.opening = True
        self._instruments.rebalanced()
        self._partitions = set(partitions)
        await self._look_at_topics()
        self._acceptance.require_tasks(self.topics.partitions)
        specs = {spec.name: spec for spec in self._specs(partitions)}
        self.parked.keep_only(set(specs))
        await self._drop_all([task for name, task in self.tasks.items() if name not in specs])
        kept = list(self.tasks.values())
        fresh = [spec for name, spec in specs.items() if name not in self.tasks]
        for task in kept:
            await self._start(task)
        async with asyncio.TaskGroup() as group:
            for spec in fresh:
                group.create_task(self._open(spec))
        self._end_when_nothing_is_left(specs)
        self.joined, self.opening, self._began = True, False, True
        log.info("assigned", tasks=sorted(self.tasks), opened=[spec.name for spec in fresh if spec.name in self.tasks])

    async def _look_at_topics(self) -> None:
        """Take the topics as they are now; one that was there before and is being made anew gets some seconds to come back.

        Raises:
            PartitionsChanged: there are others than before; nothing was opened for them.
        """
        until_s = time.monotonic() + (MADE_ANEW_S if self.topics.partitions else 0.0)
        while True:
            try:
                topics = await look_at_topics(self._settings)
                break
            except ConfigError:
                if time.monotonic() > until_s:
                    raise
            await asyncio.sleep(ASK_AGAIN_S)
        # Before anything is opened: a module must not be counted in two places.
        refuse_other_count(self.topics, topics, self._settings.topics.module_log_events)
        self.topics = topics
        self._instruments.input_partitions(topics.partitions)

    async def revoked(self, partitions: set[TP]) -> None:
        """Write what is owed. The tasks stay open: most rebalances give them back."""
        self.joined = False
        await self.stop_background()
        concerned = {self._by_source.pop(tp) for tp in partitions if tp in self._by_source}
        await self._suspend(sorted(concerned, key=lambda task: task.spec.name))

    async def batch(self, partition: TP, piece: Piece) -> int | None:
        """Process a piece; see `Listener.batch`."""
        task = self._by_source.get(partition)
        if task is None or task.suspended:
            return None
        back_to = await task.process(partition.topic, piece)
        # It may have been given up while it was flushing.
        if self.tasks.get(task.spec.name) is task and (
            error := self.letters.exceeded(task.spec.name, task.core.ledgers)
        ):
            # The task goes first: not even a last flush may commit what it holds.
            await self._drop(task)
            raise error
        return back_to

    async def out_of_range(self, partition: TP, offset: int) -> int | None:
        """The log does not hold an offset: find out why; see `Listener.out_of_range`."""
        task = self._by_source.get(partition)
        if task is None or task.suspended:
            return None
        topic, position = partition.topic, task.offsets[partition.topic]
        if offset != position:
            return position
        edges = (await self.edges([partition]))[partition]
        try:
            start = start_of(task.spec.name, topic, position, task.core.shell.topic_ids.get(topic, ""), edges)
        except InputRewound as error:
            self._rewound[partition] = self._rewound.get(partition, 0) + 1
            if self._rewound[partition] >= REWOUND_ANSWERS:
                del self._rewound[partition]
                await self.park(task, error)
                return None
        else:
            self._rewound.pop(partition, None)
            if start.lost:
                return task.skip_lost(topic, start.offset)
        # The log should hold it: ask again soon, and let the other partitions go on meanwhile.
        assert self.reader is not None
        await self.reader.stop_reading([partition])
        self._in_background(self._flow_later(task, partition))
        return None

    def failed(self, error: BaseException) -> None:
        """Reading cannot go on."""
        self._task_failed(None, error)

    # --- what the broker says of the logs (`topology.worker.task.LogView`) -----------------------------------------------------

    def topic_id(self, topic: str) -> str:
        """The broker's id of a topic."""
        return self.topics.id_of(topic)

    async def edges(self, partitions: Iterable[TP]) -> dict[TP, LogEdges]:
        """The partitions as they are now."""
        assert self.reader is not None
        asked = list(partitions)
        begins, ends = await asyncio.gather(self.reader.begins(asked), self.reader.ends(asked))
        return {tp: LogEdges(self.topics.id_of(tp.topic), begins[tp], ends[tp]) for tp in asked}

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """What the group committed."""
        assert self.reader is not None
        return await self.reader.committed(partitions)

    async def check_partitions(self) -> None:
        """Refuse state that was made for another number of partitions, of whatever task; looked at once for each assignment.

        Raises:
            PartitionsChanged: there is some.
        """
        async with self._checking:
            if self._checked is not self.topics:
                topic, partitions = self._settings.changelog_topic, self.topics.partitions
                check_partitions(topic, await partition_counts(self._options, topic, partitions), partitions)
                self._checked = self.topics

    async def at_time(self, partitions: Iterable[TP], time_ms: int) -> dict[TP, int]:
        """The first offset written at a time or later; the log's end where there is none."""
        assert self.reader is not None
        return await self.reader.at_time(partitions, time_ms)

    # --- opening and parking --------------------------------------------------------------------------------------------

    def _specs(self, partitions: set[TP]) -> list[TaskSpec]:
        settings = self._settings
        source, repartition = settings.topics.module_log_events, settings.repartition_topic
        specs = [
            TaskSpec(
                str(tp.partition),
                tp.partition,
                (source, repartition),
                repartition,
                settings.changelog_topic,
                lambda start, p=tp.partition: ModuleCore(  # type: ignore[misc]
                    self._config, self._rules, partition=p, partitions=self.topics.partitions, start=start
                ),
            )
            for tp in sorted(partitions)
            if tp.topic == source and TP(repartition, tp.partition) in partitions
        ]
        partials = TP(settings.partials_topic, 0)
        if partials in partitions:
            changelog = settings.system_changelog_topic
            make = lambda start: SystemCore(self._config, self._rules, start=start)  # noqa: E731
            specs.append(TaskSpec(SYSTEM, 0, (partials.topic,), None, changelog, make))
        return specs

    async def _open(self, spec: TaskSpec) -> None:
        """Open a task and let it flow; one that cannot be opened is parked."""
        if (reason := self._given_up.get(spec.name)) is not None:
            self.parked.park(spec, RecordRefused(reason), for_good=True)
            return
        task = Task(
            spec,
            self._settings,
            self._options,
            self._instruments,
            self._task_failed,
            clock=self._clock,
            pace=self._pace,
        )
        try:
            await task.open(self, self._acceptance_of(spec.name), self._restores)
        except BaseException as error:
            await task.close()
            reason_to_park = self._reason_to_park(error)
            if reason_to_park is None:
                raise
            self.parked.park(spec, reason_to_park)
            return
        self._consented.add(spec.name)
        self.tasks[spec.name] = task
        self.parked.release(spec.name)
        self.letters.opened(spec.name, task.core.ledgers)
        await self._start(task)

    def _acceptance_of(self, task: str) -> Acceptance:
        """What an operator accepted for a task: for its first opening here, and what was accepted for all only at the start."""
        if task in self._consented:
            return Acceptance()
        return self._acceptance.of_those_named() if self._began else self._acceptance

    def _reason_to_park(self, error: BaseException) -> BaseException | None:
        """The error in our words where only its task is concerned; None where the worker cannot go on."""
        if not isinstance(error, Exception):
            return None
        named = named_error(error, self._settings)
        if isinstance(named, ConfigError | TaskFenced | PartitionsChanged) or self._strict:
            return None
        return named

    async def _start(self, task: Task) -> None:
        """Let a task that is open process and flush."""
        assert self.reader is not None
        self._pace.tasks = len(self.tasks)
        task.resume()
        for tp in task.sources:
            self._by_source[tp] = task
        self._instruments.tasks(len(self.tasks))
        await self.reader.start_reading({tp: task.offsets[tp.topic] for tp in task.sources})

    async def park(self, task: Task, error: ModpulseError, *, flush: bool = True) -> None:
        """Let a task that was at work stand still.

        Args:
            task: it is closed.
            error: why.
            flush: write what it owes before.
        """
        assert self.reader is not None
        await self.reader.stop_reading(task.sources)
        if flush:
            await self._suspend([task])
        await self._drop(task)
        self.parked.park(task.spec, error)
        if self._strict:
            self._task_failed(task.spec.name, error)

    def retry_parked(self, *, all_of_them: bool = False) -> None:
        """Open parked tasks whose time has come; with `all_of_them`, also those that wait for an operator."""
        self._retry_all |= all_of_them
        if self.opening or self._opening_again or not self.joined:
            return  # it is asked again soon
        all_of_them, self._retry_all = self._retry_all, False
        if all_of_them:
            self._given_up.clear()
        specs = self.parked.due(all_of_them=all_of_them)
        if specs:
            self._opening_again = True
            self._in_background(self._open_again(specs))

    async def _open_again(self, specs: Sequence[TaskSpec]) -> None:
        try:
            await self._look_at_topics()
            for spec in specs:
                await self._open(spec)
        except (ModpulseError, KafkaError, OSError) as error:
            self._task_failed(None, error)
        finally:
            self._opening_again = False

    def _end_when_nothing_is_left(self, specs: Mapping[str, TaskSpec]) -> None:
        """A worker that has every input partition, and can open none of them before an operator acts, is of no use to anybody.

        Raises:
            ModpulseError: why the first of them is parked.
        """
        partitions = sorted(specs.keys() - {SYSTEM})
        errors = [error for name in partitions if isinstance(error := self.parked.error_of(name), _ITS_OWN)]
        if len(partitions) == self.topics.partitions and len(errors) == len(partitions):
            raise errors[0]

    async def _flow_later(self, task: Task, partition: TP) -> None:
        await asyncio.sleep(ASK_AGAIN_S)
        if self._by_source.get(partition) is task and not task.suspended:
            assert self.reader is not None
            await self.reader.start_reading({partition: task.offsets[partition.topic]})

    def _in_background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def stop_background(self) -> None:
        """End what goes on besides the transport's calls."""
        works = list(self._background)
        for work in works:
            work.cancel()
        if works:
            await asyncio.wait(works)

    # --- giving up ------------------------------------------------------------------------------------------------------

    async def end(self, within_s: float) -> None:
        """Write what every task owes, and close them all."""
        await self.stop_background()
        await self._suspend(list(self.tasks.values()), within_s)
        await self._drop_all(list(self.tasks.values()))

    async def _suspend(self, tasks: list[Task], within_s: float = SUSPEND_TIMEOUT_S) -> None:
        results = await asyncio.gather(*(task.suspend(within_s) for task in tasks), return_exceptions=True)
        lost: list[Task] = []
        for task, result in zip(tasks, results, strict=True):
            if result is None:
                continue
            # Its core is ahead of what is written, so it must not go on: the next owner restores the last commit.
            log.warning(
                "task could not be flushed, its owner will process again", task=task.spec.name, error=repr(result)
            )
            lost.append(task)
            if not isinstance(result, TimeoutError | TaskFenced):
                self._task_failed(task.spec.name, result)
        await self._drop_all(lost)

    async def _drop_all(self, tasks: list[Task]) -> None:
        await asyncio.gather(*(self._drop(task) for task in tasks))

    async def _drop(self, task: Task) -> None:
        self._by_source = {source: owner for source, owner in self._by_source.items() if owner is not task}
        self.tasks.pop(task.spec.name, None)
        self._pace.tasks = len(self.tasks)
        await task.close()
        self.letters.forget(task.spec.name)
        self._instruments.forget(task.spec.name)
        self._instruments.tasks(len(self.tasks))
