"""The formats of before Kafka 0.11: read as the others, bounded as the others."""

import struct

import pytest
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

from pipeline.outputs import WholeBatch
from schemas.errors import PoisonRecord
from tests.support.records import wire
from tests.support.records.parsed_records import recs_of
from tests.support.records.wire import GZIP, LZ4, NONE, SNAPPY, ZSTD, Rec
from topology.records.message_set import MessageSet
from topology.records.span import Span
from topology.records.wire_batches import WireBatches

T0 = 1_700_000_000_000
LIMIT = 1 << 20
SETS = [(0, NONE), (0, GZIP), (0, SNAPPY), (1, NONE), (1, GZIP), (1, SNAPPY), (1, LZ4)]


def rows_of(magic: int, first: int = 40) -> list[Rec]:
    pairs = ((b"m", b"a"), (None, b"b"), (b"", None), (b"k" * 300, b"v" * 70_000))
    return [Rec(first + n, T0 + n if magic else -1, key, value) for n, (key, value) in enumerate(pairs)]


def batches_of(data: bytes) -> list[MessageSet]:
    batches, found = WireBatches(data), []
    while batches.has_next():
        batch = batches.next_batch()
        assert isinstance(batch, MessageSet)
        assert batch.validate_crc()
        found.append(batch)
    return found


def read(data: bytes, start: int = 40, most_bytes: int | None = LIMIT) -> list[Rec]:
    batches = batches_of(data)
    pieces = Span(start, batches[-1].next_offset, batches).pieces(3, refuse_above=most_bytes)
    return [rec for piece in pieces for rec in recs_of(piece.records)]


@pytest.mark.parametrize(("magic", "codec"), SETS)
def test_every_format_and_codec_is_read(magic: int, codec: int) -> None:
    assert read(wire.message_set(rows_of(magic), magic, codec)) == rows_of(magic)


@pytest.mark.parametrize(("magic", "codec"), [(0, NONE), (0, GZIP), (1, NONE), (1, GZIP), (1, LZ4)])
def test_what_aiokafka_writes_is_read(magic: int, codec: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    for number in range(3):
        builder.append(number, T0 + number, b"m", b"%d" % number)
    expected = [Rec(n, T0 + n if magic else -1, b"m", b"%d" % n) for n in range(3)]
    data = bytes(builder.build())
    if codec:  # the broker writes the offset of the last record over it
        data = struct.pack(">q", 2) + data[8:]
    assert read(data, 0) == expected


def test_records_without_a_timestamp_say_minus_one() -> None:
    """None of them is a number: it ended the worker as soon as a bad record came."""
    (batch,) = batches_of(wire.message_set(rows_of(0)[:1], 0))
    (part,) = batch.parts(None, LIMIT, 10, LIMIT)
    assert (part.timestamps[0], part.headers[0]) == (-1, ())


def test_the_time_of_a_set_may_be_that_of_its_arrival() -> None:
    data = wire.message_set(rows_of(1), 1, GZIP, attributes=wire.LOG_APPEND_TIME)
    assert [rec.stamp for rec in read(data)] == [T0 + 3] * 4


def test_a_reader_may_begin_in_the_middle_of_a_set() -> None:
    assert read(wire.message_set(rows_of(1), 1, GZIP), 42) == rows_of(1)[2:]


def refusal(data: bytes, start: int = 40, most_bytes: int = LIMIT) -> WholeBatch:
    batches = batches_of(data)
    (piece,) = Span(start, batches[-1].next_offset, batches).pieces(3, refuse_above=most_bytes)
    (place,) = piece.records.whole
    assert piece.records.values[0] == data
    return place


@pytest.mark.parametrize(("magic", "codec"), [(0, GZIP), (1, GZIP), (1, SNAPPY), (1, LZ4)])
def test_a_set_that_expands_beyond_the_bound_is_refused_as_one(magic: int, codec: int) -> None:
    rows = [Rec(40 + n, T0, b"m", bytes(500_000)) for n in range(4)]
    place = refusal(wire.message_set(rows, magic, codec))
    assert (place.first_offset, place.last_offset, place.records, place.reason) == (40, 43, 4, "too_large")
    many = [Rec(40 + n, T0, None, None) for n in range(20_000)]
    assert refusal(wire.message_set(many, magic, codec)).reason == "too_large"


def test_a_message_beyond_the_bound_is_refused_alone() -> None:
    place = refusal(wire.message_set([Rec(40, T0, b"m", bytes(LIMIT))], 1))
    assert (place.first_offset, place.last_offset, place.records, place.reason) == (40, 40, 1, "too_large")


def broken_sets() -> dict[str, bytes]:
    rows = rows_of(1)
    inner = b"".join(wire.message(row._replace(offset=row.offset - 40), 1) for row in rows)

    def holding(value: bytes | None, attributes: int = GZIP, magic: int = 1, offset: int = 43) -> bytes:
        packed = value if value is None or attributes & 7 not in (GZIP, SNAPPY) else wire.compressed(GZIP, value)
        return wire.message(Rec(offset, T0, None, packed), magic, attributes)

    twice = wire.message(Rec(0, T0, None, wire.compressed(GZIP, inner)), 1, GZIP)
    mixed = wire.message(Rec(0, T0, b"k", b"v"), 0)
    backwards = wire.message(rows[1], 1) + wire.message(rows[0], 1)
    return {
        "a value that is null": holding(None),
        "no stream": wire.message(Rec(43, T0, None, b"garbage"), 1, GZIP),
        "another codec": holding(inner, SNAPPY),
        "an unknown codec": wire.message(Rec(43, T0, None, b"x"), 1, 5),
        "cut off inside": holding(inner[:-1]),
        "cut off in a head": holding(inner + inner[:10]),
        "compressed twice": holding(twice),
        "two formats": holding(mixed),
        "offsets that fall": holding(backwards),
        "offsets beyond its own": holding(inner, offset=1),
        "lz4 in v0": wire.message(Rec(43, T0, None, wire.compressed(LZ4, inner)), 0, LZ4),
        "zstd garbage": wire.message(Rec(43, T0, None, b"garbage"), 1, ZSTD),
    }


@pytest.mark.parametrize("name", broken_sets())
def test_a_set_that_is_not_what_it_says_is_undecodable(name: str) -> None:
    data = broken_sets()[name]
    (batch,) = batches_of(data)
    place = refusal(data, min(40, batch.base_offset))
    assert place.reason == "undecodable"
    assert place.last_offset == batch.base_offset


def test_sizes_within_a_message_that_lie_are_undecodable() -> None:
    whole = wire.message(Rec(40, T0, b"key", b"value"), 1)
    for at in (26, 33):  # of key and value
        for size in (-2, 2, 4, 1 << 30):
            lie = whole[:at] + struct.pack(">i", size) + whole[at + 4 :]
            batch = MessageSet(memoryview(lie))
            with pytest.raises(PoisonRecord):
                batch.parts(None, LIMIT, 10, LIMIT)
