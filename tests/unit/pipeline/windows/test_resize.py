"""Open windows under other sizes: what stays is whole, what is new begins empty, what is gone is deleted."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cores.unpersist import restore_window
from pipeline.outputs import StateRecord
from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.fold import Prepared, fold
from pipeline.windows.persist import changes, chunks_of, tombstones
from pipeline.windows.resize import Resized, resize
from pipeline.windows.tree import WindowTree
from tests.support.core.cores import Event, fixed
from tests.support.core.folded import CODES, columns_of, sums_of

ROOM = 64  # as many modules as a chunk holds
LEAST = np.full(ROOM, 2)
SIZES = st.sampled_from([(2, 4, 12), (2, 6, 12), (4, 12), (1, 2, 6, 12), (2, 4, 8)])
EVENTS = st.lists(
    st.builds(
        lambda module, time, good: Event(module, time, 0.1 * time, good),
        st.sampled_from("abc"),
        st.integers(0, 23),
        st.booleans(),
    ),
    max_size=15,
)


def take(tree: WindowTree, events: Sequence[Event], first: int) -> None:
    """Add events, as a task does that publishes each window at once."""
    for offset, event in enumerate(events, first):
        pane, *over = tree.touch(event.time, ROOM)
        fold(pane.sums, Prepared.of(columns_of([event], first=offset)))
        chunks = chunks_of(np.array([CODES[event.module]]))
        pane.dirty_sums |= chunks
        for block in (pane, *over):
            block.meta[at.REVISION, CODES[event.module]] += 1
            block.dirty_meta |= chunks


def write(log: dict[bytes, bytes], records: Sequence[StateRecord]) -> None:
    """Compact the changelog, as the broker would."""
    for key, value in records:
        if value is None:
            del log[key]  # a tombstone of what is not there would be one too many
        else:
            log[key] = value


def seal(tree: WindowTree, log: dict[bytes, bytes], end: int) -> None:
    """Fold what ended by then, and delete its records."""
    for block in tree.due(end, unclosed=False):
        tree.seal(block, LEAST, ROOM)
        write(log, tombstones(block))


def shown(tree: WindowTree, block: Block) -> list[list[float]]:
    """What a window shows, without its peaks: they hang on how it was cut into panes."""
    view = tree.view(block, LEAST, ROOM)
    view.carry()
    assert tree.counts(block, ROOM).tolist() == view.ints[at.COUNT].tolist()
    return [*view.ints.tolist(), *view.floats[: at.PEAK_ERRORS].tolist(), *np.array(view.cells.folded()).tolist()]


def direct(events: Sequence[Event], block: Block) -> list[list[float]]:
    """The same of the events themselves."""
    sums = sums_of([event for event in events if block.start_ms <= event.time < block.end_ms], capacity=ROOM)
    return [*sums.ints.tolist(), *sums.floats[: at.PEAK_ERRORS].tolist(), *np.array(sums.cells.folded()).tolist()]


@fixed(60)
@given(st.lists(st.tuples(SIZES, EVENTS, st.integers(0, 24)), min_size=2, max_size=4))
def test_windows_of_sizes_that_stay_hold_all_their_events_and_others_those_since_their_size_is_there(
    steps: list[tuple[tuple[int, ...], list[Event], int]],
) -> None:
    tree, log = WindowTree(steps[0][0]), dict[bytes, bytes]()
    since, events, sealed = dict[int, int](), list[Event](), 0
    for sizes, more, end in steps:
        before, tree = tree, WindowTree(sizes)
        write(log, resize(before, tree, 0, LEAST, ROOM).deleted)
        since = {size: since.get(size, len(events)) for size in sizes}
        more = [event for event in more if event.time >= sealed]
        take(tree, more, len(events))
        events += more
        sealed = max(sealed, end)
        seal(tree, log, sealed)
        for block in tree:
            write(log, changes(block))
        restored = WindowTree(sizes)
        for key, value in log.items():
            restore_window(restored, ROOM, key, value)
        written = {(b.level, b.start_ms): b for b in restored}
        for block in tree:
            assert shown(tree, block) == direct(events[since[block.size_ms] :], block)
            stored = written.pop((block.level, block.start_ms), None)
            if stored is None:
                assert not block.stored_sums | block.stored_carried | block.stored_meta
                assert block.sums.empty
            else:
                assert shown(restored, stored) == shown(tree, block)
                assert stored.meta.tolist() == block.meta.tolist()
        assert not written, "no record is left of a window that is gone"


def resized(old: WindowTree, *sizes: int, stream_ms: int | None = 5) -> tuple[WindowTree, Resized]:
    new = WindowTree(sizes)
    return new, resize(old, new, stream_ms, LEAST, ROOM)


def test_it_says_which_sizes_came_and_went_and_from_when_new_ones_are_whole() -> None:
    old = WindowTree((2, 4, 12))
    take(old, [Event("a", 0), Event("a", 5)], 0)
    done = resized(old, 2, 6, 12)[1]
    assert (done.added_ms, done.removed_ms, done.whole_from_ms, done.dropped_windows) == ((6,), (4,), 6, 2)
    assert resized(WindowTree((2, 4)), 2, stream_ms=None)[1] == Resized((), (4,), None, 0)


def test_what_was_said_about_a_window_stays() -> None:
    old = WindowTree((2, 4))
    take(old, [Event("b", 5)], 0)
    block = old.levels[1][4]
    block.final, block.silent, block.scores[1] = True, 2, 33.25
    new, _ = resized(old, 1, 4)
    kept = new.levels[1][4]
    assert (kept.final, kept.silent, kept.scores[1], kept.meta[at.REVISION, 1]) == (True, 2, 33.25, 1)
    assert kept.touched, "its record is due again"
    assert list(new) == [kept], "smaller windows of a new size begin with their first event"


@pytest.mark.parametrize("sizes", [(2, 12), (4, 12)])
def test_a_larger_window_keeps_the_peak_of_panes_that_are_gone(sizes: tuple[int, ...]) -> None:
    """The burst lies in the first pane, which is sealed before the sizes change."""
    old = WindowTree((2, 4, 12))
    take(old, [Event("a", 0, success=False), Event("a", 1, success=False), Event("a", 2), Event("a", 3)], 0)
    seal(old, {}, 2)
    new, _ = resized(old, *sizes)
    whole = new.levels[-1][0]
    assert new.view(whole, LEAST, ROOM).floats[at.PEAK_ERRORS, 0] == 1.0


def test_the_peak_of_a_pane_that_goes_on_is_that_of_all_its_events_also_in_larger_windows() -> None:
    old = WindowTree((2, 4, 12))
    take(old, [Event("a", 0, success=False), Event("a", 1, success=False)], 0)
    new, _ = resized(old, 2, 12)
    take(new, [Event("a", 0), Event("a", 1)], 2)
    pane, whole = new.levels[0][0], new.levels[1][0]
    assert new.view(pane, LEAST, ROOM).floats[at.PEAK_ERRORS, 0] == 0.5
    new.seal(pane, LEAST, ROOM)
    assert new.view(whole, LEAST, ROOM).floats[at.PEAK_ERRORS, 0] == 0.5


@pytest.mark.parametrize("sizes", [(2, 12), (2, 4, 12), (2, 6, 12)])
def test_a_pane_that_goes_on_lends_its_peak_to_larger_windows_also_when_nothing_more_comes(
    sizes: tuple[int, ...],
) -> None:
    old = WindowTree((2, 12))
    take(old, [Event("a", 0, success=False), Event("a", 1, success=False), *[Event("a", 5)] * 8], 0)
    new, _ = resized(old, *sizes)
    whole = new.levels[-1][0]
    for end in (0, 2, 4, 6):
        seal(new, {}, end)
        assert new.view(whole, LEAST, ROOM).floats[at.PEAK_ERRORS, 0] == 1.0
    assert new.counts(whole, ROOM)[0] == 10
