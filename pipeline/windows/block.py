"""One window of all modules of a task: sums, gauges and sketch cells, and what was published about it."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pipeline.sketch.cells import CellStore, sum_by_key
from pipeline.sketch.mapping import F8, I8
from pipeline.windows import layout as at

GAUGES: Final = (at.MEMORY, at.GOROUTINES, at.CONNECTIONS)


class Sums:
    """The mergeable part of a block: `ints`, `floats` and cells, one column per module code."""

    __slots__ = ("cells", "floats", "ints")

    def __init__(self, capacity: int) -> None:
        self.ints: I8 = np.zeros((at.INT_ROWS, capacity), np.int64)
        self.floats: F8 = np.zeros((at.FLOAT_ROWS, capacity))
        self.cells = CellStore()
        for gauge in GAUGES:
            self.ints[gauge + 1] = -1
        self.ints[at.CPU_AT] = -1
        self.floats[at.MINIMUM] = np.inf
        self.floats[at.MAXIMUM] = -np.inf

    @property
    def capacity(self) -> int:
        """How many module codes have a column."""
        return int(self.ints.shape[1])

    def grow(self, capacity: int) -> None:
        """Make room for codes below `capacity`; never shrinks."""
        if capacity > self.capacity:
            wider = Sums(capacity)
            wider.ints[:, : self.capacity] = self.ints
            wider.floats[:, : self.capacity] = self.floats
            self.ints, self.floats = wider.ints, wider.floats

    def merge(self, others: Sequence["Sums"]) -> None:
        """Add other windows' sums. Exact, and free of order: gauges go by (event time, offset)."""
        for other in others:
            self._merge_columns(other)
        cells = [self.cells.folded(), *(other.cells.folded() for other in others)]
        self.cells.replace(*sum_by_key(np.concatenate([c[0] for c in cells]), np.concatenate([c[1] for c in cells])))

    def _merge_columns(self, other: "Sums") -> None:
        self.grow(other.capacity)
        width = other.capacity
        ints, floats = self.ints[:, :width], self.floats[:, :width]
        ints[: at.ADDED] += other.ints[: at.ADDED]
        np.minimum(floats[at.MINIMUM], other.floats[at.MINIMUM], out=floats[at.MINIMUM])
        np.maximum(floats[at.MAXIMUM], other.floats[at.MAXIMUM], out=floats[at.MAXIMUM])
        np.maximum(floats[at.PEAK_ERRORS], other.floats[at.PEAK_ERRORS], out=floats[at.PEAK_ERRORS])
        for gauge in GAUGES:
            newer = _newer(other.ints[gauge + 1], other.ints[gauge + 2], ints[gauge + 1], ints[gauge + 2])
            ints[gauge : gauge + 3, newer] = other.ints[gauge : gauge + 3, newer]
        newer = _newer(other.ints[at.CPU_AT], other.ints[at.CPU_AT + 1], ints[at.CPU_AT], ints[at.CPU_AT + 1])
        ints[at.CPU_AT : at.CPU_AT + 2, newer] = other.ints[at.CPU_AT : at.CPU_AT + 2, newer]
        floats[at.CPU, newer] = other.floats[at.CPU, newer]

    def set_gauge(self, gauge: int, codes: I8, values: I8, times: I8, offsets: I8) -> None:
        """Take over the value of each code (unique) where it is newer than what stands here."""
        newer = _newer(times, offsets, self.ints[gauge + 1, codes], self.ints[gauge + 2, codes])
        codes = codes[newer]
        self.ints[gauge, codes] = values[newer]
        self.ints[gauge + 1, codes] = times[newer]
        self.ints[gauge + 2, codes] = offsets[newer]

    def set_cpu(self, codes: I8, values: F8, times: I8, offsets: I8) -> None:
        """As `set_gauge`, for the CPU percentage."""
        newer = _newer(times, offsets, self.ints[at.CPU_AT, codes], self.ints[at.CPU_AT + 1, codes])
        codes = codes[newer]
        self.floats[at.CPU, codes] = values[newer]
        self.ints[at.CPU_AT, codes] = times[newer]
        self.ints[at.CPU_AT + 1, codes] = offsets[newer]

    def note_peak_errors(self, min_requests: I8) -> None:
        """Record each module's own error rate as its peak, where it has enough requests (a base pane does this)."""
        counts = self.ints[at.COUNT]
        enough = counts >= np.maximum(min_requests, 1)
        rates = (counts - self.ints[at.SUCCESSES]) / np.maximum(counts, 1)
        self.floats[at.PEAK_ERRORS] = np.where(enough, rates, 0.0)


def _newer(times: I8, offsets: I8, old_times: I8, old_offsets: I8) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    mask: np.ndarray[tuple[int], np.dtype[np.bool_]] = (times > old_times) | (
        (times == old_times) & (times >= 0) & (offsets > old_offsets)
    )
    return mask


class Block:
    """One window [start, start + size) of every module of a task.

    For a base pane `sums` is everything applied so far; for a larger window it is what its sealed parts brought, the live
    ones are merged in when it is looked at (`WindowTree.view`).

    Attributes:
        meta: int64, `layout.META_ROWS` rows, one column per module code.
        scores: the health score in the newest record of each module.
        final: whether stream time has passed end + grace.
        touched: whether something was applied since the newest records went out.
        dirty_sums, dirty_meta: chunks to write to the changelog at the next cut.
        stored_sums, stored_meta: chunks the changelog holds, to be deleted when the window is sealed.
    """

    __slots__ = (
        "dirty_meta", "dirty_sums", "final", "level", "meta", "scores", "size_ms", "start_ms", "stored_meta",
        "stored_sums", "sums", "touched",
    )  # fmt: skip

    def __init__(self, level: int, start_ms: int, size_ms: int, capacity: int) -> None:
        self.level = level
        self.start_ms = start_ms
        self.size_ms = size_ms
        self.sums = Sums(capacity)
        self.meta: I8 = np.zeros((at.META_ROWS, capacity), np.int64)
        self.scores: F8 = np.full(capacity, 100.0)
        self.final = False
        self.touched = False
        self.dirty_sums: set[int] = set()
        self.dirty_meta: set[int] = set()
        self.stored_sums: set[int] = set()
        self.stored_meta: set[int] = set()

    @property
    def end_ms(self) -> int:
        """The first millisecond after the window."""
        return self.start_ms + self.size_ms

    def grow(self, capacity: int) -> None:
        """Make room for codes below `capacity`; never shrinks."""
        old = self.meta.shape[1]
        if capacity > old:
            self.sums.grow(capacity)
            meta = np.zeros((at.META_ROWS, capacity), np.int64)
            meta[:, :old] = self.meta
            scores = np.full(capacity, 100.0)
            scores[:old] = self.scores
            self.meta, self.scores = meta, scores
