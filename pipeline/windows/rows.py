"""The rows of a window's sums by the numbers that the changelog knows them by.

A number never changes its meaning, so rows can be added and put in another order in memory. New rows get the next numbers.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import F8, I8
from pipeline.windows import layout as at
from pipeline.windows.sums import Sums

U1 = NDArray[np.uint8]

# Which array a row stands in: `ints` or `floats`, the rows of a gauge (its number), or those of the CPU percentage.
_CORE, _CPU = -1, -2
_Place = tuple[int, int]


def _gauge_values(gauge: int) -> list[_Place]:
    return [(gauge, at.LAST), (gauge, at.AT), (gauge, at.OFFSET)]


def _gauge_totals(gauge: int) -> list[_Place]:
    return [(gauge, at.LARGEST), (gauge, at.READINGS), *((gauge, at.TOTAL + limb) for limb in range(at.TOTAL_LIMBS))]


# By number. The first 28 are the layout of version 1, which had neither the highest limbs nor the last two of the squares.
INT_ROWS: Final[tuple[_Place, ...]] = (
    (_CORE, at.COUNT),
    (_CORE, at.SUCCESSES),
    *((_CORE, at.SUM + limb) for limb in range(1, 5)),
    *((_CORE, at.SQUARES + limb) for limb in range(1, 7)),
    *((_CPU, at.CPU_SUM + limb) for limb in range(1, 5)),
    (_CPU, at.CPU_READINGS),
    *(place for gauge in at.GAUGES for place in _gauge_values(gauge)),
    (_CPU, at.CPU_AT),
    (_CPU, at.CPU_OFFSET),
    (_CORE, at.SUM),
    (_CORE, at.SQUARES),
    (_CORE, at.SQUARES + 7),
    (_CORE, at.SQUARES + 8),
    (_CPU, at.CPU_SUM),
    *(place for gauge in at.GAUGES for place in _gauge_totals(gauge)),
)
INT_ROWS_V1: Final = 28
FLOAT_ROWS: Final[tuple[_Place, ...]] = (
    (_CORE, at.MINIMUM),
    (_CORE, at.MAXIMUM),
    (_CPU, at.CPU_LAST),
    (_CORE, at.PEAK_ERRORS),
    (_CPU, at.CPU_LEAST),
    (_CPU, at.CPU_LARGEST),
)
FLOAT_ROWS_V1: Final = 4


def _numbers(places: tuple[_Place, ...], array: int, rows: int) -> U1:
    """The number of each row of one array."""
    return np.array([places.index((array, row)) for row in range(rows)], np.uint8)


_CORE_INTS = _numbers(INT_ROWS, _CORE, at.INT_ROWS)
_GAUGE_INTS = [_numbers(INT_ROWS, gauge, at.GAUGE_ROWS) for gauge in at.GAUGES]
_CPU_INTS = _numbers(INT_ROWS, _CPU, at.CPU_INT_ROWS)
_CORE_FLOATS = _numbers(FLOAT_ROWS, _CORE, at.FLOAT_ROWS)
_CPU_FLOATS = _numbers(FLOAT_ROWS, _CPU, at.CPU_FLOAT_ROWS)
# What a row holds in an empty window.
_EMPTY_INTS: I8 = np.array([-1 if a >= 0 and row in (at.AT, at.LARGEST) else 0 for a, row in INT_ROWS], np.int64)
_EMPTY_INTS[INT_ROWS.index((_CPU, at.CPU_AT))] = -1
_EMPTY_FLOATS: F8 = np.array([np.inf, -np.inf, 0.0, 0.0, np.inf, -np.inf])


def int_rows_of(sums: Sums, codes: I8) -> tuple[U1, I8]:
    """Numbers and rows of the chosen columns, without rows that are for all of them what they are in an empty window."""
    numbers, rows = [_CORE_INTS], [sums.ints[:, codes]]
    for gauge, found in enumerate(sums.gauges):
        if found is not None:
            numbers.append(_GAUGE_INTS[gauge])
            rows.append(found[:, codes])
    if sums.cpu_ints is not None:
        numbers.append(_CPU_INTS)
        rows.append(sums.cpu_ints[:, codes])
    joined, all_numbers = np.concatenate(rows), np.concatenate(numbers)
    used = (joined != _EMPTY_INTS[all_numbers][:, None]).any(axis=1)
    return all_numbers[used], joined[used]


def float_rows_of(sums: Sums, codes: I8) -> tuple[U1, F8]:
    """As `int_rows_of`, for the float rows."""
    numbers, rows = [_CORE_FLOATS], [sums.floats[:, codes]]
    if sums.cpu_floats is not None:
        numbers.append(_CPU_FLOATS)
        rows.append(sums.cpu_floats[:, codes])
    joined, all_numbers = np.concatenate(rows), np.concatenate(numbers)
    used = (joined != _EMPTY_FLOATS[all_numbers][:, None]).any(axis=1)
    return all_numbers[used], joined[used]


def put_ints(sums: Sums, codes: I8, numbers: U1, rows: I8) -> None:
    """Write rows into the columns `codes`, which are empty.

    Raises:
        ValueError: a number is unknown or comes twice.
    """
    _check_numbers(numbers, len(INT_ROWS))
    for number, row in zip(numbers.tolist(), rows, strict=True):
        array, place = INT_ROWS[number]
        target = sums.ints if array == _CORE else sums.cpu()[0] if array == _CPU else sums.gauge(array)
        target[place, codes] = row


def put_floats(sums: Sums, codes: I8, numbers: U1, rows: F8) -> None:
    """As `put_ints`, for the float rows."""
    _check_numbers(numbers, len(FLOAT_ROWS))
    for number, row in zip(numbers.tolist(), rows, strict=True):
        array, place = FLOAT_ROWS[number]
        target = sums.floats if array == _CORE else sums.cpu()[1]
        target[place, codes] = row + 0.0  # version 1 may hold -0.0


def _check_numbers(numbers: U1, known: int) -> None:
    if np.unique(numbers).size != numbers.size:
        raise ValueError("a row comes twice")
    if numbers.size and int(numbers.max()) >= known:
        raise ValueError(f"row {int(numbers.max())} is of a newer build; this one knows {known}")
