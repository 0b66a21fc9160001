"""Record batches as positions: the compiled parser and the Python one against aiokafka's, for every codec and every break."""

import random
from collections.abc import Sequence

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from pipeline.native import Native
from pipeline.outputs import RawName
from schemas.errors import PoisonRecord
from tests.support.records import wire
from tests.support.records.parsed_records import LIMIT, T0, WHOLE, parsed, parsers, random_rows, recs_of, wire_batch
from tests.support.records.wire import CODECS, Rec
from topology.records.record_objects import RecordObjects
from topology.records.record_rows import RecordRows


@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
def test_all_parsers_find_what_was_written(codec: int) -> None:
    rng = random.Random(codec)
    for count in (1, 2, 50):
        rows = [row._replace(offset=row.offset + 1_000) for row in random_rows(rng, count)]
        batch = wire_batch(wire.batch(rows, codec, base=1_000))
        assert batch.validate_crc()
        assert (batch.base_offset, batch.next_offset) == (1_000, rows[-1].offset + 1)
        for parser in parsers():
            found = parsed(batch, parser)
            assert recs_of(found) == rows
            if found.sizes is not None:
                assert found.sizes.tolist() == [row.size for row in rows]
            else:
                assert found.largest is not None
                assert max(row.size for row in rows) <= found.largest <= 4 * sum(row.size + 40 for row in rows)


def test_what_is_made_by_hand_is_what_aiokafka_writes() -> None:
    """Else the parsers would only agree with the tests."""
    rng = random.Random(5)
    rows = [row._replace(offset=number) for number, row in enumerate(random_rows(rng, 30))]
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1 << 30
    )
    for offset, stamp, key, value, headers in rows:
        named = [(name.decode(), content) for name, content in headers]
        assert builder.append(offset, stamp, key, value, named) is not None
    read = list(DefaultRecordBatch(wire.batch(rows)))
    assert [(r.offset, r.timestamp, r.key, r.value) for r in read] == [row[:4] for row in rows]


@pytest.mark.parametrize("parser", parsers(), ids=lambda way: "native" if way else "python")
@pytest.mark.parametrize("large", [False, True])
def test_a_batch_that_is_not_what_its_header_says_is_undecodable(parser: Native | None, large: bool) -> None:
    """Whether aiokafka may be asked for objects of it or not."""
    value = bytes(3 << 20) if large else b"v"
    body = b"".join(wire.record(delta, 0, b"k", value) for delta in range(3))
    lies: Sequence[dict[str, int]] = (
        *({"count": count} for count in (-1, 0, 2, 4, 40_000, -(1 << 31))),
        *({"last_delta": last} for last in (-1, 0, 1, -(1 << 31))),
        *({"attributes": codec} for codec in (1, 2, 3, 4, 5, 6, 7)),
    )
    for lie in lies:
        said = {"base": 7, "count": 3, "last_delta": 2} | lie
        batch = wire_batch(wire.framed(body, **said))
        assert batch.validate_crc()
        assert batch.next_offset > 7, "the same batch would be fetched for ever"
        with pytest.raises(PoisonRecord) as caught:
            batch.parts(parser, *WHOLE)
        assert caught.value.reason == "undecodable", lie
        place = batch.refused(caught.value, 0).place
        assert (place.first_offset, place.last_offset) == (7, batch.next_offset - 1)
        assert 1 <= place.records <= place.last_offset - 7 + 1


@pytest.mark.parametrize("parser", parsers(), ids=lambda way: "native" if way else "python")
@pytest.mark.parametrize("deltas", [(0, 0), (1, 0), (-1, 1), (0, 5), (0, 2**62)])
def test_offsets_that_do_not_rise_within_the_batch_make_it_undecodable(
    parser: Native | None, deltas: tuple[int, int]
) -> None:
    body = b"".join(wire.record(delta, 0, b"k", b"v") for delta in deltas)
    with pytest.raises(PoisonRecord, match="does not hold the 2 records"):
        wire_batch(wire.framed(body, base=7, count=2, last_delta=4)).parts(parser, *WHOLE)


