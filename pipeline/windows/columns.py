"""A batch of accepted events as columns, and how they are added to a base pane."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.sketch.mapping import BIN_BITS, F8, I8, bins_of
from pipeline.windows import layout as at
from pipeline.windows.block import GAUGES, Sums
from pipeline.windows.moments import SQUARE_LIMBS, SUM_LIMBS, square_limbs, sum_limbs

Mask = NDArray[np.bool_]
Choice = I8 | Mask | slice


@dataclass(frozen=True, slots=True)
class Columns:
    """Valid events in offset order, all arrays of length n.

    Attributes:
        codes: module codes. times: event time, ms. offsets: Kafka offsets.
        successes: bool. response_ms: finite, >= 0.
        gauges: for memory, goroutines, connections: values with -1 where not sent, or None where no event sent it.
        cpu: percent with NaN where not sent, or None where no event sent it.
        ids: 64-bit hashes of (module, event_id), or None with duplicate suppression off.
        has_id: where an event_id was sent.
    """

    codes: I8
    times: I8
    offsets: I8
    successes: Mask
    response_ms: F8
    gauges: tuple[I8 | None, I8 | None, I8 | None]
    cpu: F8 | None
    ids: NDArray[np.uint64] | None
    has_id: Mask | None

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, where: Choice) -> "Columns":
        """The chosen events, in the order given."""
        first, second, third = (None if gauge is None else gauge[where] for gauge in self.gauges)
        return Columns(
            self.codes[where],
            self.times[where],
            self.offsets[where],
            self.successes[where],
            self.response_ms[where],
            (first, second, third),
            None if self.cpu is None else self.cpu[where],
            None if self.ids is None else self.ids[where],
            None if self.has_id is None else self.has_id[where],
        )


def join_columns(parts: Sequence[Columns]) -> Columns | None:
    """Several parts of one batch as one, in offset order."""
    if len(parts) < 2:
        return parts[0] if parts else None
    lengths = [len(part) for part in parts]
    gauges = [_join([part.gauges[gauge] for part in parts], lengths, -1) for gauge in range(len(GAUGES))]
    joined = Columns(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.offsets for part in parts]),
        np.concatenate([part.successes for part in parts]),
        np.concatenate([part.response_ms for part in parts]),
        (gauges[0], gauges[1], gauges[2]),
        _join([part.cpu for part in parts], lengths, np.nan),
        _join([part.ids for part in parts], lengths, 0),
        _join([part.has_id for part in parts], lengths, fill=False),
    )
    return joined.take(np.argsort(joined.offsets, kind="stable"))


def _join(columns: Sequence[Any], lengths: Sequence[int], fill: float) -> Any:
    """Columns one after the other; one that is None is filled, and when all are None so is the answer."""
    dtypes = [column.dtype for column in columns if column is not None]
    if not dtypes:
        return None
    pairs = zip(columns, lengths, strict=True)
    return np.concatenate([np.full(n, fill, dtypes[0]) if column is None else column for column, n in pairs])


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is computed once for a batch, before it is dealt out to panes: limbs and bins of every event."""

    columns: Columns
    sums: F8
    squares: F8
    cpu_sums: F8 | None
    bins: I8

    @classmethod
    def of(cls, columns: Columns) -> "Prepared":
        """Compute limbs and bins of all events."""
        cpu_sums = None if columns.cpu is None else sum_limbs(np.nan_to_num(columns.cpu))
        return cls(
            columns,
            sum_limbs(columns.response_ms),
            square_limbs(columns.response_ms),
            cpu_sums,
            bins_of(columns.response_ms),
        )

    def take(self, where: Choice) -> "Prepared":
        """The chosen events, in the order given."""
        cpu_sums = None if self.cpu_sums is None else self.cpu_sums[:, where]
        return Prepared(
            self.columns.take(where), self.sums[:, where], self.squares[:, where], cpu_sums, self.bins[where]
        )


def _add_limbs(target: I8, codes: I8, limbs: F8, width: int) -> None:
    for row, limb in zip(target, limbs, strict=True):
        # Whole limbs are often all zero (nothing over 2^32 ms): skip them. Sums stay below 2^53, so they are exact.
        if limb.any():
            row[:width] += np.bincount(codes, limb, minlength=width).astype(np.int64)


def _last_of_each(codes: I8, times: I8, width: int) -> I8:
    """Index of each code's last event by (time, position)."""
    newest = np.full(width, -1, np.int64)
    np.maximum.at(newest, codes, times)
    winners = np.flatnonzero(times == newest[codes])
    last = np.full(width, -1, np.int64)
    last[codes[winners]] = winners  # the higher position is assigned last and stays
    return last[last >= 0]


def fold(pane: Sums, batch: Prepared) -> I8:
    """Add events to a base pane; they must all belong to it.

    Returns:
        The module codes that changed, rising.
    """
    columns = batch.columns
    codes, width = columns.codes, pane.capacity
    counts = np.bincount(codes, minlength=width)
    pane.ints[at.COUNT] += counts
    pane.ints[at.SUCCESSES] += np.bincount(codes[columns.successes], minlength=width)
    _add_limbs(pane.ints[at.SUM : at.SUM + SUM_LIMBS], codes, batch.sums, width)
    _add_limbs(pane.ints[at.SQUARES : at.SQUARES + SQUARE_LIMBS], codes, batch.squares, width)
    np.minimum.at(pane.floats[at.MINIMUM], codes, columns.response_ms)
    np.maximum.at(pane.floats[at.MAXIMUM], codes, columns.response_ms)
    pane.cells.add_values((codes << BIN_BITS) | batch.bins)
    shared_last: I8 | None = None
    for gauge, values in zip(GAUGES, columns.gauges, strict=True):
        if values is None:
            continue
        sent = values >= 0
        if sent.all():
            if shared_last is None:
                shared_last = _last_of_each(codes, columns.times, width)
            last = shared_last
        else:
            present = np.flatnonzero(sent)
            last = present[_last_of_each(codes[present], columns.times[present], width)]
        pane.set_gauge(gauge, codes[last], values[last], columns.times[last], columns.offsets[last])
    if columns.cpu is not None and batch.cpu_sums is not None:
        present = np.flatnonzero(~np.isnan(columns.cpu))
        _add_limbs(pane.ints[at.CPU_SUM : at.CPU_SUM + SUM_LIMBS], codes, batch.cpu_sums, width)
        pane.ints[at.CPU_COUNT] += np.bincount(codes[present], minlength=width)
        last = present[_last_of_each(codes[present], columns.times[present], width)]
        pane.set_cpu(codes[last], columns.cpu[last], columns.times[last], columns.offsets[last])
    return np.flatnonzero(counts)
