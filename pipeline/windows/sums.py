"""What is added up about every module of a window: counts, exact sums, extremes, gauges and sketch cells. Mergeable."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import F8, I8
from pipeline.sketch.cells import CellStore, sum_by_key
from pipeline.windows import layout as at
from pipeline.windows.moments import MAX_UNCARRIED, SQUARE_LIMBS, SUM_LIMBS, carry

Mask = NDArray[np.bool_]


class Sums:
    """The mergeable part of a window, one column per module code; `layout` names the rows.

    Attributes:
        ints, floats: rows that every window has.
        gauges: rows of memory, goroutines and connections; None while no module of the window sent the gauge.
        cpu_ints, cpu_floats: likewise of the CPU percentage.
        cells: the sketches.
        uncarried: how many events at most were added since limbs were carried last.
    """

    __slots__ = ("cells", "cpu_floats", "cpu_ints", "floats", "gauges", "ints", "uncarried")

    def __init__(self, capacity: int) -> None:
        self.ints: I8 = np.zeros((at.INT_ROWS, capacity), np.int64)
        self.floats: F8 = np.zeros((at.FLOAT_ROWS, capacity))
        self.floats[at.MINIMUM] = np.inf
        self.floats[at.MAXIMUM] = -np.inf
        self.gauges: list[I8 | None] = [None] * len(at.GAUGES)
        self.cpu_ints: I8 | None = None
        self.cpu_floats: F8 | None = None
        self.cells = CellStore()
        self.uncarried = 0

    @property
    def capacity(self) -> int:
        """How many module codes have a column."""
        return int(self.ints.shape[1])

    @property
    def empty(self) -> bool:
        """Whether no event was added."""
        return not self.ints[at.COUNT].any()

    @property
    def nbytes(self) -> int:
        """Memory of the rows, without the cells, bytes."""
        rows = [self.ints, self.floats, self.cpu_ints, self.cpu_floats, *self.gauges]
        return sum(row.nbytes for row in rows if row is not None)

    def gauge(self, gauge: int) -> I8:
        """The rows of a gauge, made where they are not there yet."""
        rows = self.gauges[gauge]
        if rows is None:
            rows = self.gauges[gauge] = empty_gauge(self.capacity)
        return rows

    def cpu(self) -> tuple[I8, F8]:
        """The rows of the CPU percentage, made where they are not there yet."""
        if self.cpu_ints is None or self.cpu_floats is None:
            self.cpu_ints, self.cpu_floats = empty_cpu(self.capacity)
        return self.cpu_ints, self.cpu_floats

    def grow(self, capacity: int) -> None:
        """Make room for codes below `capacity`; never shrinks."""
        if capacity <= self.capacity:
            return
        wider = Sums(capacity)
        wider.put(np.arange(self.capacity), self)
        self.ints, self.floats, self.gauges = wider.ints, wider.floats, wider.gauges
        self.cpu_ints, self.cpu_floats = wider.cpu_ints, wider.cpu_floats

    def put(self, codes: I8, other: "Sums", chosen: I8 | slice = slice(None)) -> None:
        """Write the rows of other sums' chosen columns over the columns `codes`; the cells stay as they are."""
        self.ints[:, codes] = other.ints[:, chosen]
        self.floats[:, codes] = other.floats[:, chosen]
        for gauge, rows in enumerate(other.gauges):
            if rows is not None:
                self.gauge(gauge)[:, codes] = rows[:, chosen]
        if other.cpu_ints is not None and other.cpu_floats is not None:
            ints, floats = self.cpu()
            ints[:, codes] = other.cpu_ints[:, chosen]
            floats[:, codes] = other.cpu_floats[:, chosen]
        self.uncarried = max(self.uncarried, other.uncarried)

    def note_events(self, events: int) -> None:
        """Call before limbs of so many events are added: carries where a row could overflow otherwise."""
        if self.uncarried + events > MAX_UNCARRIED:
            self.carry()
        self.uncarried += events

    def carry(self) -> None:
        """Make every limb but the highest of its sum hold 32 bits."""
        if not self.uncarried:
            return
        carry(self.ints[at.SUM : at.SUM + SUM_LIMBS])
        carry(self.ints[at.SQUARES : at.SQUARES + SQUARE_LIMBS])
        for rows in self.gauges:
            if rows is not None:
                carry(rows[at.TOTAL : at.TOTAL + at.TOTAL_LIMBS])
        if self.cpu_ints is not None:
            carry(self.cpu_ints[at.CPU_SUM : at.CPU_SUM + SUM_LIMBS])
        self.uncarried = 0

    def merge(self, others: Sequence["Sums"]) -> None:
        """Add other windows' sums. Exact, and free of order: gauges go by (event time, offset)."""
        for other in others:
            self._merge_columns(other)
        cells = [self.cells.folded(), *(other.cells.folded() for other in others)]
        self.cells.replace(*sum_by_key(np.concatenate([c[0] for c in cells]), np.concatenate([c[1] for c in cells])))

    def _merge_columns(self, other: "Sums") -> None:
        self.grow(other.capacity)
        self.note_events(other.uncarried + 1)  # what was carried still adds 32 bits
        width = other.capacity
        self.ints[:, :width] += other.ints
        floats = self.floats[:, :width]
        np.minimum(floats[at.MINIMUM], other.floats[at.MINIMUM], out=floats[at.MINIMUM])
        np.maximum(floats[at.MAXIMUM], other.floats[at.MAXIMUM], out=floats[at.MAXIMUM])
        np.maximum(floats[at.PEAK_ERRORS], other.floats[at.PEAK_ERRORS], out=floats[at.PEAK_ERRORS])
        for gauge, theirs in enumerate(other.gauges):
            if theirs is not None:
                _merge_gauge(self.gauge(gauge)[:, :width], theirs)
        if other.cpu_ints is not None and other.cpu_floats is not None:
            ints, floats = self.cpu()
            _merge_cpu(ints[:, :width], floats[:, :width], other.cpu_ints, other.cpu_floats)

    def note_peak_errors(self, min_requests: I8, carried: "Sums | None" = None) -> None:
        """Record each module's own error rate as its peak, where it has enough requests (a base pane does this).

        Args:
            min_requests: by module code.
            carried: further events of the same pane, see `Block`.
        """
        counts, successes = self.ints[at.COUNT], self.ints[at.SUCCESSES]
        if carried is not None:
            counts, successes = counts + carried.ints[at.COUNT], successes + carried.ints[at.SUCCESSES]
        enough = counts >= np.maximum(min_requests, 1)
        rates = (counts - successes) / np.maximum(counts, 1)
        self.floats[at.PEAK_ERRORS] = np.where(enough, rates, 0.0)


