"""The core of one partition: batches in, a `Cut` out. The same code runs under Kafka, in `replay` and in tests."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np

from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.rules import Rule
from pipeline.config import CoreConfig
from pipeline.health.profiles import Profiles
from pipeline.ingest.batch import RecordBatch
from pipeline.ingest.columns import Ingest, rejected
from pipeline.ingest.dedup import Deduplicator
from pipeline.ingest.modules import Modules
from pipeline.outputs import Cut, Outbox, Partial, StateRecord
from pipeline.sketch.mapping import ALPHA, I8
from pipeline.windows import persist
from pipeline.windows.block import Block
from pipeline.windows.columns import Columns, Prepared, fold
from pipeline.windows.emitter import Emitter, TaskState
from pipeline.windows.pace import LargerPace
from pipeline.windows.tree import WindowTree
from schemas.errors import PoisonRecord, StateIncompatible
from schemas.partials import ModulesSeen, PartitionReport, encode_partial, partial_key
from schemas.state import (
    CHUNK_MODULES,
    POSITION_KEY,
    IdSegment,
    Ledger,
    Position,
    ShellPosition,
    decoder,
    pack,
    unpack_position,
)

VERSION = 1
# Batches larger than this are cut, so that sums of 32-bit limbs stay exact in doubles (2^53) with room to spare.
MAX_BATCH_RECORDS = 1 << 18


class ModuleCore:
    """Windows, health, alerts and duplicate suppression of one input partition.

    Guarantee: the outputs of a run depend on the records and their order only, not on how they come in batches, when cuts
    are made, or where the run was stopped and restored (but for `revision`, `last_updated` and which provisional records
    went out in between).
    """

    def __init__(
        self, config: CoreConfig, rules: Sequence[Rule] = (), *, partition: int = 0, partitions: int = 1
    ) -> None:
        self.config = config
        windows = config.windows
        self._partitions = partitions
        self._keep_ms = windows.grace_ms + windows.corrections_ms
        modules = Modules(config.limits.max_modules, len(windows.sizes), config.limits.module_expiry_ms)
        tree = WindowTree([size for _, size in windows.sizes])
        self._state = TaskState(windows, partition, tree, modules, Profiles(config.health), Outbox())
        self._profiled = -1
        self._ingest = Ingest(config, modules, partitions)
        self.dedup = Deduplicator(self._keep_ms, config.limits.max_dedup_ids_per_pane, self._ingest.native)
        self.alerts = AlertMachine(rules, "module")
        self._emitter = Emitter(self._state, self.alerts)
        self._deleted: list[StateRecord] = []
        self._sequence = 0
        self._larger = LargerPace(len(windows.sizes), windows.emit_interval_ms)
        self._applied_since_cut = False
        self._idle = False
        self._expired_through_ms: int | None = None
        self.shell = ShellPosition()
        self._reported: tuple[int | None, bool] | None = None
        self.stream_ms: int | None = None
        self.ledgers: dict[str, Ledger] = {}
        self.offsets: dict[str, int] = {}

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
        self._expire()
        for low in range(0, len(batch), MAX_BATCH_RECORDS):
            part = batch if len(batch) <= MAX_BATCH_RECORDS else batch.part(low, low + MAX_BATCH_RECORDS)
            ledger = self.ledgers.setdefault(batch.topic, Ledger())
            columns = self._ingest.columns(part, now_ms, ledger, self._state.outbox)
            self.offsets[batch.topic] = part.offsets[-1] + 1
            self._applied_since_cut = True
            self._idle = False
            if columns is not None:
                self._judge_times(part, columns, ledger, now_ms)

    def _expire(self) -> None:
        """Free the codes of modules long gone; only between batches, for a batch holds codes."""
        if self.stream_ms is None:
            return
        base_ms = self.config.windows.base_ms
        sealed_ms = (self.stream_ms - self._keep_ms) // base_ms * base_ms
        if sealed_ms != self._expired_through_ms:
            self._expired_through_ms = sealed_ms
            state = self._state
            in_use = state.tree.in_use(state.modules.capacity)
            gone = state.modules.expire(sealed_ms - self.config.limits.module_expiry_ms, in_use)
            if gone:
                state.tree.forget(np.array(gone, np.int64))

    def _judge_times(self, batch: RecordBatch, columns: Columns, ledger: Ledger, now_ms: int) -> None:
        """Late, duplicate or applied; the decision is taken per record from the running stream time."""
        windows = self.config.windows
        self._fit_profiles()
        streams = np.maximum.accumulate(columns.times)
        if self.stream_ms is not None:
            streams = np.maximum(streams, self.stream_ms)
        pane_ends = columns.times - columns.times % windows.base_ms + windows.base_ms
        late = pane_ends + self._keep_ms <= streams
        accepted = ~late
        if late.any():
            self._reject_late(batch, columns.offsets[late])
        if columns.ids is not None and columns.has_id is not None:
            judged = np.flatnonzero(accepted & columns.has_id)
            duplicate = self.dedup.duplicates(columns.ids[judged], pane_ends[judged], streams[judged])
            accepted[judged[duplicate]] = False
        applied = int(np.count_nonzero(accepted))
        ledger.applied += applied
        ledger.late += int(np.count_nonzero(late))
        ledger.duplicate += len(columns) - applied - int(np.count_nonzero(late))
        if applied:
            kept = columns if applied == len(columns) else columns.take(accepted)
            if applied != len(columns):
                pane_ends, applied_streams = pane_ends[accepted], streams[accepted]
            else:
                applied_streams = streams
            self._fold_in_order(kept, pane_ends, applied_streams, now_ms)
        self._advance(int(streams[-1]), now_ms)

    def _reject_late(self, batch: RecordBatch, offsets: I8) -> None:
        for index in np.searchsorted(np.asarray(batch.offsets, np.int64), offsets).tolist():
            why = PoisonRecord("late", f"its window was sealed {self._keep_ms} ms after its end, in stream time")
            self._state.outbox.reject(rejected(batch, index, why))

    def _fold_in_order(self, columns: Columns, pane_ends: I8, streams: I8, now_ms: int) -> None:
        """Fold events, closing windows in between where a later event of the batch would change what they say.

        That is an event of a window that closed before it, and one of a module that was away for so long that it is judged
        afresh.
        """
        windows = self.config.windows
        prepared = Prepared.of(columns)
        began = int(streams[0]) if self.stream_ms is None else self.stream_ms
        long_gap = int(streams[-1]) - began > self.config.limits.module_expiry_ms
        if not long_gap and not (pane_ends + windows.grace_ms <= streams).any():
            # No event comes after the close of its window: all finals are the same if they are made at the end.
            self._fold(prepared, pane_ends)
            return
        closed = (streams - windows.grace_ms) // windows.base_ms
        cuts = [0, *(np.flatnonzero(np.diff(closed)) + 1).tolist(), len(columns)]
        for low, high in pairwise(cuts):
            self._advance(int(streams[low]), now_ms)
            self._fold(prepared.take(slice(low, high)), pane_ends[low:high])

    def _fold(self, prepared: Prepared, pane_ends: I8) -> None:
        state = self._state
        base_ms = self.config.windows.base_ms
        first = int(pane_ends.min())
        if first == int(pane_ends.max()):
            runs = [(0, pane_ends.size)]
        else:
            panes = (pane_ends - first) // base_ms
            order = np.argsort(panes.astype(np.int16) if int(panes.max()) < 1 << 15 else panes, kind="stable")
            pane_ends, prepared = pane_ends[order], prepared.take(order)
            cuts = [0, *(np.flatnonzero(np.diff(pane_ends)) + 1).tolist(), pane_ends.size]
            runs = list(pairwise(cuts))
        for low, high in runs:
            pane_end = int(pane_ends[low])
            block = self._touch(pane_end - base_ms)
            part = prepared if high - low == pane_ends.size else prepared.take(slice(low, high))
            changed = fold(block.sums, part)
            block.dirty_sums.update(np.unique(changed // CHUNK_MODULES).tolist())
            state.modules.seen(changed, pane_end)
        self._larger.news()

    def _touch(self, time_ms: int) -> Block:
        """The base pane of a time, with the windows over it; one that opens after its close is final from the start."""
        state = self._state
        blocks = state.tree.touch(time_ms, state.modules.capacity)
        for block in blocks:
            self._close_late(block)
        return blocks[0]

    def _close_late(self, block: Block) -> None:
        late = self.stream_ms is not None and block.end_ms + self.config.windows.grace_ms <= self.stream_ms
        if late and not block.final:
            block.final = True
            self._emitter.remember_chains(block)
            block.dirty_meta.add(0)  # that it is final outlives a restart even when no record of it went out before

    def _advance(self, to_ms: int, now_ms: int) -> None:
        """Move stream time: close and seal what is due, oldest first."""
        if self.stream_ms is not None and to_ms <= self.stream_ms:
            return
        self.stream_ms = to_ms
        windows = self.config.windows
        tree = self._state.tree
        for block in tree.due(to_ms - windows.grace_ms, unclosed=True):
            self._emitter.close(block, now_ms)
        self._emitter.end_ticks(to_ms, now_ms)
        for block in tree.due(to_ms - self._keep_ms, unclosed=False):
            self._seal(block.level, block.start_ms, now_ms)

    def _seal(self, level: int, start_ms: int, now_ms: int) -> None:
        state = self._state
        block = state.tree.levels[level][start_ms]
        self._emitter.seal(block, now_ms)
        capacity = state.modules.capacity
        for taker in state.tree.seal(block, state.profiles.min_requests, capacity):
            taker.dirty_sums |= block.dirty_sums | block.stored_sums
        self._deleted += persist.tombstones(block)
        if level == 0:
            for pane_end, sequence in self.dedup.seal(block.end_ms):
                self._deleted.append(StateRecord(b"ids|%d|%d" % (pane_end, sequence), None))

    def _fit_profiles(self) -> None:
        modules = self._state.modules
        if self._profiled != modules.generation:
            self._profiled = modules.generation
            self._state.profiles.assign(modules.ids, modules.capacity)

    def idle_until(self, to_ms: int, now_ms: int) -> None:
        """The input was read to its end and is silent: stream time moves on without an event, never past the wall clock.

        Before the first event there is no stream time, so nothing moves.

        Args:
            to_ms: the new stream time; it never goes back.
            now_ms: the wall clock.
        """
        self._idle = True
        self._fit_profiles()
        if self.stream_ms is not None:
            self._advance(min(to_ms, now_ms), now_ms)

    def cut(self, now_ms: int, *, everything: bool = False) -> Cut:
        """Collect everything to be written since the last cut.

        Records of larger windows go out at most every `emit_interval_ms`, a few sizes in each cut; all at once when nothing
        came in since the last cut, and with `everything`.
        """
        state = self._state
        self._fit_profiles()
        self._emitter.refresh(0, now_ms)
        for level in self._larger.take(now_ms, everything=everything or not self._applied_since_cut):
            self._emitter.refresh(level, now_ms)
        self._applied_since_cut = False
        partials = [Partial(partial_key(p), encode_partial(p)) for p in self._emitter.drain_partials()]
        partials += self._members() + self._report()
        records = self._deleted
        self._deleted = []
        for block in state.tree:
            records += persist.changes(block)
        records += self._other_state()
        outbox, state.outbox = state.outbox, Outbox()
        return Cut(outbox, partials, records, self._position())

    def _members(self) -> list[Partial]:
        partition = self._state.partition
        seen = [ModulesSeen(VERSION, partition, *members) for members in self._state.modules.drain_members()]
        return [Partial(partial_key(record), encode_partial(record)) for record in seen]

    def _report(self) -> list[Partial]:
        now = (self.stream_ms, self._idle)
        if now == self._reported:
            return []
        self._reported = now
        report = PartitionReport(VERSION, self._state.partition, self._partitions, *now)
        return [Partial(partial_key(report), encode_partial(report))]

    def _other_state(self) -> list[StateRecord]:
        records = [StateRecord(b"modules|%d" % chunk, value) for chunk, value in self._state.modules.drain()]
        for pane_end, sequence, ids in self.dedup.drain(self._sequence):
            records.append(StateRecord(b"ids|%d|%d" % (pane_end, sequence), pack(IdSegment(VERSION, ids))))
            self._sequence = sequence + 1
        return records + [StateRecord(key, value) for key, value in self.alerts.drain_state()]

    def _position(self) -> Position:
        ledgers = {topic: Ledger(*msgspec.structs.astuple(ledger)) for topic, ledger in self.ledgers.items()}
        return Position(
            sizes=dict(self.config.windows.sizes),
            relative_error=ALPHA,
            partitions=self._partitions,
            offsets=dict(self.offsets),
            stream_ms=self.stream_ms,
            ledger=ledgers,
            sequence=self._sequence,
            ticks=dict(self._emitter.ticks),
            expired_through_ms=self._expired_through_ms,
            shell=self.shell,
        )

    def restore(self, state: dict[bytes, bytes]) -> None:
        """Take the whole state back in; see `TaskCore.restore`.

        Raises:
            StateIncompatible: a record does not fit this build or this configuration, or is damaged.
        """
        if POSITION_KEY in state:
            self._restore_position(unpack_position(state.pop(POSITION_KEY)))
        while state:
            self._restore(*state.popitem())
        self._restored()

    def _restore(self, key: bytes, value: bytes) -> None:
        kind = key.partition(b"|")[0]
        if kind in (persist.SUMS, persist.META):
            persist.restore(self._state.tree, key, value)
        elif kind == b"modules":
            self._state.modules.restore(value)
        elif kind == b"ids":
            _, pane_end, sequence = key.split(b"|")
            self.dedup.restore(int(pane_end), int(sequence), _decode_ids(value).ids)
        elif kind == b"alert":
            self.alerts.restore(key, value)
        else:
            raise StateIncompatible(f"the changelog holds a record this build does not know: {key[:60]!r}")

    def _restore_position(self, position: Position) -> None:
        check_position(self.config, position)
        if position.partitions != self._partitions:
            raise StateIncompatible(
                f"the input had {position.partitions} partitions when the state was made and has {self._partitions} now;"
                " modules may have moved: choose a new application_id, or bring the partition count back"
            )
        self.offsets = dict(position.offsets)
        self.stream_ms = position.stream_ms
        self.ledgers = dict(position.ledger)
        self._sequence = position.sequence
        self._emitter.ticks = dict(position.ticks)
        self._expired_through_ms = position.expired_through_ms
        self.shell = position.shell

    def _restored(self) -> None:
        self._state.modules.restored()
        self._fit_profiles()
        # A window whose first record was not due yet is in the changelog only as the panes it is made of.
        for block in list(self._state.tree):
            for over in self._state.tree.open_over(block, self._state.modules.capacity):
                self._close_late(over)
        if len(self._state.tree):
            self._larger.news()


def check_position(config: CoreConfig, position: Position) -> None:
    """Refuse the state of another configuration.

    Raises:
        StateIncompatible: the window sizes or the accuracy of the sketches differ.
    """
    mine = dict(config.windows.sizes)
    if list(position.sizes.items()) != list(mine.items()) or position.relative_error != ALPHA:
        raise StateIncompatible(
            f"the state was made with windows of {position.sizes} and a relative error of {position.relative_error}, the"
            f" configuration says {mine} and {ALPHA}: set windows.sizes back, or choose a new application_id"
        )


_decode_ids = decoder(IdSegment).decode
