"""From a batch to windows: read, find out what is late or a duplicate, fold, and let stream time move, all in record order."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from pipeline.arrays import I8
from pipeline.columns import Columns
from pipeline.config import CoreConfig
from pipeline.cores.closer import Closer
from pipeline.ingest.batch import RecordBatch
from pipeline.ingest.dedup import Deduplicator
from pipeline.ingest.ingest import Decoded, Ingest, decoded_part, rejected
from pipeline.publish.task_state import TaskState
from pipeline.windows import persist
from pipeline.windows.block import Block
from pipeline.windows.fold import Prepared, fold
from schemas.errors import PoisonRecord
from schemas.state import Ledger


class Applier:
    """Applies batches of one task.

    Of each record, in order: its module is looked up or registered; a record that is refused or forwarded stops here. Stream time
    moves to its time: windows are closed and sealed, then modules expire that are due, but for the record's own. Then the record
    is late, a duplicate, or applied. Batches are taken as a whole where that cannot be told from the outside.
    """

    def __init__(
        self, config: CoreConfig, state: TaskState, ingest: Ingest, dedup: Deduplicator, closer: Closer
    ) -> None:
        self._config = config
        self._state = state
        self._ingest = ingest
        self._dedup = dedup
        self._closer = closer

    def apply(self, batch: RecordBatch, ledger: Ledger, now_ms: int) -> bool:
        """Take in a batch; every record ends in exactly one column of the ledger.

        Returns:
            Whether any record was an event of a module that is known here now.
        """
        heard = False
        for stretch, decoded in self._stretches(batch, now_ms):
            heard |= self._take(stretch, decoded, ledger, now_ms)
        return heard

    def _stretches(self, batch: RecordBatch, now_ms: int) -> Iterator[tuple[RecordBatch, Decoded | None]]:
        """Cut a batch where a record can make a module expire: that record comes alone, and records after it meet a new registry.

        Hardly any batch is cut, and where no event can reach the time at which a module is due, times are not even looked at.
        """
        if self._due_stream_ms() > now_ms + self._config.windows.max_future_ms:
            yield batch, None
            return
        times, batch, decoded = self._ingest.times(batch, now_ms)
        low = 0
        while low < len(batch):
            rest = times[low:]
            reached = np.flatnonzero(rest >= self._due_stream_ms(rest))
            high = low + max(int(reached[0]), 1) if reached.size else len(batch)
            if high - low == len(batch):
                yield batch, decoded
            else:
                yield batch.part(low, high), None if decoded is None else decoded_part(decoded, low, high)
            low = high

    def _due_stream_ms(self, times: I8 | None = None) -> int:
        """A stream time before which no module expires, neither one that is known nor one that the next records bring.

        Args:
            times: event times of the next records, where they are known; -1 where a record has none.
        """
        time, modules = self._state.time, self._state.modules
        sealed_ms = time.sealed_pane_ms
        begin_ms = sealed_ms
        if time.stream_ms is None and times is not None and (times >= 0).any():
            base_ms = self._config.windows.base_ms
            begin_ms = (int(times[times >= 0].min()) - time.keep_ms) // base_ms * base_ms
        due_ms = min(modules.next_due_ms(sealed_ms), modules.due_ms(begin_ms))
        return time.stream_that_seals(due_ms)

    def _take(self, batch: RecordBatch, decoded: Decoded | None, ledger: Ledger, now_ms: int) -> bool:
        self._ingest.wants_old_ids = self._dedup.wants_old_ids
        columns = self._ingest.columns(batch, now_ms, ledger, self._state.outbox, decoded)
        if columns is None:
            return False
        sealed_ms, newcomers = self._state.time.sealed_pane_ms, self._ingest.newcomers
        streams = self._judge_times(batch, columns, ledger, now_ms)
        for code in newcomers:
            first = int(np.flatnonzero(columns.codes == code)[0])
            self._state.modules.settled(code, self._sealed_before(streams, first, sealed_ms))
        return True

    def _sealed_before(self, streams: I8, index: int, sealed_ms: int) -> int:
        """Up to when panes were sealed before an event of a batch."""
        if index == 0:
            return sealed_ms
        base_ms = self._config.windows.base_ms
        by_stream = int(streams[index - 1]) - self._state.time.keep_ms
        return max(sealed_ms, by_stream // base_ms * base_ms)

    def _judge_times(self, batch: RecordBatch, columns: Columns, ledger: Ledger, now_ms: int) -> I8:
        """Late, duplicate or applied; the decision is taken per record from the running stream time, which is returned."""
        base_ms = self._config.windows.base_ms
        self._state.fit_profiles()
        if self._state.after_loss and self._state.time.stream_ms is None:
            self._state.begin_after_loss(int(columns.times[0]))
        streams = self._state.time.running(columns.times)
        pane_ends = columns.times - columns.times % base_ms + base_ms
        late = self._state.time.late(columns.times, pane_ends, streams)
        accepted = ~late
        if late.any():
            self._reject_late(batch, columns.offsets[late])
        if columns.ids is not None and columns.has_id is not None:
            judged = np.flatnonzero(accepted & columns.has_id)
            old_ids = None if columns.old_ids is None else columns.old_ids[judged]
            duplicate = self._dedup.duplicates(columns.ids[judged], pane_ends[judged], streams[judged], old_ids)
            accepted[judged[duplicate]] = False
        applied = int(np.count_nonzero(accepted))
        ledger.applied += applied
        ledger.late += int(np.count_nonzero(late))
        ledger.duplicate += len(columns) - applied - int(np.count_nonzero(late))
        spared = int(columns.codes[0]) if len(columns) == 1 else None
        if applied == len(columns):
            self._fold_in_order(columns, pane_ends, streams, now_ms, spared)
        elif applied:
            self._fold_in_order(columns.take(accepted), pane_ends[accepted], streams[accepted], now_ms, spared)
        self._closer.advance(int(streams[-1]), now_ms, spared)
        return streams

    def _reject_late(self, batch: RecordBatch, offsets: I8) -> None:
        keep_ms = self._state.time.keep_ms
        for index in np.searchsorted(np.asarray(batch.offsets, np.int64), offsets).tolist():
            why = PoisonRecord("late", f"its window was sealed {keep_ms} ms after its end, in stream time")
            self._state.outbox.reject(rejected(batch, index, why))

    def _fold_in_order(self, columns: Columns, pane_ends: I8, streams: I8, now_ms: int, spared: int | None) -> None:
        """Fold events, closing windows in between where a later event of the batch would change what they say.

        That is an event of a window that closed before it, and one of a module that was away for so long that it is judged
        afresh.
        """
        time, modules = self._state.time, self._state.modules
        grace_ms, base_ms = self._config.windows.grace_ms, self._config.windows.base_ms
        prepared = Prepared.of(columns)
        back = modules.returns(columns.codes, pane_ends)
        corrects = (pane_ends <= time.closed_floor_ms).any() or (pane_ends + grace_ms <= streams).any()
        if not back and not corrects:
            # No event comes after the close of its window: all finals are the same if they are made at the end.
            self._fold(prepared, pane_ends)
            return
        closed = (streams - grace_ms) // base_ms
        cuts = {0, len(columns), *back, *(np.flatnonzero(np.diff(closed)) + 1).tolist()}
        for low, high in pairwise(sorted(cuts)):
            self._closer.advance(int(streams[low]), now_ms, spared)
            if low in back:
                modules.judge_afresh(columns.codes[low : low + 1])
            self._fold(prepared.take(slice(low, high)), pane_ends[low:high])

    def _fold(self, prepared: Prepared, pane_ends: I8) -> None:
        base_ms = self._config.windows.base_ms
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
            part = prepared if high - low == pane_ends.size else prepared.take(slice(low, high))
            self._fold_pane(part, int(pane_ends[low]))

    def _fold_pane(self, part: Prepared, pane_end: int) -> None:
        modules = self._state.modules
        block = self._touch(pane_end - self._config.windows.base_ms)
        changed = fold(block.sums, part)
        block.dirty_sums |= persist.chunks_of(changed)
        modules.seen(changed, pane_end)
        if block.final:
            modules.correct_pane(changed, pane_end)

    def _touch(self, time_ms: int) -> Block:
        """The base pane of a time, with the windows over it; one that opens after its close is final from the start."""
        blocks = self._state.tree.touch(time_ms, self._state.modules.capacity)
        for block in blocks:
            self._closer.close_late(block)
        return blocks[0]
