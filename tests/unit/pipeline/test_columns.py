"""Parts of a batch put together again, and events chosen from it."""

from dataclasses import fields
from typing import Any

import numpy as np

from pipeline.columns import Columns, join_columns


def columns_of(*offsets: int, full: bool) -> Columns:
    """Events whose figures all follow from their offsets; with `full` every optional column is there."""
    places = np.array(offsets, np.int64)
    gauge, hashes = places * 10, places.astype(np.uint64) + np.uint64(2**63)
    optional: tuple[Any, ...] = (places * 0.5, hashes, places % 2 == 0, hashes * np.uint64(2)) if full else (None,) * 4
    gauges = (gauge, None, gauge + 1) if full else (None, None, None)
    return Columns(places % 3, places + 1_000, places, places % 2 == 1, places / 4, gauges, *optional)


def rows_of(columns: Columns) -> dict[int, list[Any]]:
    """What is known of each event, by its offset."""
    found: dict[int, list[Any]] = {int(offset): [] for offset in columns.offsets}
    values = [getattr(columns, one.name) for one in fields(columns)]
    for column in (*(value for value in values if not isinstance(value, tuple)), *columns.gauges):
        for row, offset in enumerate(columns.offsets.tolist()):
            found[offset].append(None if column is None else column[row].item())
    return found


def test_parts_are_joined_in_the_order_of_offsets_and_every_figure_stays_with_its_event() -> None:
    joined = join_columns([columns_of(1, 4, 9, full=True), columns_of(0, 5, full=True), columns_of(7, full=True)])
    assert joined is not None
    assert joined.offsets.tolist() == [0, 1, 4, 5, 7, 9]
    assert rows_of(joined) == rows_of(columns_of(0, 1, 4, 5, 7, 9, full=True))


def test_what_no_event_of_a_part_sent_reads_as_not_sent_and_what_nobody_sent_stays_away() -> None:
    for parts in (
        [columns_of(2, full=True), columns_of(1, 3, full=False)],
        [columns_of(1, 3, full=False), columns_of(2, full=True)],
    ):
        joined = join_columns(parts)
        assert joined is not None
        assert joined.cpu is not None
        assert joined.ids is not None
        assert joined.has_id is not None
        memory, goroutines, connections = joined.gauges
        assert memory is not None
        assert connections is not None
        assert goroutines is None
        assert (memory.tolist(), connections.tolist()) == ([-1, 20, -1], [-1, 21, -1])
        assert np.isnan(joined.cpu).tolist() == [True, False, True]
        assert joined.has_id.tolist() == [False, True, False]
        assert joined.ids.tolist() == [0, 2**63 + 2, 0], "a hash is kept to the last bit"


def test_one_part_is_itself_and_no_part_is_nothing() -> None:
    alone = columns_of(3, 1, full=True)
    assert join_columns([alone]) is alone
    assert join_columns([]) is None


def test_events_are_taken_by_index_by_mask_or_by_slice_with_all_that_is_theirs() -> None:
    for full in (True, False):
        events = columns_of(2, 3, 5, 8, full=full)
        assert events.take(np.array([3, 0])).offsets.tolist() == [8, 2], "in the order given"
        for where in (np.array([1, 2]), np.array([False, True, True, False]), slice(1, 3)):
            assert rows_of(events.take(where)) == rows_of(columns_of(3, 5, full=full))
        assert len(events.take(slice(0, 0))) == 0
