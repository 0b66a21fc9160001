"""One task: the core of one partition, its producer, and the loop that flushes it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog
from aiokafka import TopicPartition
from faust.types import TP

from pipeline.config import Start
from pipeline.cores.module_core import ModuleCore
from pipeline.cores.task_core import TaskCore
from pipeline.native import load_native
from pipeline.outputs import StateRecord
from schemas.errors import BrokerUnavailable, InputRewound, PartitionsChanged, StateIncompatible, StateLost
from schemas.state import POSITION_KEY, Position
from topology.consumer.fetch import Piece
from topology.producer.letters import adopt
from topology.producer.transaction import Transactor
from topology.runtime.acceptance import Acceptance
from topology.runtime.clock import SteadyClock
from topology.settings import Settings
from topology.state.log_position import LogEdges, restart_of, start_of
from topology.state.restore import check_changelog, check_partitions, position_of, read_changelog
from topology.worker.flush_pace import FlushPace
from topology.worker.metrics import Instruments
from topology.worker.silence import Silence

log = structlog.get_logger()

# What is left of a task that is given up gets this long to end by itself.
GIVE_UP_S = 2.0
# With so many times `limits.max_buffered_bytes` in hand a task processes nothing more until it has flushed.
MOST_BUFFERED = 2


class LogView(Protocol):
    """What the broker says of the logs of a task."""

    def topic_id(self, topic: str) -> str:
        """The broker's id of a topic; empty when it does not tell."""

    async def edges(self, partitions: Iterable[TP]) -> Mapping[TP, LogEdges]:
        """The partitions as they are now."""

    async def committed(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """What the group committed; partitions without a commit are left out."""

    async def check_partitions(self) -> None:
        """Raise PartitionsChanged where any task's state was made for another number of partitions."""

    async def at_time(self, partitions: Iterable[TP], time_ms: int) -> Mapping[TP, int]:
        """The first offset written at a time or later; the log's end where there is none."""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What a task is made of.

    Attributes:
        name: unique in the application; also the end of its transactional id.
        partition: of its sources and its changelog.
        sources: topics it reads, each at `partition`.
        forwarded: the source whose records were forwarded to their module's partition, if any.
        changelog: its changelog topic.
        make_core: an empty core, and how it begins.
    """

    name: str
    partition: int
    sources: tuple[str, ...]
    forwarded: str | None
    changelog: str
    make_core: Callable[[Start | None], TaskCore]


class Task:
    """Owns one partition from fence to close.

    Guarantee: after `open`, whatever is flushed continues exactly what the newest committed transaction of this task says,
    whoever wrote it; and once another worker opened the same task, nothing more of this one is committed.
    """

    def __init__(
        self,
        spec: TaskSpec,
        settings: Settings,
        options: Mapping[str, Any],
        instruments: Instruments,
        failed: Callable[[str, BaseException], None],
        *,
        clock: SteadyClock,
        pace: FlushPace,
    ) -> None:
        self.spec = spec
        self._settings = settings
        self._native = None if settings.native == "off" else load_native()
        self._options = options
        self._instruments = instruments
        self._failed = failed
        self._clock = clock
        self._pace = pace
        self.core = spec.make_core(self._new_start())
        self._transactor = Transactor(settings, options, spec.name, settings.application_id)
        self._flush_lock = asyncio.Lock()
        self._flusher: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._flush_now = asyncio.Event()
        self._flush_began_s: float | None = None
        self._due_s = time.monotonic()
        self._flushed_offsets: dict[str, int] | None = None
        self._broken = False
        self.offsets: dict[str, int] = {}
        self.silence = Silence(clock)
        self.suspended = True

    def _new_start(self) -> Start | None:
        """How the task begins if it has no state yet."""
        begin = self._settings.start_at
        if begin is None:
            return None
        now_ms = self._clock.now_ms()
        return Start(whole_from_ms=now_ms if begin == "now" else begin, alerts_from_ms=now_ms, revision_base=now_ms)

    @property
    def sources(self) -> list[TP]:
        """The partitions it reads."""
        return [TP(topic, self.spec.partition) for topic in self.spec.sources]

    @property
    def client(self) -> Any:
        """The aiokafka client of its producer."""
        return self._transactor.client

    @property
    def committed_offsets(self) -> dict[str, int]:
        """The next offset of each source as this task last committed it; empty before its first commit."""
        return dict(self._flushed_offsets or {})

    @property
    def overdue_s(self) -> float:
        """How long a flush has been due or under way; a task that cannot write shows it here."""
        since_s = self._due_s if self._flush_began_s is None else self._flush_began_s
        return 0.0 if self.suspended else max(time.monotonic() - since_s, 0.0)

    @property
    def place(self) -> str:
        """The position, for people and to see whether an error comes back at the same place."""
        return ", ".join(f"{topic}/{self.spec.partition} at {offset}" for topic, offset in sorted(self.offsets.items()))

    async def open(self, logs: LogView, acceptance: Acceptance, restores: asyncio.Semaphore) -> None:
        """Fence former owners, restore, and check the restored position.

        Args:
            logs: what the broker says of the sources.
            acceptance: go on with empty windows, or in an input that was reset, where an operator said so.
            restores: held while the state is read, for it takes memory.

        Raises:
            StateLost: the changelog is behind the group's commits, or is another one.
            StateIncompatible: it was written with other settings or by a newer build, or is damaged.
            InputRewound: the position does not fit the log of a source.
            BrokerUnavailable: nobody coordinates the task's transactions.
        """
        with self._instruments.restoring():
            await self._transactor.open()
            async with restores:
                await self._restore(logs, acceptance)

    async def _restore(self, logs: LogView, acceptance: Acceptance) -> None:
        spec = self.spec
        changelog = TP(spec.changelog, spec.partition)
        edges = (await logs.edges([changelog]))[changelog]
        restored = await read_changelog(self._options, spec.changelog, spec.partition, edges, self._native)
        keys = [key for key in restored.state if key != POSITION_KEY]
        is_new = POSITION_KEY not in restored.state
        committed = {tp.topic: offset for tp, offset in (await logs.committed(self.sources)).items()}
        try:
            position = position_of(restored)
            await self._check_partitions(logs, position)
            topic_id = logs.topic_id(spec.changelog)
            check_changelog(spec.name, spec.changelog, position, restored.begin, topic_id, committed)
            # A large state takes its time; the other tasks of the worker go on meanwhile.
            await asyncio.to_thread(self.core.restore, restored.state)
        except PartitionsChanged:
            raise
        except (StateLost, StateIncompatible) as error:
            if spec.name not in acceptance.state_loss:
                text = str(error)
                raise type(error)(text if text.startswith("task ") else f"task {spec.name}: {text}") from error
            log.warning("going on from the commit with empty windows", task=spec.name, error=str(error))
            await self._start_empty(keys, restored.begin, committed)
        self._instruments.opened(spec.name, spec.sources, self.core)
        if is_new and not committed:
            await self._begin_at(logs)
        await self._find_start(logs, acceptance)
        self._tell_of_sizes()
        self.core.shell = msgspec.structs.replace(
            self.core.shell,
            changelog_begin=restored.begin,
            topic_ids={topic: logs.topic_id(topic) for topic in (*spec.sources, spec.changelog)},
        )
        shell = self.core.shell
        stream_ms = self.core.stream_ms if shell.last_record_ms is None else shell.stream_at_last_record_ms
        self.silence.restore(shell.last_record_ms, stream_ms)
        self._instruments.restored(spec.name, restored.records, restored.seconds)
        log.info(
            "task opened",
            task=spec.name,
            offsets=self.offsets,
            state_records=len(keys),
            changelog_records=restored.records,
            restore_seconds=round(restored.seconds, 3),
        )

    async def _check_partitions(self, logs: LogView, position: Position | None) -> None:
        """Refuse to work beside state that was made for another number of partitions; no operator may accept that.

        Raises:
            PartitionsChanged: there is some.
        """
        if not isinstance(self.core, ModuleCore):
            return
        if position is None:
            # Without state nothing contradicts; but the modules of this partition may have state in another task.
            await logs.check_partitions()
        else:
            check_partitions(self.spec.changelog, {self.spec.partition: position.partitions}, self.core.partitions)

    async def _begin_at(self, logs: LogView) -> None:
        """Where a task without state reads the input from, if a time is set; other sources hold nothing older."""
        begin = self._settings.start_at
        source = TP(self._settings.topics.module_log_events, self.spec.partition)
        if begin is None or source not in self.sources:
            return
        # A record is written after its event, but for clocks that differ by what an event may be ahead.
        begin_ms = self._clock.now_ms() if begin == "now" else begin
        found = await logs.at_time([source], max(begin_ms - self._settings.windows.max_future, 0))
        self.core.offsets.update({tp.topic: offset for tp, offset in found.items()})
        log.info("a new task begins at a time", task=self.spec.name, start_at_ms=begin_ms, offsets=self.core.offsets)

    async def _find_start(self, logs: LogView, acceptance: Acceptance) -> None:
        """Set `offsets` to where each source is read on."""
        spec = self.spec
        for tp, edges in (await logs.edges(self.sources)).items():
            topic = tp.topic
            position, known_id = self.core.offsets.get(topic), self.core.shell.topic_ids.get(topic, "")
            try:
                start = start_of(spec.name, topic, position, known_id, edges)
            except InputRewound as error:
                if spec.name not in acceptance.input_reset:
                    raise
                start = restart_of(known_id, edges)
                log.warning("going on in an input that was reset", task=spec.name, at=start.offset, error=str(error))
            self.offsets[topic] = start.offset
            if start.lost:
                self._note_lost(topic, start.lost)
        self.core.offsets.update(self.offsets)

    async def _start_empty(self, keys: list[bytes], changelog_begin: int, committed: Mapping[str, int]) -> None:
        """Give up what is left of the state, on the changelog too, so that no later restore mixes it with the new one."""
        begin = self._settings.start_at
        # Readers keep the highest revision, and the state that knew it is gone.
        start = Start(
            whole_from_ms=begin if isinstance(begin, int) else None, revision_base=self._clock.now_ms(), after_loss=True
        )
        self.core = self.spec.make_core(start)
        self.core.offsets.update(committed)
        self.core.shell = msgspec.structs.replace(self.core.shell, changelog_begin=changelog_begin)
        cut = self.core.cut(self._clock.now_ms())
        cut.state.extend(StateRecord(key, None) for key in keys)
        await self._transactor.commit(cut, self.spec.partition, self.spec.changelog, {})

    def _tell_of_sizes(self) -> None:
        resized = self.core.resized if isinstance(self.core, ModuleCore) else None
        if resized is not None:
            log.warning(
                "the window sizes have changed: a new size publishes windows that start at whole_from_ms or later",
                task=self.spec.name,
                added_ms=resized.added_ms,
                removed_ms=resized.removed_ms,
                whole_from_ms=resized.whole_from_ms,
                dropped_windows=resized.dropped_windows,
            )

    def _note_lost(self, topic: str, records: int) -> None:
        log.error(
            "records were deleted before they were read",
            task=self.spec.name,
            topic=topic,
            lost=records,
            remedy="raise the retention of the input topic",
        )
        shell = self.core.shell
        lost = {**shell.lost, topic: shell.lost.get(topic, 0) + records}
        self.core.shell = msgspec.structs.replace(shell, lost=lost)
        self._instruments.input_lost(self.spec.name, records)

    def resume(self) -> None:
        """Let the task process and flush."""
        self.suspended = False
        if self._flusher is None:
            self._stop.clear()
            self._due_s = time.monotonic() + self._pace.interval_s
            self._flusher = asyncio.ensure_future(self._flush_loop())

    async def suspend(self, timeout_s: float) -> None:
        """Stop processing and write what is owed; ends in time whatever the broker does.

        Raises:
            TimeoutError: it could not be written in time. The task must be closed then: its core is ahead of its state.
            TaskFenced: likewise, another worker owns it already.
        """
        self.suspended = True
        ending = asyncio.ensure_future(self._flush_the_rest())
        await asyncio.wait([ending], timeout=timeout_s)
        if not ending.done():
            # A commit that is cancelled waits for its abort, which a broker that is away never answers: so nobody waits for it.
            self._broken = True
            await _give_up(ending)
            raise TimeoutError(f"task {self.spec.name} could not be flushed within {timeout_s:g} s")
        ending.result()

    async def _flush_the_rest(self) -> None:
        await self._stop_flusher()
        await self.flush(everything=True)

    async def close(self) -> None:
        """Give up the producer; what was not flushed is left to the next owner."""
        self.suspended = True
        if self._flusher is not None:
            await _give_up(self._flusher)
        await self._transactor.close()

    async def _stop_flusher(self) -> None:
        """Let a flush that is under way end: cancelled, it would lose a cut and with it this core."""
        self._stop.set()
        self._flush_now.set()
        if self._flusher is not None:
            await asyncio.shield(self._flusher)
            self._flusher = None

    async def process(self, topic: str, piece: Piece) -> int | None:
        """Apply a piece.

        Returns:
            None, or the offset to read on from when the piece does not follow what was processed.
        """
        position = self.offsets[topic]
        if piece.start > position:
            return position  # something in between was dropped on the way: read it again
        if piece.end <= position:
            return None
        piece = piece.since(position)
        if len(piece.records):
            batch = piece.batch(topic, self.spec.partition, forwarded=topic == self.spec.forwarded)
            now_ms = self._clock.now_ms()
            with self._instruments.processing(self.spec.name):
                self.core.apply(batch, now_ms)
            # Records that are no events end no silence: a partition of nothing else would hold the system back for ever.
            if self.core.heard_ms == now_ms:
                self.silence.broken(self.core.stream_ms)
        self.offsets[topic] = self.core.offsets[topic] = piece.end
        await self._bound_outputs()
        return None

    async def _bound_outputs(self) -> None:
        """Flush before the time when outputs pile up; wait for that only when they go on to, for other tasks wait too."""
        most_bytes = self._settings.limits.max_buffered_bytes
        if self.core.buffered_bytes <= most_bytes:
            return
        if not self._flush_now.is_set():
            self._instruments.flushed_early(self.spec.name)
            self._flush_now.set()
        if self.core.buffered_bytes > MOST_BUFFERED * most_bytes or self._flusher is None:
            await self.flush()

    def skip_lost(self, topic: str, begin: int) -> int:
        """Go on at the log's beginning where retention has overtaken the position; answers the position."""
        if begin > self.offsets[topic]:
            self._note_lost(topic, begin - self.offsets[topic])
            self.offsets[topic] = self.core.offsets[topic] = begin
        return self.offsets[topic]

    def idle(self, asked_s: float) -> None:
        """Every source was read to its end when it was asked for, and is silent: let stream time follow the clock.

        Args:
            asked_s: when the broker was asked, on the clock's `elapsed_s`.
        """
        now_ms = self._clock.now_ms()
        to_ms = self.silence.stream_ms(asked_s)
        # A core that never had an event has no stream time to move, but that it is idle counts for the system.
        self.core.idle_until(now_ms if to_ms is None else to_ms, now_ms)

    async def flush(self, *, everything: bool = False) -> float:
        """Write everything owed in one transaction; answers the seconds the main loop was kept busy.

        Raises:
            BrokerUnavailable: a flush failed before.
            TaskFenced: another worker owns the task.
        """
        async with self._flush_lock, self._pace.turn:
            if self._broken:
                raise BrokerUnavailable(f"task {self.spec.name}: a flush failed before, nothing more may be written")
            self._flush_began_s = began = time.monotonic()
            self._flush_now.clear()
            self.core.shell = msgspec.structs.replace(
                self.core.shell,
                last_record_ms=self.silence.last_record_ms,
                stream_at_last_record_ms=self.silence.stream_at_last_record_ms,
            )
            cut = self.core.cut(self._clock.now_ms(), everything=everything)
            busy_s = time.monotonic() - began
            offsets = {TopicPartition(topic, self.spec.partition): offset for topic, offset in self.offsets.items()}
            if self._owes(cut.position.offsets, cut.records):
                # Until it is committed, this cut exists nowhere but here: if that fails, the core is ahead of what is written,
                # and anything flushed after it would hide the gap.
                self._broken = True
                written = await self._transactor.commit(cut, self.spec.partition, self.spec.changelog, offsets)
                self._broken = False
                adopt(self.core.ledgers, cut, written)
                self._flushed_offsets = dict(cut.position.offsets)
                self._instruments.flushed(self.spec.name, self.core, written, time.monotonic() - began)
            self._flush_began_s = None
            return busy_s

    def _owes(self, offsets: dict[str, int], records: int) -> bool:
        return records > 1 or offsets != self._flushed_offsets

    async def _flush_loop(self) -> None:
        try:
            while not await self._stopped_before(self._due_s):
                began = time.monotonic()
                busy_s = await self.flush()
                ended = time.monotonic()
                self._due_s = self._pace.next_flush(self._due_s, ended, ended - began, busy_s)
        except Exception as error:  # noqa: BLE001 - fail-stop: the worker ends with this error and resumes from the checkpoint
            self._failed(self.spec.name, error)

    async def _stopped_before(self, due_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._flush_now.wait(), max(due_s - time.monotonic(), 0))
        return self._stop.is_set()


async def _give_up(work: asyncio.Future[Any]) -> None:
    """Cancel work and wait for its end, but not for long; its error is of no interest any more."""
    work.cancel()
    await asyncio.wait([work], timeout=GIVE_UP_S)
    work.add_done_callback(_note_nothing)


def _note_nothing(work: asyncio.Future[Any]) -> None:
    if not work.cancelled():
        work.exception()
