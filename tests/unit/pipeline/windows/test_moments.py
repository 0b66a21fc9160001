"""Sums, means and deviations against exact rational arithmetic."""

import math
import random
import statistics
from decimal import Decimal, getcontext
from fractions import Fraction

import numpy as np
import pytest

from pipeline.arrays import F8
from pipeline.cores.module_core import MAX_BATCH_RECORDS
from pipeline.windows.moments import (
    MAX_UNCARRIED,
    SQUARE_LIMBS,
    SUM_LIMBS,
    Limbs,
    as_integer,
    carry,
    mean,
    square_limbs,
    standard_deviation,
    sum_limbs,
)

getcontext().prec = 60
UNIT = Fraction(1, 2**64)
SQUARE_UNIT = UNIT * UNIT


def added(limbs: Limbs, count: int) -> int:
    """The limbs of all values added up, as a window adds them."""
    rows = np.zeros(count, np.int64)
    for row, column in zip(limbs.rows, limbs.columns, strict=True):
        rows[row] += int(column.astype(np.int64).sum())
    return as_integer(rows.tolist())


def sum_of(array: F8) -> int:
    """The sum of values, in units of 2^-64."""
    return added(sum_limbs(array), SUM_LIMBS)


def squares_of(array: F8) -> int:
    """The sum of the squares of values, in units of 2^-128."""
    return added(square_limbs(sum_limbs(array)), SQUARE_LIMBS)


