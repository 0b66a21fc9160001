"""Last value, mean and maximum of each gauge, read from the rows of a window."""

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import F8, I8
from pipeline.windows import layout as at
from pipeline.windows.moments import LIMB_BITS, SUM_LIMBS, as_integer, as_integers, mean
from pipeline.windows.sums import Sums

N = TypeVar("N", int, float)
# Totals of readings up to here are doubles too, so one division rounds their mean correctly.
_EXACT_HIGH_LIMB = 1 << 20


@dataclass(frozen=True, slots=True)
class GaugeFigures(Generic[N]):
    """One gauge of some modules, lists in the order of the codes asked for; None where it was never sent.

    Attributes:
        last: by event time, of equal times the higher offset.
        mean: of all readings, correctly rounded; None also where some readings were never counted.
        largest: likewise.
    """

    last: list[N | None]
    mean: list[float | None]
    largest: list[N | None]


def gauge_figures(rows: I8 | None, codes: I8) -> GaugeFigures[int]:
    """The figures of a whole-numbered gauge; call it after a carry."""
    if rows is None:
        return _never_sent(codes.size)
    columns = rows[:, codes]
    sent, counted = columns[at.AT] >= 0, columns[at.READINGS] > 0
    return GaugeFigures(
        _shown(columns[at.LAST], sent), _shown_means(columns, counted), _shown(columns[at.LARGEST], counted)
    )


def _never_sent(size: int) -> GaugeFigures[int]:
    nothing: list[int | None] = [None] * size
    return GaugeFigures(nothing, [None] * size, nothing)


def _shown(values: I8, shown: NDArray[np.bool_]) -> list[int | None]:
    numbers: list[int | None] = values.tolist()
    for row in np.flatnonzero(~shown).tolist():
        numbers[row] = None
    return numbers


def _shown_means(columns: I8, counted: NDArray[np.bool_]) -> list[float | None]:
    high, low, readings = columns[at.TOTAL + 1], columns[at.TOTAL + 2], columns[at.READINGS]
    means: list[float | None] = (((high << LIMB_BITS) + low) / np.maximum(readings, 1)).tolist()
    for row in np.flatnonzero(~counted | (columns[at.TOTAL] != 0) | (high >= _EXACT_HIGH_LIMB)).tolist():
        total = as_integer(columns[at.TOTAL : at.TOTAL + at.TOTAL_LIMBS, row].tolist())
        means[row] = total / int(readings[row]) if counted[row] else None
    return means


def cpu_figures(sums: Sums, codes: I8) -> GaugeFigures[float]:
    """The figures of the CPU percentage; call it after a carry."""
    if sums.cpu_ints is None or sums.cpu_floats is None:
        nothing: list[float | None] = [None] * codes.size
        return GaugeFigures(nothing, nothing, nothing)
    ints, floats = sums.cpu_ints[:, codes], sums.cpu_floats[:, codes]
    last: list[float | None] = floats[at.CPU_LAST].tolist()
    largest: list[float | None] = floats[at.CPU_LARGEST].tolist()
    means = _cpu_means(ints, floats)
    for row in np.flatnonzero(ints[at.CPU_AT] < 0).tolist():
        last[row] = means[row] = largest[row] = None
    for row in np.flatnonzero(np.isnan(floats[at.CPU_LARGEST])).tolist():
        largest[row] = None
    return GaugeFigures(last, means, largest)


def _cpu_means(ints: I8, floats: F8) -> list[float | None]:
    totals, readings = as_integers(ints[at.CPU_SUM : at.CPU_SUM + SUM_LIMBS]), ints[at.CPU_READINGS].tolist()
    bounds = zip(floats[at.CPU_LEAST].tolist(), floats[at.CPU_LARGEST].tolist(), strict=True)
    means: list[float | None] = []
    for total, count, (least, largest) in zip(totals, readings, bounds, strict=True):
        average = mean(total, max(count, 1))
        # The sum is cut at 2^-64 and saturates at 2^64; a mean lies between the readings whatever they are.
        means.append(average if math.isnan(largest) else min(max(average, least), largest))
    return means
