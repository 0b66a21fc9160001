"""Sums, means and deviations against exact rational arithmetic."""

import math
import random
import statistics
from decimal import Decimal, getcontext
from fractions import Fraction

import numpy as np
import pytest

from pipeline.sketch.mapping import F8
from pipeline.windows.moments import (
    SQUARE_LIMBS,
    SUM_LIMBS,
    as_integer,
    mean,
    square_limbs,
    standard_deviation,
    sum_limbs,
)

getcontext().prec = 60
UNIT = Fraction(1, 2**64)


def added(limbs: F8) -> int:
    """The limbs of all values added up, as a block adds them."""
    return as_integer(limbs.astype(np.int64).sum(axis=1).tolist())


def figures(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    array = np.array(values)
    total, squares = added(sum_limbs(array)), added(square_limbs(array))
    return mean(total, len(values)), standard_deviation(total, squares, len(values))


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
        assert added(sum_limbs(np.array(values))) * UNIT == sum(map(Fraction, values))


def test_smaller_terms_are_cut_at_two_to_the_minus_64_each() -> None:
    rng = random.Random(2)
    values = [wild(rng, -1_070, 64) for _ in range(5_000)] + [0.0, 5e-324, 2.0**-64, 2.0**-65, 3 * 2.0**-65]
    for value in values:
        assert added(sum_limbs(np.array([value]))) == math.floor(Fraction(value) / UNIT)
    whole = added(sum_limbs(np.array(values)))
    assert whole == sum(math.floor(Fraction(value) / UNIT) for value in values)


def test_squares_are_exact_from_two_to_the_20_and_within_two_to_the_minus_64_below() -> None:
    rng = random.Random(3)
    values = [wild(rng, 21, 65) for _ in range(3_000)]
    assert added(square_limbs(np.array(values))) * UNIT == sum(Fraction(value) ** 2 for value in values)
    for value in [wild(rng, -1_070, 64) for _ in range(3_000)] + [0.0, 5e-324]:
        assert abs(added(square_limbs(np.array([value]))) * UNIT - Fraction(value) ** 2) <= UNIT


def test_limbs_are_whole_numbers_that_a_batch_can_add_up_in_doubles() -> None:
    rng = random.Random(4)
    array = np.array([wild(rng, -70, 65) for _ in range(2_000)] + [1e308, 2.0**64, 0.0])
    for limbs, rows in ((sum_limbs(array), SUM_LIMBS), (square_limbs(array), SQUARE_LIMBS)):
        assert limbs.shape == (rows, array.size)
        assert np.all(limbs == np.rint(limbs))
        assert np.all(np.abs(limbs) <= 2.0**32)
    assert sum_limbs(np.empty(0)).shape == (SUM_LIMBS, 0)
    assert square_limbs(np.empty(0)).shape == (SQUARE_LIMBS, 0)


def test_neither_order_nor_grouping_changes_any_figure() -> None:
    rng = random.Random(5)
    values = [wild(rng, -40, 60) for _ in range(1_000)]
    expected = figures(values)
    for _ in range(20):
        rng.shuffle(values)
        cut = rng.randrange(len(values))
        parts = [np.array(values[:cut]), np.array(values[cut:])]
        total, squares = (sum(added(f(part)) for part in parts) for f in (sum_limbs, square_limbs))
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
    "values", [[0.001, 0.002, 0.003], [123.456] * 99 + [123.457], [0.1, 1e6], [2.0**-11, 2.0**-10]]
)
def test_the_variance_of_fractions_is_right_but_for_the_last_place_of_the_squares(values: list[float]) -> None:
    truth = deviation(values) ** 2
    assert abs(Decimal(figures(values)[1]) ** 2 - truth) <= truth * Decimal("1e-15") + Decimal(2) ** -63


def test_the_deviation_of_wild_values_is_right_to_the_last_places() -> None:
    rng = random.Random(7)
    for _ in range(200):
        values = [wild(rng, -10, 64) for _ in range(rng.randrange(2, 50))]
        truth = deviation(values)
        assert abs(Decimal(figures(values)[1]) - truth) <= truth * Decimal("1e-15")


def test_equal_values_have_no_deviation_beyond_the_last_place_of_the_squares() -> None:
    rng = random.Random(8)
    for value in [0.0, 1.0, 17.25, 1e9, 1e12 + 0.5, 2.0**40 / 3]:
        assert figures([value] * 1_000)[1] == 0.0
    for value in [0.1, 0.3, 17.3, 99.99] + [wild(rng, -64, 20) for _ in range(500)]:
        assert figures([value] * 7)[1] <= 2.0**-32


def test_sums_saturate_at_two_to_the_64_and_nothing_overflows() -> None:
    top = 2.0**64
    for value in (top, 1e30, 1e308, 1.7976931348623157e308):
        assert figures([value] * 3) == (top, 0.0)
        assert figures([value, 0.0]) == (top / 2, top / 2)
    below = math.nextafter(top, 0)
    assert figures([below, below]) == (below, 0.0)
    assert added(square_limbs(np.array([below]))) * UNIT == Fraction(below) ** 2


def test_a_billion_events_fit_the_integers_of_a_block() -> None:
    limbs = np.abs(square_limbs(np.array([math.nextafter(2.0**64, 0), 2.0**64 - 2.0**30 / 3])))
    assert int(limbs.max()) * 10**9 < 2**63


def test_nothing_at_all_has_no_deviation_and_tiny_values_do_not_underflow_into_errors() -> None:
    assert figures([5e-324, 5e-324]) == (0.0, 0.0)
    assert figures([1e-160, 1.0])[0] == 0.5
    assert standard_deviation(0, 0, 3) == 0.0
