"""Rows under the numbers of the changelog: a number once given means the same for ever."""

import numpy as np
import pytest

from pipeline.windows import layout as at
from pipeline.windows.rows import (
    FLOAT_ROWS,
    FLOAT_ROWS_V1,
    INT_ROWS,
    INT_ROWS_V1,
    float_rows_of,
    int_rows_of,
    put_floats,
    put_ints,
)
from pipeline.windows.sums import Sums
from tests.support.core.cores import Event
from tests.support.core.folded import sums_of

# By number. This list is only ever added to, at its end.
_INTS = """
count successes sum1 sum2 sum3 sum4 squares1 squares2 squares3 squares4 squares5 squares6
cpu.sum1 cpu.sum2 cpu.sum3 cpu.sum4 cpu.readings
0.last 0.at 0.offset 1.last 1.at 1.offset 2.last 2.at 2.offset cpu.at cpu.offset
sum0 squares0 squares7 squares8 cpu.sum0
0.largest 0.readings 0.total0 0.total1 0.total2
1.largest 1.readings 1.total0 1.total1 1.total2
2.largest 2.readings 2.total0 2.total1 2.total2
"""
INTS = _INTS.split()
FLOATS = ["minimum", "maximum", "cpu.last", "peak_errors", "cpu.least", "cpu.largest"]
EVENTS = [
    Event("a", 5, 2.5, memory=2**63 - 1, cpu=1e308),
    Event("a", 4, 2.0**64, False, memory=3, connections=0),
    Event("c", 0, 0.0, cpu=0.0),
]


def place(name: str) -> tuple[int, int]:
    """Array and row of a name, as the layout has them."""
    array, _, row = name.rpartition(".")
    word, limb = row.rstrip("0123456789"), row[len(row.rstrip("0123456789")) :]
    found: int = getattr(at, ("CPU_" if array == "cpu" else "") + word.upper())
    return {"": -1, "cpu": -2, "0": at.MEMORY, "1": at.GOROUTINES, "2": at.CONNECTIONS}[array], found + int(limb or 0)


def test_every_number_means_what_it_meant_when_it_was_given() -> None:
    assert list(map(place, INTS)) == list(INT_ROWS[: len(INTS)])
    assert list(map(place, FLOATS)) == list(FLOAT_ROWS[: len(FLOATS)])
    assert (INTS[INT_ROWS_V1], FLOATS[FLOAT_ROWS_V1]) == ("sum0", "cpu.least"), "version 1 ended before these"


def test_every_row_of_a_window_has_one_number() -> None:
    sizes = {-1: at.INT_ROWS, -2: at.CPU_INT_ROWS} | dict.fromkeys(at.GAUGES, at.GAUGE_ROWS)
    assert sorted(INT_ROWS) == sorted((array, row) for array, rows in sizes.items() for row in range(rows))
    floats = {-1: at.FLOAT_ROWS, -2: at.CPU_FLOAT_ROWS}
    assert sorted(FLOAT_ROWS) == sorted((array, row) for array, rows in floats.items() for row in range(rows))


def test_rows_that_were_written_are_read_back_into_other_columns() -> None:
    sums, back = sums_of(EVENTS, capacity=3), Sums(9)
    codes, others = np.array([0, 2]), np.array([7, 1])
    put_ints(back, others, *int_rows_of(sums, codes))
    put_floats(back, others, *float_rows_of(sums, codes))
    assert back.ints[:, others].tolist() == sums.ints[:, codes].tolist()
    assert back.floats[:, others].tolist() == sums.floats[:, codes].tolist()
    for ours, theirs in zip(back.gauges, sums.gauges, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or theirs is None or ours[:, others].tolist() == theirs[:, codes].tolist()
    assert [array[:, others].tolist() for array in back.cpu()] == [array[:, codes].tolist() for array in sums.cpu()]


def test_rows_that_are_empty_for_all_chosen_modules_are_left_out() -> None:
    sums = sums_of(EVENTS)
    only_c = np.array([2])
    assert sorted(INTS[number] for number in int_rows_of(sums, only_c)[0]) == [
        "count", "cpu.at", "cpu.offset", "cpu.readings", "successes",
    ]  # fmt: skip
    assert sorted(FLOATS[number] for number in float_rows_of(sums, only_c)[0]) == [
        "cpu.largest", "cpu.least", "maximum", "minimum",
    ]  # fmt: skip
    nobody = np.array([1, 3])
    assert int_rows_of(sums, nobody)[0].size == float_rows_of(sums, nobody)[0].size == 0


def test_a_row_that_comes_twice_and_one_that_is_not_known_are_refused() -> None:
    def put(ints: bool, *numbers: int) -> None:
        rows = np.zeros((len(numbers), 1))
        if ints:
            put_ints(Sums(1), np.array([0]), np.array(numbers, np.uint8), rows.astype(np.int64))
        else:
            put_floats(Sums(1), np.array([0]), np.array(numbers, np.uint8), rows)

    for ints, known in ((True, len(INT_ROWS)), (False, len(FLOAT_ROWS))):
        put(ints, known - 1, 0)
        put(ints)
        with pytest.raises(ValueError, match="a row comes twice"):
            put(ints, 0, 1, 0)
        with pytest.raises(ValueError, match=f"row {known} is of a newer build; this one knows {known}"):
            put(ints, 0, known)


def test_a_negative_zero_of_version_1_is_read_as_zero() -> None:
    sums = Sums(1)
    put_floats(sums, np.array([0]), np.array([0, 2], np.uint8), np.array([[-0.0], [-0.0]]))
    assert not np.signbit([sums.floats[at.MINIMUM, 0], sums.cpu()[1][at.CPU_LAST, 0]]).any()
