"""The core of one partition: batches in, a `Cut` out. The same code runs under Kafka, in `replay` and in tests."""

import dataclasses
from collections.abc import Sequence

import msgspec

from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.rules import Rule
from pipeline.arrays import I8
from pipeline.config import CoreConfig, Start
from pipeline.cores import registry_state
from pipeline.cores.applier import Applier
from pipeline.cores.closer import Closer
from pipeline.cores.module_parts import ModuleParts
from pipeline.cores.module_restore import restore_module
from pipeline.health.profiles import Profiles
from pipeline.ingest.batch import RecordBatch
from pipeline.ingest.dedup import Deduplicator
from pipeline.ingest.ingest import Ingest
from pipeline.modules.registry import Modules
from pipeline.outputs import Cut, Outbox, Partial, StateRecord
from pipeline.publish.emitter import Emitter
from pipeline.publish.pace import LargerPace
from pipeline.publish.task_state import TaskState, always_whole
from pipeline.windows import persist
from pipeline.windows.resize import Resized
from pipeline.windows.stream_time import StreamTime
from pipeline.windows.tree import WindowTree
from schemas.partials import PARTIAL_VERSION, ModulesSeen, PartitionReport, encode_partial, partial_key
from schemas.state import IDS, STATE_VERSION, IdSegment, Ledger, ShellPosition, StartPosition, pack

# Batches larger than this are cut, so that sums of 32-bit limbs stay exact in doubles (2^53) with room to spare.
MAX_BATCH_RECORDS = 1 << 18


