"""Sums and means of doubles whose sum may be no double, against exact fractions."""

import math
import sys
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.publish.scaled import ScaledSum
from tests.support.core.cores import fixed

LARGEST = sys.float_info.max
# Scaled down by 2^64, values from here on lose no bit.
VALUES = st.one_of(st.just(0.0), st.floats(1e-280, LARGEST), st.floats(1e307, LARGEST), st.just(LARGEST))


def exact(summed: ScaledSum) -> Fraction:
    return Fraction(summed.value) * (1 << summed.scale)


@fixed(300)
@given(st.lists(VALUES, max_size=8), st.randoms(use_true_random=False))
def test_a_sum_is_the_double_or_scaled_double_next_to_the_truth_in_any_order(values: list[float], rng: Random) -> None:
    truth = sum(map(Fraction, values), Fraction(0))
    summed = ScaledSum.of(values)
    assert summed.value == float(truth / 2**summed.scale), "one rounding"
    assert (summed.scale == 0) == (truth < Fraction(LARGEST) + Fraction(math.ulp(LARGEST)) / 2)
    assert ScaledSum.of(rng.sample(values, len(values))) == summed


@fixed(200)
@given(st.lists(st.lists(VALUES, max_size=4), max_size=4))
def test_a_sum_of_sums_is_that_of_all_values_in_any_order_but_for_its_roundings(groups: list[list[float]]) -> None:
    truth = sum((Fraction(value) for group in groups for value in group), Fraction(0))
    parts = [ScaledSum.of(group) for group in groups]
    total = ScaledSum.total(parts)
    assert abs(exact(total) - truth) <= truth * Fraction(sys.float_info.epsilon)
    assert ScaledSum.total(reversed(parts)) == total


@fixed(200)
@given(st.lists(VALUES, min_size=1, max_size=8))
def test_a_mean_is_that_of_the_values_and_never_above_the_largest_double(values: list[float]) -> None:
    truth = sum(map(Fraction, values), Fraction(0)) / len(values)
    mean = ScaledSum.of(values).mean(len(values))
    assert 0 <= mean <= LARGEST
    assert abs(Fraction(mean) - truth) <= truth * Fraction(sys.float_info.epsilon)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 1_000])
def test_the_mean_of_equal_values_is_that_value_also_at_the_end_of_the_doubles(count: int) -> None:
    assert ScaledSum.of([LARGEST] * count).mean(count) == LARGEST
    assert ScaledSum.of([0.0] * count).mean(count) == 0.0


def test_a_sum_that_was_rounded_up_beyond_the_doubles_has_a_mean_that_is_one() -> None:
    rounded_up = ScaledSum.of([LARGEST, math.ulp(LARGEST) / 2])
    assert exact(rounded_up) == 2**1024
    assert rounded_up.mean(1) == LARGEST


def test_nothing_adds_up_to_zero() -> None:
    assert ScaledSum.of([]) == ScaledSum.total([]) == ScaledSum(0.0, 0)