@pytest.mark.parametrize("parser", parsers(), ids=lambda way: "native" if way else "python")
@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
def test_a_batch_takes_its_bytes_and_64_more_for_each_record_and_header(parser: Native | None, codec: int) -> None:
    rows = [Rec(n, T0, b"k", b"v" * 100, ((b"h", b"x"),) * 3) for n in range(50)]
    taken = sum(len(wire.record(n, 0, *rows[n][2:])) for n in range(50)) + 64 * (50 + 150)
    batch = wire_batch(wire.batch(rows, codec))
    (found,) = batch.parts(parser, taken, 100, 1 << 20)
    assert recs_of(found) == rows
    for less in (taken - 1, taken - 64 * 150, 64 * 50, 1, 0):
        with pytest.raises(PoisonRecord) as caught:
            batch.parts(parser, less, 100, 1 << 20)
        assert caught.value.reason == "too_large"
    assert batch.refused(caught.value, 0).place[:3] == (0, 49, 50)
    assert batch.refused(caught.value, 0).data == wire.batch(rows, codec)


@pytest.mark.parametrize("parser", parsers(), ids=lambda way: "native" if way else "python")
@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
def test_a_large_batch_comes_in_parts_of_its_own(parser: Native | None, codec: int) -> None:
    """Parts of a decompressed batch hold only their own bytes, and outlive whatever is decompressed next."""
    rng = random.Random(3)
    rows = [Rec(n * 2, T0 + n, b"k", rng.randbytes(rng.randrange(300)), ((b"h", b"x"),)) for n in range(20_000)]
    batch, other = wire_batch(wire.batch(rows, codec)), wire_batch(wire.batch(rows[:10], codec))
    parts = batch.parts(parser, LIMIT, 3_000, 200_000)
    found = [next(parts)]
    assert recs_of(parsed(other, parser)) == rows[:10]
    found += parts
    assert [rec for part in found for rec in recs_of(part)] == rows
    assert all(len(part) <= 3_000 and part.nbytes <= 200_000 for part in found)
    if codec:
        assert all(isinstance(part, RecordRows) and len(part.data) <= 200_000 for part in found)


@pytest.mark.parametrize("parser", parsers(), ids=lambda way: "native" if way else "python")
def test_log_append_time_is_the_time_of_the_whole_batch(parser: Native | None) -> None:
    rows = [Rec(0, T0, b"k", b"v"), Rec(1, T0 + 5, b"k", b"v")]
    found = parsed(wire_batch(wire.batch(rows, attributes=wire.LOG_APPEND_TIME)), parser)
    assert [found.timestamps[i] for i in (0, 1)] == [T0 + 5, T0 + 5]


@pytest.mark.parametrize("parser", parsers(), ids=lambda way: "native" if way else "python")
def test_a_header_whose_name_is_not_utf8_keeps_its_bytes(parser: Native | None) -> None:
    """aiokafka's own parser raises UnicodeDecodeError, and would on every restart."""
    rows = [Rec(0, T0, b"k", b"v", ((b"n\xffm\xfe", b"\xff"), (b"", None))), Rec(1, T0, b"k", b"w")]
    with pytest.raises(UnicodeDecodeError):
        list(DefaultRecordBatch(wire.batch(rows)))
    found = parsed(wire_batch(wire.batch(rows)), parser)
    assert recs_of(found) == rows
    name = found.headers[0][0][0]
    assert name == "n\\xffm\\xfe"
    assert isinstance(name, RawName)


def test_only_small_batches_become_objects_of_aiokafkas() -> None:
    """Two bytes of a header become 64 of an object: what is large is read as positions instead."""
    many = Rec(0, T0, b"k", b"v", ((b"", b""),) * 1_100_000)
    assert isinstance(parsed(wire_batch(wire.batch([Rec(0, T0, b"k", b"v")])), None), RecordObjects)
    with pytest.raises(PoisonRecord, match="headers"):
        wire_batch(wire.batch([many])).parts(None, *WHOLE)
    (found,) = wire_batch(wire.batch([many._replace(headers=((b"", b""),) * 1_000)] * 1 + [])).parts(None, *WHOLE)
    assert isinstance(found, RecordObjects)
    large = Rec(0, T0, b"k", bytes(2 << 20))
    assert isinstance(parsed(wire_batch(wire.batch([large])), None), RecordRows)
    assert isinstance(parsed(wire_batch(wire.batch([Rec(n, T0, None, None) for n in range(16_001)])), None), RecordRows)