def figures(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    array = np.array(values)
    total, squares = sum_of(array), squares_of(array)
    return mean(total, len(values)), standard_deviation(total, squares, len(values))


def cut(value: float) -> Fraction:
    """A value cut at 2^-64."""
    return math.floor(Fraction(value) / UNIT) * UNIT


def deviation(values: list[float]) -> Decimal:
    """The population standard deviation, to 50 places."""
    exact = [Fraction(v) for v in values]
    average = sum(exact, Fraction()) / len(exact)
    variance = sum(((v - average) * (v - average) for v in exact), Fraction()) / len(exact)
    return (Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()


def wild(rng: random.Random, low: float, high: float) -> float:
    """A double of any magnitude between two powers of two."""
    return math.ldexp(rng.uniform(0.5, 1), rng.randrange(int(low), int(high)))


def test_the_sum_of_doubles_from_two_to_the_minus_11_to_two_to_the_64_is_exact() -> None:
    rng = random.Random(1)
    for _ in range(200):
        values = [wild(rng, -10, 65) for _ in range(rng.randrange(1, 200))]
        assert sum_of(np.array(values)) * UNIT == sum(map(Fraction, values))


def test_smaller_terms_are_cut_at_two_to_the_minus_64_each() -> None:
    rng = random.Random(2)
    values = [wild(rng, -1_070, 64) for _ in range(5_000)] + [0.0, 5e-324, 2.0**-64, 2.0**-65, 3 * 2.0**-65]
    for value in values:
        assert sum_of(np.array([value])) == math.floor(Fraction(value) / UNIT)
    whole = sum_of(np.array(values))
    assert whole == sum(math.floor(Fraction(value) / UNIT) for value in values)


def test_squares_are_exactly_those_of_the_terms_of_the_sum_whatever_their_size() -> None:
    rng = random.Random(3)
    values = [wild(rng, low, 65) for low in (21, -10, -1_070) for _ in range(2_000)] + [0.0, 5e-324, 2.0**64]
    assert squares_of(np.array(values)) * SQUARE_UNIT == sum(cut(value) ** 2 for value in values)
    for value in values:
        assert squares_of(np.array([value])) * SQUARE_UNIT == cut(value) ** 2
    exact = [value for value in values if value >= 2.0**-11]
    assert squares_of(np.array(exact)) * SQUARE_UNIT == sum(Fraction(value) ** 2 for value in exact)


def test_limbs_are_whole_numbers_that_a_batch_can_add_up_in_doubles() -> None:
    rng = random.Random(4)
    wide = [wild(rng, -70, 65) for _ in range(2_000)] + [1e308, 2.0**64, 0.0, 2.0**32 - 2.0**-21, 2.0**64 - 2.0**11]
    sums = sum_limbs(np.array(wide))
    for limbs, rows in ((sums, SUM_LIMBS), (square_limbs(sums), SQUARE_LIMBS)):
        assert set(limbs.rows) <= set(range(rows))
        for column in limbs.columns:
            assert column.shape == (len(wide),)
            assert np.all(column == np.rint(column))
            assert np.all((column >= 0) & (column < 2.0**35))
    assert MAX_BATCH_RECORDS * 2**35 <= 2**53
    assert MAX_UNCARRIED * 2**35 < 2**63
    assert sum_limbs(np.empty(0)) == Limbs((), ())
    assert square_limbs(sum_limbs(np.empty(0))) == Limbs((), ())


def test_a_carry_changes_no_sum_and_leaves_32_bits_in_all_rows_but_the_first() -> None:
    rng = random.Random(9)
    rows = np.array([[rng.randrange(-(2**62), 2**62) for _ in range(50)] for _ in range(SQUARE_LIMBS)], np.int64)
    rows[0] = 2**40
    before = [as_integer(column) for column in rows.T.tolist()]
    carry(rows)
    assert [as_integer(column) for column in rows.T.tolist()] == before
    assert np.all((rows[1:] >= 0) & (rows[1:] < 2**32))


def test_neither_order_nor_grouping_changes_any_figure() -> None:
    rng = random.Random(5)
    values = [wild(rng, -40, 60) for _ in range(1_000)]
    expected = figures(values)
    for _ in range(20):
        rng.shuffle(values)
        cut = rng.randrange(len(values))
        parts = [np.array(values[:cut]), np.array(values[cut:])]
        total, squares = (sum(f(part) for part in parts) for f in (sum_of, squares_of))
        assert (mean(total, len(values)), standard_deviation(total, squares, len(values))) == expected


def test_the_mean_is_correctly_rounded() -> None:
    rng = random.Random(6)
    for _ in range(300):
        values = [wild(rng, -10, rng.choice((2, 12, 65))) for _ in range(rng.randrange(1, 60))]
        assert figures(values)[0] == float(sum(map(Fraction, values)) / len(values))
    assert figures([0.1] * 10)[0] == 0.1
    assert figures([1e15, 0.3, 0.3])[0] == float((Fraction(1e15) + 2 * Fraction(0.3)) / 3)


@pytest.mark.parametrize(
    "values",
    [
        [1e9, 1e9 + 1, 1e9 + 2],
        [1e15, 1e15 + 1, 1e15 + 2],
        [4e15 + k for k in range(4)],
        [1e9 + k / 1024 for k in range(100)],
        [0.0, 1e18],
        [1.5, 2.5, 4.0, 1e6],
        [0.0, 0.0, 0.0, 1.0],
    ],
)
def test_the_deviation_is_right_where_one_pass_in_doubles_is_not(values: list[float]) -> None:
    truth = deviation(values)
    assert abs(Decimal(figures(values)[1]) - truth) <= truth * Decimal("1e-15")
    assert math.isclose(figures(values)[1], statistics.pstdev(map(Fraction, values)), rel_tol=1e-15)


@pytest.mark.parametrize(
    "values",
    [
        [0.001, 0.002, 0.003],
        [123.456] * 99 + [123.457],
        [0.1, 1e6],
        [2.0**-11, 2.0**-10],
        [1000.1, math.nextafter(1000.1, 2000)],
        [1000.1, 1000.1 + 1e-10],
    ],
)
def test_the_deviation_of_fractions_is_right_to_the_last_places(values: list[float]) -> None:
    truth = deviation(values)
    assert abs(Decimal(figures(values)[1]) - truth) <= truth * Decimal("1e-15")


def test_the_deviation_of_values_below_two_to_the_minus_11_is_that_of_the_values_as_cut() -> None:
    assert figures([1e-10, 3e-10])[1] == float(deviation([float(cut(1e-10)), float(cut(3e-10))]))


def test_the_deviation_of_wild_values_is_right_to_the_last_places() -> None:
    rng = random.Random(7)
    for _ in range(200):
        values = [wild(rng, -10, 64) for _ in range(rng.randrange(2, 50))]
        truth = deviation(values)
        assert abs(Decimal(figures(values)[1]) - truth) <= truth * Decimal("1e-15")


def test_equal_values_have_no_deviation() -> None:
    rng = random.Random(8)
    for value in [0.0, 0.1, 0.3, 1.0, 17.3, 99.99, 1e9, 1e12 + 0.5] + [wild(rng, -64, 64) for _ in range(500)]:
        assert figures([value] * 7)[1] == 0.0


def test_sums_saturate_at_two_to_the_64_and_nothing_overflows() -> None:
    top = 2.0**64
    for value in (top, 1e30, 1e308, 1.7976931348623157e308):
        assert figures([value] * 3) == (top, 0.0)
        assert figures([value, 0.0]) == (top / 2, top / 2)
    below = math.nextafter(top, 0)
    assert figures([below, below]) == (below, 0.0)
    assert squares_of(np.array([below])) * SQUARE_UNIT == Fraction(below) ** 2


@pytest.mark.parametrize("value", [2.0**64, math.nextafter(2.0**64, 0), 2.0**64 - 2.0**30 / 3, 1000.1, 2.0**32 - 1])
def test_a_trillion_events_of_any_value_are_added_up_exactly(value: float) -> None:
    """By doubling and carrying, as windows do that are merged into larger ones again and again."""
    count = 10**12
    array = np.array([value])
    for limbs, rows, once in (
        (sum_limbs(array), SUM_LIMBS, sum_of(array)),
        (square_limbs(sum_limbs(array)), SQUARE_LIMBS, squares_of(array)),
    ):
        part, total = np.zeros((rows, 1), np.int64), np.zeros((rows, 1), np.int64)
        for row, column in zip(limbs.rows, limbs.columns, strict=True):
            part[row] = column.astype(np.int64)
        for bit in range(count.bit_length()):
            if count >> bit & 1:
                total += part
                carry(total)
            part += part
            carry(part)
        assert as_integer(total[:, 0].tolist()) == once * count
        assert int(total.max()) < 2**63 // 2


def test_nothing_at_all_has_no_deviation_and_tiny_values_do_not_underflow_into_errors() -> None:
    assert figures([5e-324, 5e-324]) == (0.0, 0.0)
    assert figures([1e-160, 1.0])[0] == 0.5
    assert standard_deviation(0, 0, 3) == 0.0
