"""Records as positions: joined, cut and divided, they stay the same records over their own bytes."""

import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.native import load_native
from tests.support.core.cores import fixed
from tests.support.records import wire
from tests.support.records.parsed_records import T0, WHOLE, parsed, random_rows, recs_of, wire_batch
from tests.support.records.wire import Rec
from topology.records.find_records import find_records
from topology.records.record_rows import ROW_BYTES, RecordRows, cuts
from topology.records.wire_batches import WireBatches


@fixed(100)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=20), st.integers(1, 6), st.integers(1, 1_500))
def test_parts_are_as_large_as_they_may_be_and_cover_every_record_once(
    sizes: list[int], most_records: int, most_bytes: int
) -> None:
    rows = np.zeros((8, len(sizes)), np.int64)
    rows[7] = sizes
    places = list(cuts(rows, most_records, most_bytes))
    assert [low for low, _ in places] == [0, *(high for _, high in places[:-1])]
    assert places[-1][1] == len(sizes)
    held = [size + ROW_BYTES + 36 for size in sizes]
    for low, high in places:
        assert high - low == 1 or (high - low <= most_records and sum(held[low:high]) <= most_bytes)
    for (low, high), _ in pairwise(places):
        assert high - low == most_records or sum(held[low : high + 1]) > most_bytes, "one more would have fitted"


@pytest.mark.parametrize(("more", "high"), [(-1, 2), (0, 3), (1, 3)])
def test_records_that_fit_to_the_byte_are_one_part(more: int, high: int) -> None:
    rows = np.zeros((8, 9), np.int64)
    assert next(cuts(rows, 9, 3 * (ROW_BYTES + 36) + more)) == (0, high)


def test_no_record_has_no_part() -> None:
    assert list(cuts(np.empty((8, 0), np.int64), 5, 100)) == []


def test_a_cut_owns_the_bytes_of_its_records_and_all_cuts_together_own_everything() -> None:
    """The memory of a piece is bounded by what its cuts say they hold."""
    rows = rows_by_hand([Rec(n, T0, b"k" * n, b"v" * 30, ((b"h", b"x"),) * (n % 3)) for n in range(9)], 0, 0)
    for places in ([0, 1, 9], [0, 4, 5, 8, 9], [0, 9]):
        parts = [rows.cut(low, high) for low, high in pairwise(places)]
        assert (parts[0].low, parts[-1].high) == (rows.low, rows.high)
        assert [part.low for part in parts[1:]] == [part.high for part in parts[:-1]]
        assert [rec for part in parts for rec in recs_of(part)] == recs_of(rows)
        assert sum(part.nbytes for part in parts) == rows.nbytes
    assert rows.cut(4, 4).nbytes == 0


@pytest.mark.parametrize("offset", [0, 5, 6, 7, 11, 12])
def test_since_an_offset_that_compaction_took_is_from_the_next_one_on(offset: int) -> None:
    rows = rows_by_hand([Rec(n, T0, b"k", b"%d" % n) for n in (5, 7, 11)], 0, 5)
    assert [rec.offset for rec in recs_of(rows.since(offset))] == [n for n in (5, 7, 11) if n >= offset]


def test_joined_and_cut_rows_keep_every_column() -> None:
    rng = random.Random(3)
    parts: list[Any] = []
    expected: list[Rec] = []
    base = 0
    for codec in (3, 0, 4, 0):
        rows = [row._replace(offset=row.offset + base) for row in random_rows(rng, 20)]
        found = parsed(wire_batch(wire.batch(rows, codec, base=base)), load_native() or None)
        parts.append(found if isinstance(found, RecordRows) else rows_by_hand(rows, codec, base))
        expected += rows
        base = expected[-1].offset + rng.choice((1, 50))
    joined = RecordRows.join(parts)
    assert recs_of(joined) == expected
    for offset in (0, expected[7].offset, expected[7].offset + 1, expected[-1].offset + 1):
        left = joined.since(offset)
        assert recs_of(left) == [row for row in expected if row.offset >= offset]
        assert recs_of(RecordRows.join([left, joined])) == recs_of(left) + expected
    assert isinstance(joined.offsets, list)
    assert isinstance(RecordRows(b"", np.array([[5, 6, 7]] * 8, np.int64)).offsets, range)


def rows_by_hand(rows: list[Rec], codec: int, base: int) -> RecordRows:
    """The same with the Python parser, where the compiled part was not built."""
    data = wire.batch(rows, codec=0, base=base)
    found = find_records(data[wire.HEADER_BYTES :], 0, len(rows), 10_000)
    found[0] += base
    found[1] += rows[0].stamp
    return RecordRows(data[wire.HEADER_BYTES :], found)


def test_rows_of_one_fetch_are_joined_without_a_copy() -> None:
    native = load_native()
    data = b"".join(wire.batch([Rec(n, T0, b"k", b"%d" % n)]) for n in range(3))
    batches = WireBatches(data)
    rows = []
    while batches.has_next():
        batch = batches.next_batch()
        (found,) = batch.parts(native, *WHOLE)
        rows.append(found if isinstance(found, RecordRows) else None)
    if native is None:
        return
    joined = RecordRows.join([part for part in rows if part is not None])
    assert joined.data is data
    assert list(joined.values) == [b"0", b"1", b"2"]
