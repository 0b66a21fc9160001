"""Record batches as positions: the compiled parser and the Python one against aiokafka's, for every codec and every break."""

import random
import struct
from typing import Any, NamedTuple

import numpy as np
import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from pipeline.native import Native, load_native
from topology.fetch import Span
from topology.record_batch import RecordObjects, RecordRows, WireBatch, WireBatches, find_records

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
T0 = 1_700_000_000_000
_HEADER_BYTES = 61


class Row(NamedTuple):
    """What a record holds."""

    offset: int
    stamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def parsers() -> list[Native | None]:
    """None is the Python parser."""
    native = load_native()
    return [None] if native is None else [None, native]


def random_rows(rng: random.Random, count: int) -> list[Row]:
    def text(most: int) -> bytes | None:
        return None if rng.random() < 0.1 else rng.randbytes(rng.randrange(most))

    rows: list[Row] = []
    offset = 0
    for _ in range(count):
        headers = tuple((f"h{n}ü" * rng.randrange(3), text(40)) for n in range(rng.choice((0, 0, 0, 1, 3, 70))))
        rows.append(
            Row(offset, T0 + rng.randrange(-(10**9), 10**9), text(40), text(rng.choice((10, 100, 20_000))), headers)
        )
        offset += rng.choice((1, 1, 1, 2, 300))
    return rows


