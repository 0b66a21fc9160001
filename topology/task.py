"""One task: the core of one partition, its producer, and the loop that flushes it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from aiokafka import TopicPartition

from pipeline.outputs import StateRecord
from pipeline.task_core import TaskCore
from schemas.errors import BrokerUnavailable, StateLost
from schemas.state import POSITION_KEY
from topology.fetch import Piece
from topology.flush_pace import next_flush
from topology.instruments import Instruments
from topology.letters import adopt
from topology.restore import check_not_behind, check_not_cut, committed_offsets, read_changelog
from topology.settings import Settings
from topology.transaction import Transactor

log = structlog.get_logger()


def wall_ms() -> int:
    """The wall clock, epoch ms. The core is told; only the shell looks."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What a task is made of.

    Attributes:
        name: unique in the application; also the end of its transactional id.
        partition: of its sources and its changelog.
        sources: topics it reads, each at `partition`.
        forwarded: the source whose records were forwarded to their module's partition, if any.
        changelog: its changelog topic.
        make_core: an empty core.
    """

    name: str
    partition: int
    sources: tuple[str, ...]
    forwarded: str | None
    changelog: str
    make_core: Callable[[], TaskCore]


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
        failed: Callable[[BaseException], None],
    ) -> None:
        self.spec = spec
        self._settings = settings
        self._options = options
        self._instruments = instruments
        self._failed = failed
        self.core = spec.make_core()
        self._transactor = Transactor(settings, options, spec.name, settings.application_id)
        self._flush_lock = asyncio.Lock()
        self._flusher: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._flushed_offsets: dict[str, int] | None = None
        self._broken = False
        self.offsets: dict[str, int] = {}
        self.last_record_ms = wall_ms()
        self._stream_at_last_record: int | None = None
        self.suspended = True

    async def open(self, begins: Mapping[str, int], *, accept_state_loss: bool) -> None:
        """Fence former owners, restore, and check the restored position.

        Args:
            begins: first offset that still exists, per source.
            accept_state_loss: go on from the committed offsets with empty windows where the changelog was lost.

        Raises:
            StateLost: the changelog is behind the group's commits.
            StateIncompatible: it was written with other windows or by a newer build.
        """
        spec = self.spec
        await self._transactor.open()
        restored = await read_changelog(self._options, spec.changelog, spec.partition)
        keys = [key for key in restored.state if key != POSITION_KEY]
        self.core.restore(restored.state)
        known_begin = self.core.shell.changelog_begin
        self.core.shell = msgspec.structs.replace(self.core.shell, changelog_begin=restored.begin)
        committed = await self._committed()
        try:
            check_not_cut(spec.name, spec.changelog, restored.begin, known_begin)
            for topic in spec.sources:
                check_not_behind(spec.name, topic, self.core.offsets.get(topic), committed.get(topic))
        except StateLost as error:
            if not accept_state_loss:
                raise
            log.warning("going on from the commit with empty windows", task=spec.name, error=str(error))
            await self._start_empty(keys, restored.begin, committed)
        for topic in spec.sources:
            self.offsets[topic] = self._start_of(topic, begins[topic])
        self.core.offsets.update(self.offsets)
        self._instruments.restored(spec.name, restored.records, restored.seconds)
        log.info(
            "task opened",
            task=spec.name,
            offsets=self.offsets,
            state_records=len(keys),
            changelog_records=restored.records,
            restore_seconds=round(restored.seconds, 3),
        )

    async def _start_empty(self, keys: list[bytes], changelog_begin: int, committed: Mapping[str, int]) -> None:
        """Give up what is left of the state, on the changelog too, so that no later restore mixes it with the new one."""
        self.core = self.spec.make_core()
        self.core.offsets.update(committed)
        self.core.shell = msgspec.structs.replace(self.core.shell, changelog_begin=changelog_begin)
        cut = self.core.cut(wall_ms())
        cut.state.extend(StateRecord(key, None) for key in keys)
        await self._transactor.commit(cut, self.spec.partition, self.spec.changelog, {})

    async def _committed(self) -> dict[str, int]:
        partitions = [TopicPartition(topic, self.spec.partition) for topic in self.spec.sources]
        found = await committed_offsets(self._options, self._settings.application_id, partitions)
        return {tp.topic: offset for tp, offset in found.items()}

    def _start_of(self, topic: str, begin: int) -> int:
        wanted = self.core.offsets.get(topic)
        if wanted is not None and wanted < begin:
            log.error(
                "records were deleted before they were read",
                task=self.spec.name,
                topic=topic,
                lost=begin - wanted,
                remedy="raise the retention of the input topic",
            )
            self._instruments.input_lost(self.spec.name, begin - wanted)
        return max(begin, wanted or 0)

    def resume(self) -> None:
        """Let the task process and flush."""
        self.suspended = False
        self.last_record_ms = wall_ms()
        self._stream_at_last_record = self.core.stream_ms
        if self._flusher is None:
            self._stop.clear()
            self._flusher = asyncio.ensure_future(self._flush_loop())

    async def suspend(self, timeout_s: float) -> None:
        """Stop processing and write what is owed.

        Raises:
            TimeoutError: it could not be written in time. The task must be closed then: its core is ahead of its state.
            TaskFenced: likewise, another worker owns it already.
        """
        self.suspended = True
        async with asyncio.timeout(timeout_s):
            await self._stop_flusher()
            await self.flush(everything=True)

    async def close(self) -> None:
        """Give up the producer; what was not flushed is left to the next owner."""
        self.suspended = True
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])
        await self._transactor.close()

    async def _stop_flusher(self) -> None:
        """Let a flush that is under way end: cancelled, it would lose a cut and with it this core."""
        self._stop.set()
        if self._flusher is not None:
            await self._flusher
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
            now_ms = wall_ms()
            batch = piece.batch(topic, self.spec.partition, forwarded=topic == self.spec.forwarded)
            with self._instruments.processing(self.spec.name):
                self.core.apply(batch, now_ms)
            self.last_record_ms = now_ms
            self._stream_at_last_record = self.core.stream_ms
        self.offsets[topic] = self.core.offsets[topic] = piece.end
        if self.core.buffered_bytes > self._settings.limits.max_buffered_bytes:
            self._instruments.flushed_early(self.spec.name)
            await self.flush()
        return None

    def silent_for_ms(self, now_ms: int) -> int:
        """How long no record came."""
        return now_ms - self.last_record_ms

    def idle(self, now_ms: int) -> None:
        """Every source was read to its end and is silent: let stream time follow the clock."""
        if self._stream_at_last_record is not None:
            self.core.idle_until(self._stream_at_last_record + now_ms - self.last_record_ms, now_ms)

    async def flush(self, *, everything: bool = False) -> None:
        """Write everything owed in one transaction.

        Raises:
            BrokerUnavailable: a flush failed before.
            TaskFenced: another worker owns the task.
        """
        async with self._flush_lock:
            if self._broken:
                raise BrokerUnavailable(f"task {self.spec.name}: a flush failed before, nothing more may be written")
            began = time.monotonic()
            cut = self.core.cut(wall_ms(), everything=everything)
            offsets = {TopicPartition(topic, self.spec.partition): offset for topic, offset in self.offsets.items()}
            if not self._owes(cut.position.offsets, cut.records):
                return
            # Until it is committed, this cut exists nowhere but here: if that fails, the core is ahead of what is written, and
            # anything flushed after it would hide the gap.
            self._broken = True
            written = await self._transactor.commit(cut, self.spec.partition, self.spec.changelog, offsets)
            self._broken = False
            adopt(self.core.ledgers, cut, written)
            self._flushed_offsets = dict(cut.position.offsets)
            self._instruments.flushed(self.spec.name, self.core, written, time.monotonic() - began)

    def _owes(self, offsets: dict[str, int], records: int) -> bool:
        return records > 1 or offsets != self._flushed_offsets

    async def _flush_loop(self) -> None:
        interval_s = self._settings.flush_interval / 1000
        due = time.monotonic() + interval_s
        try:
            while not await self._stopped_before(due):
                began = time.monotonic()
                await self.flush()
                ended = time.monotonic()
                due = next_flush(due, interval_s, ended, ended - began)
        except Exception as error:  # noqa: BLE001 - fail-stop: the worker ends with this error and resumes from the checkpoint
            self._failed(error)

    async def _stopped_before(self, due: float) -> bool:
        try:
            await asyncio.wait_for(self._stop.wait(), max(due - time.monotonic(), 0))
        except TimeoutError:
            return False
        return True
