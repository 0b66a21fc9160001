"""What a task applies at once: cut at an offset, it is still contiguous, and what was read of it fits its records."""

import pytest

from pipeline.config import CoreConfig
from pipeline.ingest.plain import PlainScanner
from pipeline.native import PLAIN, Native
from tests.support.core.cores import Event
from tests.support.records import wire
from tests.support.records.parsed_records import T0, recs_of
from tests.support.records.wire import Rec
from topology.records.piece import Piece
from topology.records.span import Span
from topology.records.wire_batches import WireBatches

ROWS = [Rec(n, T0 + n, b"m", Event("m", T0 + n).value, ((b"h", b"x"),)) for n in (3, 4, 7)]
SMALL = 1 << 16


def piece_of(data: bytes, start: int, end: int) -> Piece:
    (piece,) = Span(start, end, [WireBatches(data).next_batch()]).pieces(100, refuse_above=SMALL)
    return piece


@pytest.fixture
def piece() -> Piece:
    """Three records, with offsets that hold none around and between them."""
    return piece_of(wire.batch(ROWS), 2, 10)


@pytest.mark.parametrize("offset", [0, 2, 3, 4, 5, 7, 8, 10, 12])
def test_the_part_from_an_offset_on_covers_all_offsets_that_are_left(piece: Piece, offset: int) -> None:
    """A piece that the position has passed is empty and does not lead back."""
    part = piece.since(offset)
    assert (part.start, part.end) == (max(offset, 2), max(offset, 10))
    assert recs_of(part.records) == [row for row in ROWS if row.offset >= offset]


def test_plain_events_belong_to_exactly_the_records_they_were_read_from(piece: Piece, native: Native) -> None:
    scanned = piece.scanned(PlainScanner(native, CoreConfig()))
    assert scanned.plain is not None
    assert [bool(flags & PLAIN) for flags in scanned.plain.flags] == [True] * 3
    assert scanned.plain.times.tolist() == [T0 + n for n in (3, 4, 7)]
    assert scanned.nbytes > piece.nbytes
    assert scanned.since(2).plain is scanned.plain
    assert scanned.since(4).plain is None, "they would be taken for those of other records"


def test_nothing_is_read_of_an_empty_piece_nor_of_batches_that_stand_for_theirs(native: Native) -> None:
    """The value of such an entry is a whole batch, and none of it is an event."""
    scanner = PlainScanner(native, CoreConfig())
    (empty,) = Span(5, 7, []).pieces(1)
    refused = piece_of(wire.bomb([SMALL]), 0, 1)
    assert refused.records.whole
    assert (empty.scanned(scanner).plain, refused.scanned(scanner).plain) == (None, None)


def test_the_core_is_told_everything_that_is_known_of_the_records(piece: Piece) -> None:
    batch = piece.batch("events", 3, forwarded=True)
    assert (batch.topic, batch.partition, batch.forwarded, len(batch)) == ("events", 3, True, 3)
    assert list(batch.offsets) == [3, 4, 7]
    assert [batch.timestamps[n] for n in range(3)] == [row.stamp for row in ROWS]
    assert (list(batch.keys), list(batch.values)) == ([row.key for row in ROWS], [row.value for row in ROWS])
    assert batch.headers[2] == (("h", b"x"),)
    limit = max(row.size for row in ROWS) - 1
    assert piece.batch("events", 3).above(limit).tolist() == [n for n, row in enumerate(ROWS) if row.size > limit]
    refused = piece_of(wire.bomb([SMALL]), 0, 1).batch("events", 3)
    assert [place.reason for place in refused.whole] == ["too_large"]
