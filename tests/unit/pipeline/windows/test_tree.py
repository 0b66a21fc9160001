"""Larger windows are made of smaller ones, and hold what all their events say, sealed or not."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.fold import Prepared, fold
from pipeline.windows.tree import WindowTree, sources_of
from tests.support.core.cores import Event, fixed
from tests.support.core.folded import columns_of, sums_of

SIZES = (2, 4, 6, 12)
LEAST = np.full(3, 2)
EVENTS = st.lists(
    st.builds(
        lambda module, time, good, memory: Event(module, time, 0.1 * time, good, memory=memory),
        st.sampled_from("abc"),
        st.integers(0, 23),
        st.booleans(),
        st.sampled_from([None, None, 7]),
    ),
    min_size=1,
    max_size=30,
)


def take(tree: WindowTree, events: Sequence[Event], first: int = 0) -> None:
    """Add events one by one."""
    for offset, event in enumerate(events, first):
        pane = tree.touch(event.time, 3)[0]
        fold(pane.sums, Prepared.of(columns_of([event], first=offset)))


def peaks(events: Sequence[tuple[int, Event]]) -> list[float]:
    """The highest error rate of any pane of 2 with two requests or more, by module."""
    panes = {(event.module, event.time // 2) for _, event in events}
    rates: dict[str, list[float]] = {module: [0.0] for module in "abc"}
    for module, pane in panes:
        goods = [event.success for _, event in events if (event.module, event.time // 2) == (module, pane)]
        if len(goods) >= 2:
            rates[module].append(goods.count(False) / len(goods))
    return [max(rates[module]) for module in "abc"]


def test_a_window_is_made_of_the_largest_windows_that_divide_it_so_that_a_day_is_not_made_of_panes() -> None:
    assert sources_of([30, 60, 300, 900, 3_600, 86_400]) == [-1, 0, 1, 2, 3, 4]
    assert sources_of([2, 4, 6, 12, 20]) == [-1, 0, 0, 2, 1]


@fixed(60)
@given(EVENTS, st.integers(0, 26))
def test_a_window_shows_all_its_events_whether_its_parts_were_sealed_or_not(events: list[Event], sealed: int) -> None:
    tree = WindowTree(SIZES)
    take(tree, events)
    expected = {(b.level, b.start_ms): b.size_ms for b in tree}
    for block in tree.due(sealed, unclosed=False):
        tree.seal(block, LEAST, 3)
    open_ones = {(b.level, b.start_ms) for b in tree}
    assert open_ones == {key for key, size in expected.items() if key[1] + size > sealed}
    for block in tree:
        own = [(at, e) for at, e in enumerate(events) if block.start_ms <= e.time < block.end_ms]
        counts = tree.counts(block, 3)
        view = tree.view(block, LEAST, 3)
        view.carry()
        # Offsets tell readings at the same time apart, so each event is folded under its own.
        direct = sums_of([], capacity=3)
        for offset, event in own:
            direct.merge([sums_of([event], first=offset, capacity=3)])
        direct.carry()
        assert counts.tolist() == view.ints[at.COUNT].tolist()
        assert view.ints.tolist() == direct.ints.tolist()
        assert view.floats[at.PEAK_ERRORS].tolist() == peaks(own)
        assert view.floats[: at.PEAK_ERRORS].tolist() == direct.floats[: at.PEAK_ERRORS].tolist()
        assert np.array_equal(view.cells.folded(), direct.cells.folded())
        ours, theirs = view.gauges[at.MEMORY], direct.gauges[at.MEMORY]
        assert (None if ours is None else ours.tolist()) == (None if theirs is None else theirs.tolist())


def test_a_time_touches_the_window_of_each_size_that_it_lies_in_base_pane_first() -> None:
    tree = WindowTree(SIZES)
    blocks = tree.touch(11, 3)
    assert [(b.level, b.start_ms, b.end_ms, b.touched) for b in blocks] == [
        (0, 10, 12, True),
        (1, 8, 12, True),
        (2, 6, 12, True),
        (3, 0, 12, True),
    ]
    assert tree.touch(10, 5) == blocks
    assert {b.sums.capacity for b in blocks} == {5}
    assert [b.start_ms for b in tree.touch(12, 5)] == [12, 12, 12, 12]
    assert len(tree) == 8


def test_windows_that_hold_another_one_only_in_part_are_not_over_it() -> None:
    tree = WindowTree(SIZES)
    crossing = tree.open(1, 4, 3)
    assert [(b.size_ms, b.start_ms) for b in tree.open_over(crossing, 3)] == [(12, 0)], "6 to 12 holds a half of it"
    assert [(b.size_ms, b.start_ms) for b in tree.open_over(tree.open(0, 4, 3), 3)] == [(4, 4), (6, 0), (12, 0)]
    assert all(b.touched for b in tree if b.size_ms == 12)


def test_what_is_due_comes_by_its_end_then_the_smaller_first_and_closed_ones_only_if_asked_for() -> None:
    tree = WindowTree(SIZES)
    for time in (11, 3, 1):
        tree.touch(time, 3)
    tree.levels[0][2].final = True
    assert [(b.end_ms, b.size_ms) for b in tree.due(6, unclosed=True)] == [(2, 2), (4, 4), (6, 6)]
    assert [(b.end_ms, b.size_ms) for b in tree.due(6, unclosed=False)] == [(2, 2), (4, 2), (4, 4), (6, 6)]
    assert tree.due(1, unclosed=False) == []


def test_a_sealed_window_is_gone_and_names_who_took_it_in_and_an_empty_one_is_taken_in_by_nobody() -> None:
    tree = WindowTree(SIZES)
    take(tree, [Event("b", 5)])
    pane, empty = tree.levels[0][4], tree.open(0, 8, 3)
    before = len(tree)
    assert [(b.size_ms, b.start_ms, b.dirty_sums) for b in tree.seal(pane, LEAST, 3)] == [(4, 4, {0}), (6, 0, {0})]
    assert tree.seal(empty, LEAST, 3) == []
    assert len(tree) == before - 2
    assert 4 not in tree.levels[0]


def test_a_window_forgets_the_class_of_modules_that_expired_and_of_no_other() -> None:
    tree = WindowTree(SIZES[:1])
    known, blank = tree.open(0, 0, 200), tree.open(0, 2, 100)
    known.meta[at.BEFORE], known.meta[at.REVISION] = 9, 4
    tree.forget(np.array([1, 130, 199, 400]))
    assert np.flatnonzero(known.meta[at.BEFORE] == 0).tolist() == [1, 130, 199]
    assert (known.meta[at.REVISION] == 4).all()
    assert (known.dirty_meta, blank.dirty_meta) == ({0, 2, 3}, set()), "only what changed is written"


def test_what_a_pane_carries_counts_in_its_own_view_and_is_never_folded_upward() -> None:
    tree = WindowTree((2, 4))
    take(tree, [Event("a", 0)])
    pane, over = tree.levels[0][0], tree.levels[1][0]
    pane.carried = sums_of([Event("a", 1, success=False)] * 3, first=9, capacity=3)
    over.carried = sums_of([Event("a", 1, success=False)] * 3, first=9, capacity=3)

    def shown(block: Block) -> tuple[int, float]:
        view = tree.view(block, LEAST, 3)
        assert tree.counts(block, 3)[0] == view.ints[at.COUNT, 0]
        return int(view.ints[at.COUNT, 0]), float(view.floats[at.PEAK_ERRORS, 0])

    assert shown(pane) == (4, 0.75)
    assert shown(over) == (4, 0.75)
    tree.seal(pane, LEAST, 3)
    assert shown(over) == (4, 0.75)
    assert over.sums.ints[at.COUNT, 0] == 1
    assert over.dirty_carried == {0}, "its peak is new there"
    assert over.carried.floats[at.PEAK_ERRORS].tolist() == [0.75, 0.0, 0.0]