def empty_gauge(capacity: int) -> I8:
    """The rows of a gauge that no module sent."""
    rows = np.zeros((at.GAUGE_ROWS, capacity), np.int64)
    rows[at.AT] = rows[at.LARGEST] = -1
    return rows


def empty_cpu(capacity: int) -> tuple[I8, F8]:
    """The rows of the CPU percentage where no module sent it."""
    ints = np.zeros((at.CPU_INT_ROWS, capacity), np.int64)
    ints[at.CPU_AT] = -1
    floats = np.zeros((at.CPU_FLOAT_ROWS, capacity))
    floats[at.CPU_LEAST], floats[at.CPU_LARGEST] = np.inf, -np.inf
    return ints, floats


def _merge_gauge(ours: I8, theirs: I8) -> None:
    take = newer(theirs[at.AT], theirs[at.OFFSET], ours[at.AT], ours[at.OFFSET])
    for row in (at.LAST, at.AT, at.OFFSET):
        ours[row, take] = theirs[row, take]
    np.maximum(ours[at.LARGEST], theirs[at.LARGEST], out=ours[at.LARGEST])
    ours[at.READINGS :] += theirs[at.READINGS :]


def _merge_cpu(ours: I8, our_floats: F8, theirs: I8, their_floats: F8) -> None:
    take = newer(theirs[at.CPU_AT], theirs[at.CPU_OFFSET], ours[at.CPU_AT], ours[at.CPU_OFFSET])
    our_floats[at.CPU_LAST, take] = their_floats[at.CPU_LAST, take]
    for row in (at.CPU_AT, at.CPU_OFFSET):
        ours[row, take] = theirs[row, take]
    ours[at.CPU_READINGS :] += theirs[at.CPU_READINGS :]
    np.minimum(our_floats[at.CPU_LEAST], their_floats[at.CPU_LEAST], out=our_floats[at.CPU_LEAST])
    np.maximum(our_floats[at.CPU_LARGEST], their_floats[at.CPU_LARGEST], out=our_floats[at.CPU_LARGEST])


def newer(times: I8, offsets: I8, old_times: I8, old_offsets: I8) -> Mask:
    """Where a value is newer than the one that stands: by event time, of equal times by offset."""
    mask: Mask = (times > old_times) | ((times == old_times) & (times >= 0) & (offsets > old_offsets))
    return mask
