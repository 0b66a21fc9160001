"""What the advance of stream time does to windows and modules: close, count silence, seal, expire; oldest first."""

import numpy as np

from pipeline.ingest.dedup import Deduplicator
from pipeline.outputs import StateRecord
from pipeline.publish.emitter import Emitter
from pipeline.publish.task_state import TaskState
from pipeline.windows import persist
from pipeline.windows.block import Block
from pipeline.windows.stream_time import BEGIN_MS
from schemas.state import IDS


class Closer:
    """Moves stream time of one task and does all that falls due by it.

    Attributes:
        counted_through_ms: end of the newest base window that was counted for the silence of modules.
        deleted: tombstones of what was sealed since the last cut.
    """

    def __init__(self, state: TaskState, emitter: Emitter, dedup: Deduplicator) -> None:
        self._state = state
        self._emitter = emitter
        self._dedup = dedup
        self.counted_through_ms = BEGIN_MS
        self.deleted: list[StateRecord] = []

    def advance(self, to_ms: int, now_ms: int, spared: int | None = None) -> None:
        """Move stream time; nothing happens when it is there already.

        Args:
            to_ms: the new stream time.
            now_ms: the wall clock.
            spared: the code of the module whose event moves stream time; it does not expire by that.
        """
        time = self._state.time
        if time.stream_ms is None or to_ms > time.stream_ms:
            time.stream_ms = to_ms
            self.settle(now_ms, spared)

    def settle(self, now_ms: int, spared: int | None = None) -> None:
        """Do what is due by stream time as it is; after a restart by the settings of this run."""
        state = self._state
        closed_ms, sealed_ms = state.time.closed_ms, state.time.sealed_ms
        for block in state.tree.due(closed_ms, unclosed=True):
            self._count_silence(block, now_ms)
            self._emitter.close(block, now_ms)
        self._count_empty(closed_ms, now_ms)
        self._emitter.end_ticks(closed_ms, now_ms)
        for block in state.tree.due(sealed_ms, unclosed=False):
            self._seal(block, now_ms)
        for pane_end, sequence in self._dedup.seal(state.time.sealed_pane_ms):
            self.deleted.append(StateRecord(b"%s|%d|%d" % (IDS, pane_end, sequence), None))
        gone = state.modules.expire(state.time.sealed_pane_ms, spared)
        if gone:
            state.tree.forget(np.array([module.code for module in gone], np.int64))
            self._emitter.end_expired(gone, now_ms)

    def end_unknown(self, now_ms: int) -> None:
        """After a restart: end the alerts of modules that a former build forgot and left their alerts behind."""
        self._emitter.end_unknown(now_ms)

    def close_late(self, block: Block) -> None:
        """Make a window final that opened after its close."""
        if not block.final and block.end_ms <= self._state.time.closed_ms:
            self._emitter.mark_final(block)

    def _count_silence(self, block: Block, now_ms: int) -> None:
        """Count the base windows through the end of a window that closes."""
        state = self._state
        if block.level:
            self._count_empty(block.end_ms, now_ms)
            return
        self._count_empty(block.start_ms, now_ms)
        # A window that is not whole does not tell who spoke in it; after a change of sizes others may have been counted already.
        if state.is_whole(block) and block.end_ms > self.counted_through_ms:
            counts = state.tree.counts(block, state.modules.capacity)
            state.modules.close_pane(block.start_ms, counts)
            self._emitter.state_silence(block.end_ms, counts, now_ms)
        self.counted_through_ms = max(self.counted_through_ms, block.end_ms)

    def _count_empty(self, through_ms: int, now_ms: int) -> None:
        """Count base windows without any event; of several in a row the first decides, for after it no module has a run."""
        state = self._state
        base_ms = state.windows.base_ms
        through_ms = through_ms // base_ms * base_ms
        first_ms = self.counted_through_ms
        if first_ms == BEGIN_MS or through_ms <= first_ms:
            return
        first_ms = max(-(-first_ms // base_ms) * base_ms, -(-state.whole_from_ms[0] // base_ms) * base_ms)
        if first_ms < through_ms:
            state.modules.close_pane(first_ms, None)
            self._emitter.state_silence(first_ms + base_ms, None, now_ms)
            self._emitter.empty_panes(first_ms, through_ms)
        self.counted_through_ms = through_ms

    def _seal(self, block: Block, now_ms: int) -> None:
        state = self._state
        self._emitter.seal(block, now_ms)
        state.tree.seal(block, state.profiles.min_requests, state.modules.capacity)
        self.deleted += persist.tombstones(block)