class ModuleCore:
    """Windows, health, alerts and duplicate suppression of one input partition.

    Guarantee: the outputs of a run depend on the records and their order only, not on how they come in batches, when cuts
    are made, or where the run was stopped and restored (but for `revision`, `last_updated` and which provisional records
    went out in between). Of each record, in order: its module is looked up or registered; stream time moves to its time, which
    closes and seals windows and lets modules expire that are due; then it is late, a duplicate, or applied.

    Attributes:
        shell: what the shell of the task keeps in the position.
        resized: what the newest restore did because the window sizes had changed, None where they had not.
    """

    def __init__(
        self,
        config: CoreConfig,
        rules: Sequence[Rule] = (),
        *,
        partition: int = 0,
        partitions: int = 1,
        start: Start | None = None,
    ) -> None:
        self.config = config
        windows = config.windows
        self.partitions = partitions
        modules = Modules(config.limits, windows)
        tree = WindowTree([size for _, size in windows.sizes])
        levels = len(windows.sizes)
        self._state = TaskState(
            windows, partition, StreamTime(windows), tree, modules, Profiles(config.health), always_whole(levels)
        )
        self._ingest = Ingest(config, modules, partition, partitions)
        keep_ms = self._state.time.keep_ms
        self.dedup = Deduplicator(keep_ms, config.limits.max_dedup_ids_per_pane, self._ingest.native)
        self.alerts = AlertMachine(rules, "module")
        self._emitter = Emitter(self._state, self.alerts)
        self._closer = Closer(self._state, self._emitter, self.dedup)
        self._applier = Applier(config, self._state, self._ingest, self.dedup, self._closer)
        self._sequence = 0
        self._larger = LargerPace(levels, windows.emit_interval_ms)
        self._applied_since_cut = False
        self._unsettled = False
        self._idle = False
        self._heard_ms: int | None = None
        self._reported: PartitionReport | None = None
        self.shell = ShellPosition()
        self.resized: Resized | None = None
        self.ledgers: dict[str, Ledger] = {}
        self.offsets: dict[str, int] = {}
        self._start = StartPosition()
        if start is not None:
            parts = self.parts()
            parts.begin(StartPosition(**dataclasses.asdict(start)))
            self._start = parts.start

    @property
    def stream_ms(self) -> int | None:
        """Stream time, None before the first event."""
        return self._state.time.stream_ms

    @property
    def heard_ms(self) -> int | None:
        """The wall clock at the newest batch that held an event; records that are no events end no silence."""
        return self._heard_ms

    @property
    def partition(self) -> int:
        """Of the input."""
        return self._state.partition

    @property
    def buffered_bytes(self) -> int:
        """Outputs waiting for the next cut."""
        return self._state.outbox.size_bytes

    @property
    def open_windows(self) -> int:
        """How many windows can still change."""
        return len(self._state.tree)

    @property
    def modules(self) -> Modules:
        """The registry of this partition."""
        return self._state.modules

    @property
    def one_by_one(self) -> int:
        """Records that the compiled part left to the Python path; 0 where there is none."""
        return self._ingest.one_by_one

    @property
    def idle(self) -> bool:
        """Whether stream time is following the wall clock."""
        return self._idle

    @property
    def owes(self) -> bool:
        """Whether a cut would write anything."""
        box = self._state.outbox
        return self._applied_since_cut or self._larger.owes or bool(box.emitted or box.rejected or box.forwarded)

    def apply(self, batch: RecordBatch, now_ms: int) -> None:
        """Take in a batch. Every record ends in exactly one column of its source's ledger.

        Args:
            batch: records in offset order, following the ones applied before.
            now_ms: the wall clock.
        """
        self._settle(now_ms)
        for low in range(0, len(batch), MAX_BATCH_RECORDS):
            part = batch if len(batch) <= MAX_BATCH_RECORDS else batch.part(low, low + MAX_BATCH_RECORDS)
            ledger = self.ledgers.setdefault(batch.topic, Ledger())
            if self._applier.apply(part, ledger, now_ms):
                self._idle = False
                self._heard_ms = now_ms
                self._larger.news()
            self.offsets[batch.topic] = part.offsets[-1] + 1
            self._applied_since_cut = True

    def event_times(self, batch: RecordBatch, now_ms: int) -> I8:
        """The event time of each record, -1 where it is no event or one from the future; changes nothing."""
        return self._ingest.times(batch, now_ms)[0]

    def _settle(self, now_ms: int) -> None:
        """Do what this run's settings make due at the stream time that was restored."""
        self._state.fit_profiles()
        if self._unsettled:
            self._unsettled = False
            self._closer.settle(now_ms)
            self._closer.end_unknown(now_ms)

    def idle_until(self, to_ms: int, now_ms: int) -> None:
        """The input was read to its end and is silent: stream time moves on without an event, never past the wall clock.

        Before the first event there is no stream time, so nothing moves.

        Args:
            to_ms: the new stream time; it never goes back.
            now_ms: the wall clock.
        """
        self._idle = True
        self._settle(now_ms)
        if self.stream_ms is not None:
            self._closer.advance(min(to_ms, now_ms), now_ms)

    def advance_to(self, parts_ms: tuple[int, int, int], now_ms: int) -> None:
        """Go as far as another task is: to its stream time, and to what is closed and sealed there; see `rekey.align`.

        Args:
            parts_ms: stream time, and up to when windows are closed and sealed.
            now_ms: the wall clock; it decides nothing.
        """
        time = self._state.time
        self._settle(now_ms)
        stream_ms, closed_ms, sealed_ms = parts_ms
        time.closed_floor_ms = max(time.closed_floor_ms, closed_ms)
        time.sealed_floor_ms = max(time.sealed_floor_ms, sealed_ms)
        time.stream_ms = stream_ms if time.stream_ms is None else max(time.stream_ms, stream_ms)
        self._closer.settle(now_ms)

    def cut(self, now_ms: int, *, everything: bool = False) -> Cut:
        """Collect everything to be written since the last cut.

        Records of larger windows go out at most every `emit_interval_ms`, a few sizes in each cut; all at once when nothing
        came in since the last cut, and with `everything`.
        """
        state = self._state
        self._settle(now_ms)
        self._emitter.refresh(0, now_ms)
        for level in self._larger.take(now_ms, everything=everything or not self._applied_since_cut):
            self._emitter.refresh(level, now_ms)
        self._applied_since_cut = False
        partials = [Partial(partial_key(p), encode_partial(p)) for p in self._emitter.drain_partials()]
        partials += self._members() + self._report()
        records, self._closer.deleted = self._closer.deleted, []
        for block in state.tree:
            records += persist.changes(block)
        records += self._other_state()
        outbox, state.outbox = state.outbox, Outbox()
        return Cut(outbox, partials, records, self.parts().position())

    def _members(self) -> list[Partial]:
        partition = self._state.partition
        seen = [ModulesSeen(PARTIAL_VERSION, partition, *members) for members in self._state.modules.drain_members()]
        return [Partial(partial_key(record), encode_partial(record)) for record in seen]

    def _report(self) -> list[Partial]:
        state = self._state
        whole_from_ms = {
            size: max(ms, 0) for (_, size), ms in zip(state.windows.sizes, state.whole_from_ms, strict=True)
        }
        report = PartitionReport(
            PARTIAL_VERSION, state.partition, self.partitions, self.stream_ms, self._idle, whole_from_ms
        )
        if report == self._reported:
            return []
        self._reported = report
        return [Partial(partial_key(report), encode_partial(report))]

    def _other_state(self) -> list[StateRecord]:
        records = registry_state.changes(self._state.modules)
        for pane_end, sequence, ids, old in self.dedup.drain(self._sequence):
            key = b"%s|%d|%d" % (IDS, pane_end, sequence)
            records.append(StateRecord(key, pack(key, IdSegment(STATE_VERSION, ids, old))))
            self._sequence = sequence + 1
        return records + [StateRecord(key, value) for key, value in self.alerts.drain_state()]

    def parts(self) -> ModuleParts:
        """Everything of the core that a position names, for `restore_module` and `rekey`; `take_parts` puts it back."""
        ledgers = {topic: Ledger(*msgspec.structs.astuple(ledger)) for topic, ledger in self.ledgers.items()}
        return ModuleParts(
            config=self.config,
            partitions=self.partitions,
            state=self._state,
            ticker=self._emitter.ticker,
            emitter=self._emitter,
            alerts=self.alerts,
            dedup=self.dedup,
            closer=self._closer,
            ledgers=ledgers,
            offsets=dict(self.offsets),
            sequence=self._sequence,
            homes_checked=self._ingest.homes_checked,
            start=self._start,
            shell=self.shell,
        )

    def restore(self, state: dict[bytes, bytes]) -> None:
        """Take the whole state back in; see `TaskCore.restore`.

        Settings may differ from those of the run that wrote the state, window sizes too: `resized` tells what became of windows.

        Raises:
            StateIncompatible: a record does not fit this build or this configuration, or is damaged.
        """
        if not state:
            return
        parts = self.parts()
        self.resized = restore_module(parts, state)
        self.take_parts(parts)

    def take_parts(self, parts: ModuleParts) -> None:
        """Go on from parts of this core that were filled from elsewhere."""
        self.ledgers, self.offsets, self._sequence = parts.ledgers, parts.offsets, parts.sequence
        self._ingest.homes_checked, self._start, self.shell = parts.homes_checked, parts.start, parts.shell
        self._unsettled = True
        if len(self._state.tree):
            self._larger.news()
