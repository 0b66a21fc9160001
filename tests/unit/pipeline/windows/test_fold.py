"""A batch added to a pane column by column, against the same events taken one by one."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.windows import layout as at
from pipeline.windows.fold import Prepared, fold
from pipeline.windows.gauges import cpu_figures, gauge_figures
from pipeline.windows.moments import SQUARE_LIMBS, SUM_LIMBS, as_integer
from pipeline.windows.sums import Sums
from tests.support.core.cores import Event, fixed, split
from tests.support.core.folded import CODES, columns_of, sums_of
from tests.support.core.model import grid, last_gauge
from tests.support.core.window_model import Applied

MOST = 2**63 - 1
GAUGES = ("memory", "goroutines", "connections")
EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from("abc"),
        st.integers(0, 3),
        st.sampled_from([0.0, 1e-300, 0.1, 7.25, 1e9 + 0.5, 2.0**63]),
        st.booleans(),
        memory=st.sampled_from([None, None, 0, 1 << 40, MOST]),
        goroutines=st.none() | st.integers(0, 3),
        connections=st.integers(0, 3),
        cpu=st.sampled_from([None, None, 0.0, 0.1, 99.9, 1e308]),
    ),
    max_size=40,
)


def check(sums: Sums, module: str, members: Sequence[Applied]) -> None:
    """All rows of one module; nothing is left out."""
    code = np.array([CODES[module]])
    ints, floats = sums.ints[:, code[0]], sums.floats[:, code[0]]
    values = [member.event.ms for member in members]
    assert ints[at.COUNT] == len(members)
    assert ints[at.SUCCESSES] == sum(member.event.success for member in members)
    assert as_integer(ints[at.SUM : at.SUM + SUM_LIMBS].tolist()) == sum(map(grid, values), Fraction()) * 2**64
    squares = sum((grid(value) ** 2 for value in values), Fraction())
    assert as_integer(ints[at.SQUARES : at.SQUARES + SQUARE_LIMBS].tolist()) == squares * 2**128
    assert floats[at.MINIMUM] == min(values, default=math.inf)
    assert floats[at.MAXIMUM] == max(values, default=-math.inf)
    assert sums.cells.between(int(code[0]), int(code[0]) + 1)[1].sum() == len(members)
    for gauge, name in zip(at.GAUGES, GAUGES, strict=True):
        sent = [value for m in members if (value := getattr(m.event, name)) is not None]
        figures = gauge_figures(sums.gauges[gauge], code)
        assert figures.last == [last_gauge(members, name)]
        assert figures.largest == [max(sent, default=None)]
        assert figures.mean == [sum(sent) / len(sent) if sent else None]
    cpu = [member.event.cpu for member in members if member.event.cpu is not None]
    shown = cpu_figures(sums, code)
    assert shown.last == [last_gauge(members, "cpu")]
    assert shown.largest == [max(cpu, default=None)]
    if all(value < 2.0**64 for value in cpu):
        mean = float(sum(map(grid, cpu), Fraction()) / len(cpu)) if cpu else None
        assert shown.mean == [None if mean is None else min(max(mean, min(cpu)), max(cpu))]


@fixed(100)
@given(EVENTS, st.lists(st.integers(0, 40), max_size=4))
def test_a_pane_holds_what_its_events_say_however_they_are_cut_into_batches(
    events: list[Event], cuts: list[int]
) -> None:
    sums = Sums(4)
    first = 0
    for part in split(events, cuts):
        changed = fold(sums, Prepared.of(columns_of(part, first=first))) if part else np.empty(0, np.int64)
        assert changed.tolist() == sorted({CODES[event.module] for event in part})
        first += len(part)
    sums.carry()
    for module in CODES:
        check(sums, module, [Applied(event, at) for at, event in enumerate(events) if event.module == module])
    assert not sums.ints[:, 3].any(), "nobody has the last code"


def test_chosen_events_are_folded_as_if_they_were_alone() -> None:
    events = [
        Event("abc"[n % 3], n % 2, 0.3 * n, n % 4 > 0, memory=n if n % 5 else None, cpu=float(n)) for n in range(60)
    ]
    chosen = np.array([n for n in range(60) if n % 7 in (1, 4)])
    taken, alone = Sums(4), Sums(4)
    fold(taken, Prepared.of(columns_of(events)).take(chosen))
    fold(alone, Prepared.of(columns_of(events).take(chosen)))
    for sums in (taken, alone):
        sums.carry()
    check(taken, "b", [Applied(events[n], n) for n in chosen.tolist() if events[n].module == "b"])
    assert np.array_equal(taken.ints, alone.ints)
    assert np.array_equal(taken.cells.folded(), alone.cells.folded())


@pytest.mark.parametrize("gauge", ["memory", "cpu"])
def test_of_readings_at_the_same_time_the_higher_offset_counts_and_an_earlier_batch_does_not_come_back(
    gauge: str,
) -> None:
    def last(*batches: tuple[int, list[tuple[int, int]]]) -> float | None:
        sums = Sums(4)
        for first, readings in batches:
            events = [Event("a", time, memory=n, cpu=float(n)) for time, n in readings]
            fold(sums, Prepared.of(columns_of(events, first=first)))
        code = np.array([0])
        return gauge_figures(sums.gauges[0], code).last[0] if gauge == "memory" else cpu_figures(sums, code).last[0]

    assert last((0, [(5, 1), (5, 2), (4, 3)])) == 2
    assert last((0, [(5, 1)]), (1, [(5, 2), (4, 3)])) == 2
    assert last((7, [(5, 1)]), (3, [(5, 2)])) == 1
    assert last((0, [(0, 1)])) == 1, "the epoch itself is a time"


def test_readings_whose_total_is_no_double_are_added_up_to_the_last_byte() -> None:
    for size in (2**53 - 1, 2**53 + 1, MOST):
        events = [Event("a", 0, memory=size), Event("a", 0, memory=1), Event("a", 0), Event("a", 0, memory=size)]
        rows = sums_of(events).gauges[at.MEMORY]
        assert rows is not None
        assert as_integer(rows[at.TOTAL : at.TOTAL + at.TOTAL_LIMBS, 0].tolist()) == 2 * size + 1


def test_rows_of_a_gauge_are_made_only_when_somebody_sends_it() -> None:
    sums = sums_of([Event("a", 0), Event("b", 0, goroutines=0)])
    assert [rows is None for rows in sums.gauges] == [True, False, True]
    assert (sums.cpu_ints, sums.cpu_floats) == (None, None)
