"""Records as objects: the same columns as positions give, and what they hold is not counted too low."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.records import wire
from tests.support.records.parsed_records import T0, WHOLE, recs_of, wire_batch
from tests.support.records.wire import Rec
from topology.records.record_objects import RecordObjects

ROWS = [
    Rec(5, T0, b"k", None, ((b"h", b"x"), (b"h", None))),
    Rec(6, T0 - 1, None, b"v" * 50),
    Rec(9, T0 + 1, b"", b""),
]


def objects_of(rows: list[Rec]) -> RecordObjects:
    (found,) = wire_batch(wire.batch(rows)).parts(None, *WHOLE)
    assert isinstance(found, RecordObjects)
    return found


def numbered(*offsets: int) -> RecordObjects:
    records: list[Any] = [SimpleNamespace(offset=offset) for offset in offsets]
    return RecordObjects(records, 0, 0)


def test_every_column_is_what_was_written() -> None:
    found = objects_of(ROWS)
    assert recs_of(found) == ROWS
    assert (len(found), found.next_offset, found.sizes, list(found.whole)) == (3, 10, None, [])


@pytest.mark.parametrize("offset", [0, 5, 6, 7, 9, 10])
def test_since_an_offset_that_compaction_took_is_from_the_next_one_on(offset: int) -> None:
    assert recs_of(objects_of(ROWS).since(offset)) == [row for row in ROWS if row.offset >= offset]


def test_joined_records_are_all_of_them_and_as_large_as_the_largest() -> None:
    parts = [objects_of(ROWS[:1]), objects_of(ROWS[1:])]
    whole = RecordObjects.join(parts)
    assert recs_of(whole) == ROWS
    assert whole.largest == max(part.largest for part in parts) >= 50
    assert whole.nbytes == sum(part.nbytes for part in parts)
    assert whole.nbytes > sum(row.size for row in ROWS)


@pytest.mark.parametrize(
    ("offsets", "is_range"), [((), False), ((4,), True), ((4, 5, 6), True), ((4, 6), False), ((4, 5, 9), False)]
)
def test_offsets_are_a_range_only_where_none_is_missing(offsets: tuple[int, ...], is_range: bool) -> None:
    found = numbered(*offsets).offsets
    assert isinstance(found, range) is is_range
    assert list(found) == list(offsets)
