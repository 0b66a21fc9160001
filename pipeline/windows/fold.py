"""How a batch of accepted events is added to a base pane: whole columns, never event by event."""

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import F8, I8
from pipeline.columns import Choice, Columns
from pipeline.sketch.mapping import BIN_BITS, bins_of
from pipeline.windows import layout as at
from pipeline.windows.moments import LIMB_BITS, SQUARE_LIMBS, SUM_LIMBS, Limbs, square_limbs, sum_limbs
from pipeline.windows.sums import Sums, newer

_MASK = (1 << LIMB_BITS) - 1
# Whole numbers up to here are exact in doubles.
_EXACT = 1 << 53


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is computed once for a batch, before it is dealt out to panes: limbs and bins of every event."""

    columns: Columns
    sums: Limbs
    squares: Limbs
    cpu_sums: Limbs | None
    bins: I8

    @classmethod
    def of(cls, columns: Columns) -> "Prepared":
        """Compute limbs and bins of all events."""
        cpu_sums = None if columns.cpu is None else sum_limbs(np.nan_to_num(columns.cpu))
        sums = sum_limbs(columns.response_ms)
        return cls(columns, sums, square_limbs(sums), cpu_sums, bins_of(columns.response_ms))

    def take(self, where: Choice) -> "Prepared":
        """The chosen events, in the order given."""
        cpu_sums = None if self.cpu_sums is None else self.cpu_sums.take(where)
        return Prepared(
            self.columns.take(where), self.sums.take(where), self.squares.take(where), cpu_sums, self.bins[where]
        )


def fold(pane: Sums, batch: Prepared) -> I8:
    """Add events to a base pane; they must all belong to it.

    Returns:
        The module codes that changed, rising.
    """
    columns = batch.columns
    codes, width = columns.codes, pane.capacity
    pane.note_events(len(columns))
    counts = np.bincount(codes, minlength=width)
    pane.ints[at.COUNT] += counts
    pane.ints[at.SUCCESSES] += np.bincount(codes[columns.successes], minlength=width)
    _add_limbs(pane.ints[at.SUM : at.SUM + SUM_LIMBS], codes, batch.sums)
    _add_limbs(pane.ints[at.SQUARES : at.SQUARES + SQUARE_LIMBS], codes, batch.squares)
    np.minimum.at(pane.floats[at.MINIMUM], codes, columns.response_ms)
    np.maximum.at(pane.floats[at.MAXIMUM], codes, columns.response_ms)
    pane.cells.add_values((codes << BIN_BITS) | batch.bins)
    shared_last: I8 | None = None
    for gauge, values in zip(at.GAUGES, columns.gauges, strict=True):
        if values is None:
            continue
        sent = values >= 0
        if sent.all():
            if shared_last is None:
                shared_last = _last_of_each(codes, columns.times, width)
            _fold_gauge(pane.gauge(gauge), columns, values, shared_last, None, counts)
        elif sent.any():
            present = np.flatnonzero(sent)
            last = present[_last_of_each(codes[present], columns.times[present], width)]
            _fold_gauge(pane.gauge(gauge), columns, values, last, present, None)
    if columns.cpu is not None and batch.cpu_sums is not None:
        _fold_cpu(pane, columns, columns.cpu, batch.cpu_sums)
    return np.flatnonzero(counts)


def _add_limbs(target: I8, codes: I8, limbs: Limbs) -> None:
    width = target.shape[1]
    for row, limb in zip(limbs.rows, limbs.columns, strict=True):
        # Whole limbs below 2^35 and at most 2^18 events: the sums stay below 2^53, so doubles hold them exactly.
        target[row] += np.bincount(codes, limb, minlength=width).astype(np.int64)


def _last_of_each(codes: I8, times: I8, width: int) -> I8:
    """Index of each code's last event by (time, position)."""
    newest = np.full(width, -1, np.int64)
    np.maximum.at(newest, codes, times)
    winners = np.flatnonzero(times == newest[codes])
    last = np.full(width, -1, np.int64)
    last[codes[winners]] = winners  # the higher position is assigned last and stays
    return last[last >= 0]


def _fold_gauge(rows: I8, columns: Columns, values: I8, last: I8, present: I8 | None, counts: I8 | None) -> None:
    """Add the readings of one gauge.

    Args:
        rows: of the gauge, in the pane.
        columns: of the batch.
        values: the gauge of each event.
        last: index of each module's last reading.
        present: indices of the events that carry it; None where all do.
        counts: readings by code, where they are known already.
    """
    _set_last((rows[at.LAST], rows[at.AT], rows[at.OFFSET]), columns, values, last)
    codes = columns.codes
    if present is not None:
        codes, values = codes[present], values[present]
    width = rows.shape[1]
    np.maximum.at(rows[at.LARGEST], codes, values)
    rows[at.READINGS] += np.bincount(codes, minlength=width) if counts is None else counts
    if int(values.max()) * values.size < _EXACT:
        totals = np.bincount(codes, values, minlength=width).astype(np.int64)
        rows[at.TOTAL + 1] += totals >> LIMB_BITS
        rows[at.TOTAL + 2] += totals & _MASK
    else:
        rows[at.TOTAL + 1] += np.bincount(codes, values >> LIMB_BITS, minlength=width).astype(np.int64)
        rows[at.TOTAL + 2] += np.bincount(codes, values & _MASK, minlength=width).astype(np.int64)


def _set_last(held: tuple[I8 | F8, I8, I8], columns: Columns, values: I8 | F8, last: I8) -> None:
    """Take over the last value of each module (unique) where it is newer than the one that is held.

    Args:
        held: by module: value, time and offset.
        columns: the events.
        values: theirs.
        last: the event with the last value of each module.
    """
    held_values, held_times, held_offsets = held
    codes, times, offsets = columns.codes[last], columns.times[last], columns.offsets[last]
    take = newer(times, offsets, held_times[codes], held_offsets[codes])
    codes = codes[take]
    held_values[codes] = values[last][take]
    held_times[codes] = times[take]
    held_offsets[codes] = offsets[take]


def _fold_cpu(pane: Sums, columns: Columns, cpu: F8, limbs: Limbs) -> None:
    present = np.flatnonzero(~np.isnan(cpu))
    if not present.size:
        return
    ints, floats = pane.cpu()
    codes, width = columns.codes, pane.capacity
    _add_limbs(ints[at.CPU_SUM : at.CPU_SUM + SUM_LIMBS], codes, limbs)
    codes, values = codes[present], cpu[present]
    ints[at.CPU_READINGS] += np.bincount(codes, minlength=width)
    np.minimum.at(floats[at.CPU_LEAST], codes, values)
    np.maximum.at(floats[at.CPU_LARGEST], codes, values)
    last = present[_last_of_each(codes, columns.times[present], width)]
    _set_last((floats[at.CPU_LAST], ints[at.CPU_AT], ints[at.CPU_OFFSET]), columns, cpu, last)
