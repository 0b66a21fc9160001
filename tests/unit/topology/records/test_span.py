"""Pieces of a span: every offset in one of them, of bounded size, and what cannot be used as an entry of its own."""

import gc
import random
import weakref
from collections.abc import Sequence

import pytest
from aiokafka.errors import CorruptRecordException

from pipeline.native import Native
from tests.support.records import wire
from tests.support.records.parsed_records import parsers, recs_of
from tests.support.records.wire import GZIP, LZ4, ZSTD, Rec
from topology.records.piece import Piece
from topology.records.span import PIECE_BYTES, Span
from topology.records.wire_batches import Batch, WireBatches

T0 = 1_700_000_000_000
LIMIT = 1 << 20


def rows(first: int, count: int, size: int = 10) -> list[Rec]:
    return [Rec(first + n, T0 + n, b"k", b"%d" % n * (size // 4)) for n in range(count)]


def taken(*stored: bytes) -> list[Batch]:
    batches, found = WireBatches(b"".join(stored)), []
    while batches.has_next():
        found.append(batches.next_batch())
    return found


def pieces_of(
    start: int, end: int, stored: Sequence[bytes], least: int, native: Native | None = None, most: int = LIMIT
) -> list[Piece]:
    pieces = list(Span(start, end, taken(*stored)).pieces(least, native, refuse_above=most))
    assert [piece.start for piece in pieces] == [start, *(piece.end for piece in pieces[:-1])], "a gap, or an overlap"
    assert pieces[-1].end == end
    for piece in pieces:
        assert all(piece.start <= offset < piece.end for offset in piece.offsets)
    return pieces


def read(pieces: Sequence[Piece]) -> list[Rec]:
    return [rec for piece in pieces if not piece.records.whole for rec in recs_of(piece.records)]


@pytest.mark.parametrize("parser", parsers(), ids=lambda way: "native" if way else "python")
@pytest.mark.parametrize("codec", [0, LZ4])
@pytest.mark.parametrize("least", [1, 7, 100, 5_000])
def test_a_piece_has_less_than_three_times_the_records_asked_for(parser: Native | None, codec: int, least: int) -> None:
    """A batch of 20,000 tiny records is applied in slices, with a look at what they made between two of them."""
    if parser is None:
        least = max(least, 6_000)  # what aiokafka makes objects of is not cut
    stored = [wire.batch(rows(0, 50), codec), wire.batch(rows(50, 20_000), codec), wire.batch(rows(20_050, 3), codec)]
    pieces = pieces_of(0, 20_060, stored, least, parser, 64 << 20)
    assert read(pieces) == rows(0, 50) + rows(50, 20_000) + rows(20_050, 3)
    assert max(len(piece.records) for piece in pieces) < 3 * least
    # The last slice of a batch is as large as it comes; without the compiled part the kind of records changes, too.
    assert sum(len(piece.records) < least for piece in pieces) <= 2


@pytest.mark.parametrize("parser", parsers(), ids=lambda way: "native" if way else "python")
def test_a_piece_is_of_bounded_size(parser: Native | None) -> None:
    large = [Rec(n, T0, b"k", bytes(1 << 20)) for n in range(50)]
    batches = taken(wire.batch(large, ZSTD), wire.batch(rows(50, 3)), wire.batch(rows(53, 3)))
    pieces = list(Span(0, 56, batches).pieces(1_000, parser, refuse_above=1 << 30))
    assert [offset for piece in pieces for offset in piece.offsets] == list(range(56))
    assert len(pieces) >= 4
    assert all(piece.nbytes <= PIECE_BYTES for piece in pieces)


@pytest.mark.parametrize("parser", parsers(), ids=lambda way: "native" if way else "python")
def test_what_cannot_be_used_is_one_entry_in_its_place(parser: Native | None) -> None:
    bomb = wire.bomb([LIMIT] * 3, base=20)
    broken = wire.framed(b"garbage", base=23, count=4, last_delta=6, attributes=GZIP)
    stored = [wire.batch(rows(0, 20)), bomb, broken, wire.batch(rows(30, 5)), wire.bomb([LIMIT], base=35)]
    pieces = pieces_of(0, 40, stored, 10, parser)
    assert read(pieces) == rows(0, 20) + rows(30, 5)
    entries = [
        (offset, piece.keys[index], piece.values[index], piece.records.whole[index][:4])
        for piece in pieces
        if piece.records.whole
        for index, offset in enumerate(piece.offsets)
    ]
    assert entries == [
        (22, None, bomb, (20, 22, 3, "too_large")),
        (29, None, broken, (23, 29, 4, "undecodable")),
        (35, None, stored[-1], (35, 35, 1, "too_large")),
    ]


def test_a_refused_batch_says_which_setting_and_what_to_do() -> None:
    (piece,) = pieces_of(0, 1, [wire.bomb([LIMIT])], 10)
    assert "limits.max_batch_bytes = 1048576" in piece.records.whole[0].message
    assert "send smaller batches" in piece.records.whole[0].message


@pytest.mark.parametrize("parser", parsers(), ids=lambda way: "native" if way else "python")
def test_a_reader_may_begin_in_the_middle_of_a_batch(parser: Native | None) -> None:
    """A task that flushed between two slices of a batch goes on from there."""
    for codec in (0, LZ4):
        assert read(pieces_of(7, 20, [wire.batch(rows(0, 20), codec)], 3, parser)) == rows(0, 20)[7:]
    (piece,) = pieces_of(7, 20, [wire.bomb([LIMIT // 20] * 20)], 3, parser)
    assert piece.records.whole[0][:3] == (7, 19, 13), "those before were taken in when the bound was another one"


def test_what_was_covered_already_does_not_come_again() -> None:
    """No offset may be applied twice, whatever the log holds."""
    stored = [wire.batch(rows(0, 10)), wire.batch(rows(5, 10)), wire.batch(rows(2, 3)), wire.batch(rows(15, 1))]
    assert [rec.offset for rec in read(pieces_of(0, 16, stored, 4))] == list(range(16))


def test_a_topic_of_our_own_has_no_batch_that_may_be_left_out() -> None:
    """A changelog without one of its batches would be state that is silently lost."""
    batches = taken(wire.framed(b"garbage", base=3, count=4, last_delta=6, attributes=GZIP))
    with pytest.raises(CorruptRecordException, match="state/3: the batch at offset 3"):
        list(Span(0, 10, batches, place="state/3").pieces(10))


def test_a_flipped_bit_is_an_error_and_not_a_letter() -> None:
    """It was the network or the disk: fetched again, the batch may be right."""
    stored = bytearray(wire.batch(rows(0, 3)))
    stored[-3] ^= 1
    with pytest.raises(CorruptRecordException, match="events/1: CRC mismatch in the batch at offset 0"):
        list(Span(0, 3, taken(bytes(stored)), place="events/1").pieces(10, refuse_above=LIMIT))


def test_a_batch_is_let_go_when_it_was_parsed() -> None:
    """A span is held for as long as its pieces are; its fetch must not be."""
    gc.disable()
    try:
        batches = taken(wire.batch(rows(0, 3), LZ4), wire.batch(rows(3, 3), LZ4))
        gone = [weakref.ref(batch) for batch in batches]
        span = Span(0, 6, batches)
        del batches
        pieces = span.pieces(3)
        next(pieces)
        next(pieces)
        assert gone[0]() is None
        assert list(pieces) == []
        assert gone[1]() is None
    finally:
        gc.enable()


def test_a_batch_that_compaction_emptied_moves_the_position() -> None:
    empty = wire.framed(b"", base=3, count=0, last_delta=4)
    pieces = pieces_of(0, 10, [wire.batch(rows(0, 3)), empty, wire.batch(rows(8, 2))], 100)
    assert read(pieces) == rows(0, 3) + rows(8, 2)


def test_random_batches_of_every_kind_are_read_alike_by_both_parsers() -> None:
    rng = random.Random(11)
    for _ in range(60):
        stored: list[bytes] = []
        at = 0
        for _ in range(rng.randrange(1, 6)):
            count = rng.choice((1, 2, 40))
            kind = rng.randrange(4)
            codec = rng.choice(tuple(wire.CODECS.values()))
            if kind == 0:
                stored.append(wire.bomb([LIMIT] * count, base=at))
            elif kind == 1:
                stored.append(
                    wire.framed(rng.randbytes(30), base=at, count=count, last_delta=count - 1, attributes=codec)
                )
            else:
                stored.append(wire.batch(rows(at, count, 400), codec))
            at += count + rng.choice((0, 0, 3))
        start = rng.randrange(at)
        seen = [
            (
                read(pieces := pieces_of(start, at + 1, stored, 8, parser)),
                [place for piece in pieces for place in piece.records.whole],
            )
            for parser in parsers()
        ]
        assert seen.count(seen[0]) == len(seen)


@pytest.mark.parametrize("least", [1, 6, 1_000])
def test_the_pieces_of_a_span_cover_every_offset_once(least: int) -> None:
    """Offsets that hold no record for us (markers, compaction) are in a piece as well: the position must move past them."""
    stored = [wire.batch(rows(0, 10)), wire.batch(rows(10, 5)), wire.batch(rows(20, 5))]
    pieces = pieces_of(3, 30, stored, least)
    assert [offset for piece in pieces for offset in piece.offsets] == [*range(3, 15), *range(20, 25)]
    assert all(len(piece.records) >= least for piece in pieces[:-1])


def test_a_span_of_markers_alone_is_a_piece() -> None:
    assert [(piece.start, piece.end, len(piece.records)) for piece in Span(5, 7, []).pieces(100)] == [(5, 7, 0)]
