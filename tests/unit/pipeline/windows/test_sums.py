"""What is added up of a window can be merged: exact, in any order, at any width."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.windows import layout as at
from pipeline.windows.moments import MAX_UNCARRIED, SUM_LIMBS, as_integer
from pipeline.windows.sums import Sums, newer
from tests.support.core.cores import Event, fixed, split
from tests.support.core.folded import sums_of

EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from("abc"),
        st.integers(0, 2),
        st.sampled_from([0.1, 3.0, 2.0**63]),
        memory=st.sampled_from([None, 0, 2**63 - 1]),
        cpu=st.sampled_from([None, 0.0, 0.1, 1e308]),
    ),
    min_size=1,
    max_size=30,
)


def rows_of(sums: Sums) -> list[list[list[float]] | None]:
    """All that sums hold, as plain lists."""
    arrays = [sums.ints, sums.floats, *sums.gauges, sums.cpu_ints, sums.cpu_floats, np.array(sums.cells.folded())]
    return [None if array is None else array.tolist() for array in arrays]


@fixed(100)
@given(EVENTS, st.lists(st.integers(0, 30), max_size=4), st.randoms(use_true_random=False))
def test_merged_windows_are_the_window_of_all_their_events_in_any_order(
    events: list[Event], cuts: list[int], rng: random.Random
) -> None:
    parts, first = [], 0
    for part in split(events, cuts):
        # A window is as wide as there were modules when it was touched last.
        parts.append(sums_of(part, first=first, capacity=rng.choice((3, 4, 8))))
        first += len(part)
    rng.shuffle(parts)
    merged = Sums(3)
    merged.merge(parts[:1])
    merged.merge(parts[1:])
    merged.carry()
    assert rows_of(merged) == rows_of(sums_of(events, capacity=merged.capacity))


def test_a_wider_window_keeps_all_it_holds_and_has_empty_columns_behind() -> None:
    events = [Event("a", 0, 2.0, memory=5, cpu=0.5), Event("c", 1, 3.0, success=False)]
    sums = sums_of(events, capacity=3)
    sums.grow(2)
    assert sums.capacity == 3, "it never shrinks"
    sums.grow(70)
    assert rows_of(sums) == rows_of(sums_of(events, capacity=70))


def test_the_peak_of_a_merged_window_is_the_highest_and_not_that_of_all_events_together() -> None:
    calm, burst = (sums_of([Event("a", 0, success=good) for good in goods]) for goods in ([True] * 9, [False, True]))
    for pane in (calm, burst):
        pane.note_peak_errors(np.array([2, 2, 2, 2]))
    calm.merge([burst])
    assert calm.floats[at.PEAK_ERRORS].tolist() == [0.5, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(("least", "peak"), [(0, 0.25), (1, 0.25), (4, 0.25), (5, 0.0), (np.iinfo(np.int64).max, 0.0)])
def test_a_pane_has_a_peak_from_enough_requests_on_and_one_without_requests_never(least: int, peak: float) -> None:
    pane = sums_of([Event("a", 0, success=number > 0) for number in range(4)])
    pane.note_peak_errors(np.full(4, least))
    assert pane.floats[at.PEAK_ERRORS].tolist() == [peak, 0.0, 0.0, 0.0]


def test_events_that_were_carried_over_count_for_the_peak_of_their_pane() -> None:
    pane, carried = sums_of([Event("a", 0)]), sums_of([Event("a", 0, success=False)] * 3)
    pane.note_peak_errors(np.full(4, 4), carried)
    assert pane.floats[at.PEAK_ERRORS, 0] == 0.75
    pane.note_peak_errors(np.full(4, 4))
    assert pane.floats[at.PEAK_ERRORS, 0] == 0.0, "one request alone is too few"


def test_limbs_are_carried_just_before_they_could_overflow() -> None:
    sums = Sums(1)
    top = at.SUM + SUM_LIMBS - 1
    sums.note_events(MAX_UNCARRIED)
    sums.ints[top] = (1 << 62) + 5
    assert sums.uncarried == MAX_UNCARRIED
    sums.note_events(1)
    assert sums.uncarried == 1
    assert sums.ints[at.SUM : at.SUM + SUM_LIMBS, 0].tolist() == [0, 0, 0, 1 << 30, 5]
    assert as_integer(sums.ints[at.SUM : at.SUM + SUM_LIMBS, 0].tolist()) == (1 << 62) + 5


def test_a_window_merged_from_many_full_ones_is_exact() -> None:
    """Each part is as full as it may be without a carry."""
    merged, digit = Sums(1), (1 << 35) - 1
    parts = []
    for _ in range(5):
        part = Sums(1)
        part.note_events(MAX_UNCARRIED)
        part.ints[at.SUM : at.SUM + SUM_LIMBS] = MAX_UNCARRIED * digit
        part.ints[at.SUM] = 1
        parts.append(part)
    whole = 5 * as_integer(parts[0].ints[at.SUM : at.SUM + SUM_LIMBS, 0].tolist())
    merged.merge(parts)
    merged.carry()
    assert as_integer(merged.ints[at.SUM : at.SUM + SUM_LIMBS, 0].tolist()) == whole


def test_newer_is_by_time_then_by_offset_and_what_was_never_sent_is_newer_than_nothing() -> None:
    cases = [((5, 1), (4, 9), True), ((5, 1), (5, 0), True), ((5, 1), (5, 1), False), ((4, 9), (5, 1), False)]
    cases += [((0, 0), (-1, 0), True), ((-1, 9), (-1, 0), False), ((-1, 0), (0, 0), False)]
    ours, theirs = (np.array([case[side] for case in cases]).T for side in (0, 1))
    assert newer(ours[0], ours[1], theirs[0], theirs[1]).tolist() == [case[2] for case in cases]


def test_an_empty_window_holds_the_neutral_figures_of_each_row() -> None:
    sums = Sums(2)
    assert sums.empty
    assert sums.floats[:, 0].tolist() == [math.inf, -math.inf, 0.0]
    before = rows_of(sums_of([Event("a", 0, 2.0, memory=5, cpu=0.5)]))
    full = sums_of([Event("a", 0, 2.0, memory=5, cpu=0.5)])
    full.merge([Sums(4), sums])
    full.carry()
    assert rows_of(full) == before
    assert not full.empty