def stored(rows: list[Row], codec: int = 0, base: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(
        2, codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 30
    )
    for offset, stamp, key, value, headers in rows:
        assert builder.append(offset, stamp, key, value, list(headers)) is not None
    return struct.pack(">q", base) + bytes(builder.build())[8:]


def sealed(data: bytes) -> bytes:
    """With length and checksum as the bytes are now."""
    data = data[:8] + struct.pack(">i", len(data) - 12) + data[12:]
    return data[:17] + struct.pack(">I", calc_crc32c(data[21:])) + data[21:]


def wire(data: bytes) -> WireBatch:
    batches = WireBatches(data)
    batch = batches.next_batch()
    assert isinstance(batch, WireBatch)
    assert not batches.has_next()
    return batch


def rows_of(records: RecordRows | RecordObjects) -> list[Row]:
    columns = (records.offsets, records.keys, records.values)
    return [
        Row(offset, records.timestamps[index], key, value, records.headers[index])
        for index, (offset, key, value) in enumerate(zip(*columns, strict=True))
    ]


@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
def test_all_parsers_find_what_was_written(codec: int) -> None:
    rng = random.Random(codec)
    for count in (1, 2, 50):
        rows = random_rows(rng, count)
        expected = [row._replace(offset=row.offset + 1_000) for row in rows]
        batch = wire(stored(rows, codec, 1_000))
        assert batch.validate_crc()
        assert (batch.base_offset, batch.next_offset) == (1_000, expected[-1].offset + 1)
        assert rows_of(RecordObjects(batch.objects())) == expected
        for parser in parsers():
            assert rows_of(batch.rows(parser)) == expected


def test_broken_records_are_found_by_all_parsers_alike() -> None:
    rng = random.Random(7)
    broken = 0
    for _ in range(2_000):
        rows = random_rows(rng, rng.choice((1, 3)))
        data = bytearray(
            stored([row._replace(value=row.value and row.value[:30], headers=row.headers[:3]) for row in rows])[
                _HEADER_BYTES:
            ]
        )
        for _ in range(rng.choice((1, 1, 2))):
            where = rng.randrange(len(data))
            if rng.random() < 0.5:
                data[where] = rng.randrange(256)
            elif rng.random() < 0.5:
                del data[where]
            else:
                data.insert(where, rng.randrange(256))
        answers: list[Any] = []
        for parser in parsers():
            try:
                found = (
                    find_records(bytes(data), len(rows))
                    if parser is None
                    else parser.records(bytes(data), 0, len(rows))
                )
                answers.append(found.tolist())
            except ValueError:
                answers.append("broken")
        broken += answers[0] == "broken"
        assert answers.count(answers[0]) == len(answers), bytes(data)
    assert 500 < broken < 2_000


@pytest.mark.parametrize("parser", parsers(), ids=repr)
def test_a_batch_that_is_not_what_its_header_says_is_corrupt(parser: Native | None) -> None:
    data = stored(random_rows(random.Random(1), 3))
    for count in (-1, 0, 2, 4, 1 << 30):
        lie = sealed(data[:57] + struct.pack(">i", count) + data[61:])
        with pytest.raises(CorruptRecordException, match="offset 0"):
            wire(lie).rows(parser)
    lie = sealed(data[:21] + struct.pack(">h", 6) + data[23:])
    with pytest.raises(CorruptRecordException, match="codec 6"):
        wire(lie).rows(parser)
    with pytest.raises(CorruptRecordException, match="bytes"):
        WireBatches(struct.pack(">qi", 0, -5)).has_next()


def test_a_batch_cut_off_at_the_end_of_a_fetch_is_left_for_the_next_one() -> None:
    data = stored(random_rows(random.Random(1), 3))
    batches = WireBatches(data + data[:-1])
    assert batches.has_next()
    batches.next_batch()
    assert not batches.has_next()
    assert batches.size_in_bytes() == 2 * len(data) - 1


@pytest.mark.parametrize("parser", parsers(), ids=repr)
def test_log_append_time_is_the_time_of_the_whole_batch(parser: Native | None) -> None:
    data = stored([Row(0, T0, b"k", b"v"), Row(1, T0 + 5, b"k", b"v")])
    batch = wire(sealed(data[:21] + struct.pack(">h", 8) + data[23:]))
    assert [batch.rows(parser).timestamps[i] for i in (0, 1)] == [T0 + 5, T0 + 5]


@pytest.mark.parametrize("parser", parsers(), ids=repr)
def test_a_header_whose_name_is_not_utf8_stops_nobody(parser: Native | None) -> None:
    """aiokafka's own parser raises UnicodeDecodeError, and would on every restart."""
    data = stored([Row(0, T0, b"k", b"v", (("name", b"\xff"), ("", None))), Row(1, T0, b"k", b"w")])
    bad = sealed(data.replace(b"name", b"n\xffm\xfe"))
    with pytest.raises(UnicodeDecodeError):
        wire(bad).objects()
    (piece,) = Span(0, 2, [wire(bad)]).pieces(10, parser)
    assert list(piece.values) == [b"v", b"w"]
    assert piece.records.headers[0] == (("n\\xffm\\xfe", b"\xff"), ("", None))


def test_control_batches_and_old_message_sets_are_aiokafkas() -> None:
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=1, producer_id=5, producer_epoch=0, base_sequence=0, batch_size=1 << 20
    )
    builder.append(0, T0, struct.pack(">hh", 0, 0), b"\x00" * 6, [])
    data = bytes(builder.build())
    control = WireBatches(sealed(data[:21] + struct.pack(">h", 0x30) + data[23:])).next_batch()
    assert not isinstance(control, WireBatch)
    assert control.is_control_batch
    assert ControlRecord.parse(next(iter(control)).key) == ABORT_MARKER
    legacy = LegacyRecordBatchBuilder(1, 0, 1 << 20)
    legacy.append(0, T0, b"k", b"v")
    old = WireBatches(bytes(legacy.build())).next_batch()
    assert not isinstance(old, WireBatch)
    new = wire(stored([Row(0, T0, b"k", b"w")], base=1))
    pieces = list(Span(0, 2, [old, new]).pieces(100, parsers()[-1]))
    assert [offset for piece in pieces for offset in piece.offsets] == [0, 1]
    assert [value for piece in pieces for value in piece.values] == [b"v", b"w"]


def test_joined_and_cut_rows_keep_every_column() -> None:
    rng = random.Random(3)
    parts: list[RecordRows] = []
    expected: list[Row] = []
    base = 0
    for _ in range(4):
        rows = random_rows(rng, 20)
        parts.append(wire(stored(rows, 3, base)).rows(parsers()[-1]))
        expected += [row._replace(offset=row.offset + base) for row in rows]
        base = expected[-1].offset + rng.choice((1, 50))
    joined = RecordRows.join(parts)
    assert rows_of(joined) == expected
    for offset in (0, expected[7].offset, expected[7].offset + 1, expected[-1].offset + 1):
        assert rows_of(joined.since(offset)) == [row for row in expected if row.offset >= offset]
    assert isinstance(joined.offsets, list)
    assert isinstance(RecordRows(b"", np.array([[5, 6, 7]] * 8, np.int64)).offsets, range)
