"""Records packed into batches: in order, of bounded size, with the bytes they came with."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.outputs import Header, RawName
from pipeline.record_wire import framed, tail_of
from tests.support.core.cores import fixed
from tests.support.records.parsed_records import parsed, wire_batch
from topology.records.decompress import LZ4, NONE
from topology.records.outgoing import BATCH_HEAD_BYTES, EncodedBatch, Record, batches_of

MIB = 1 << 20
NAMES = st.text(max_size=5) | st.just(RawName(b"\xff\xfe"))
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=300)), max_size=5)
FIELDS = st.none() | st.binary(max_size=300)


@fixed(60)
@given(FIELDS, FIELDS, HEADERS)
@example(b"k", b"v", [("h", bytes(200))] * 1_000)
@example(bytes(70_000), bytes(70_000), [("h" * 9_000, bytes(9_000))] * 20)
def test_a_batch_of_one_record_is_never_larger_than_the_record_says(
    key: bytes | None, value: bytes | None, headers: list[Header]
) -> None:
    """Letters are cut by it: were it too small, the topic would refuse what was cut for it."""
    record = Record(key, value, headers)
    (batch,) = batches_of([record], MIB)
    built = batch._build()  # type: ignore[attr-defined]
    assert len(built) <= record.most_bytes


@pytest.mark.parametrize("codec", [NONE, LZ4])
def test_an_encoded_batch_is_what_its_producer_says_and_holds_its_records_compressed_or_not(codec: int) -> None:
    records = [(b"k", b"v" * 500, ()), (None, None, (("h", None),))]
    batch = EncodedBatch.of(b"".join(framed(tail_of(*one), n) for n, one in enumerate(records)), 2, codec)
    batch._set_producer_state(7, 1, 5)
    data = bytes(batch._build())
    built = wire_batch(data)
    assert built.validate_crc()
    assert (built.is_transactional, built.producer_id, built.next_offset) == (True, 7, 2)
    found = parsed(built, None)
    assert [(found.keys[n], found.values[n], found.headers[n]) for n in (0, 1)] == records
    assert found.timestamps[0] == found.timestamps[1]
    assert batch.size() == len(data)
    assert (len(data) < 300) is (codec == LZ4)


def test_an_empty_batch_is_its_head_and_no_record_makes_no_batch() -> None:
    assert EncodedBatch.of(b"", 0).size() == BATCH_HEAD_BYTES == 61
    assert list(batches_of([], MIB)) == []


def test_records_are_packed_in_order_into_batches_of_bounded_size() -> None:
    rng = random.Random(6)
    records = [Record(b"%d" % n, rng.randbytes(rng.choice((10, 300, 5_000)))) for n in range(200)]
    batches = list(batches_of(records, 4_000))
    assert all(batch.size() <= 4_000 or batch.record_count() == 1 for batch in batches)
    assert len(batches) < 150
    keys = [key for batch in batches for key in parsed(wire_batch(bytes(batch._build())), None).keys]  # type: ignore[attr-defined]
    assert keys == [record.key for record in records]


def test_a_header_name_that_is_not_utf8_is_written_as_it_came() -> None:
    raw: Header = (RawName(b"\xff\xfe"), b"\x00")
    records = [
        Record(b"a", None, (raw, ("text", None))),
        Record(b"b", b"x"),
        Record(b"c", b"y", (raw,)),
        Record(None, b""),
    ]
    batches = list(batches_of(records, MIB))
    assert [batch.record_count() for batch in batches] == [1, 1, 1, 1]
    found = []
    for batch in batches:
        batch._set_producer_state(7, 1, 5)  # type: ignore[attr-defined]
        built = wire_batch(bytes(batch._build()))  # type: ignore[attr-defined]
        assert built.validate_crc()
        assert (built.is_transactional, built.producer_id, built.next_offset) == (True, 7, 1)
        assert batch.size() == len(bytes(batch._build()))  # type: ignore[attr-defined]
        (part,) = built.parts(None, MIB, 10, MIB)
        found.append((part.keys[0], part.values[0], part.headers[0]))
    assert found == [(r.key, r.value, tuple(r.headers)) for r in records]
    assert all(isinstance(headers[0][0], RawName) for _, _, headers in found if headers)
