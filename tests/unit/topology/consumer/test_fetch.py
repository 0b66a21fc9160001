"""What is taken from a fetch: batches of ours, whole or not at all; and nothing is left that only the garbage collector finds."""

import gc
import weakref

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.errors import CorruptRecordException

from tests.support.records import wire
from tests.support.records.wire import Rec
from topology.consumer.fetch import _SpanRecords
from topology.records.record_batch import WireBatch
from topology.records.wire_batches import WireBatches

PRODUCER_AT = 43


def records_of(data: bytes, aborted: list[tuple[int, int]] | None = None, level: int = READ_COMMITTED) -> _SpanRecords:
    return _SpanRecords(TopicPartition("events", 0), WireBatches(data), aborted, 0, None, None, True, level)


def batch(offset: int, producer_id: int = -1) -> bytes:
    attributes = wire.TRANSACTIONAL if producer_id >= 0 else 0
    return wire.batch([Rec(offset, 1, b"m", b"v")], attributes=attributes, producer_id=producer_id)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def taken(data: bytes, aborted: list[tuple[int, int]] | None = None, level: int = READ_COMMITTED) -> list[int]:
    """The first offset of each batch that is ours."""
    return [batch.base_offset for batch in records_of(data, aborted, level).take_batches()]


def test_markers_and_what_was_aborted_are_passed_over() -> None:
    data = (
        batch(0, 7) + batch(1) + wire.marker(2, 7, wire.ABORT) + batch(3, 7) + wire.marker(4, 7, wire.COMMIT) + batch(5)
    )
    assert taken(data, [(7, 0)]) == [1, 3, 5]
    assert taken(data) == [0, 1, 3, 5]
    assert taken(data, [(7, 0)], READ_UNCOMMITTED) == [0, 1, 3, 5]
    found = records_of(data, [(7, 0)])
    found.take_batches()
    assert found.next_fetch_offset == 6


@pytest.mark.parametrize("at", [20, 22, 50, -1])
@pytest.mark.parametrize("level", [READ_COMMITTED, READ_UNCOMMITTED])
def test_a_flipped_bit_ends_no_transaction(at: int, level: int) -> None:
    """An abort marker that is read as a commit would make events of what was taken back."""
    ending = wire.marker(1, 7, wire.ABORT)
    with pytest.raises(CorruptRecordException, match="events/0: CRC mismatch in the batch at offset 1"):
        taken(batch(0, 7) + flipped(ending, at % len(ending)) + batch(2), [(7, 0)], level)


def test_a_flipped_bit_makes_no_batch_part_of_an_aborted_transaction() -> None:
    """It would be passed over without a look at its checksum, and its events would be lost."""
    strangers = batch(1, 6)
    assert wire.batch([Rec(1, 1, b"m", b"v")])[PRODUCER_AT : PRODUCER_AT + 8] == b"\xff" * 8
    mistaken = flipped(strangers, PRODUCER_AT + 7)
    made = WireBatches(mistaken).next_batch()
    assert isinstance(made, WireBatch)
    assert made.producer_id == 7
    with pytest.raises(CorruptRecordException, match="offset 1"):
        taken(batch(0, 7) + mistaken + wire.marker(2, 7, wire.ABORT), [(7, 0)])


def test_a_marker_that_says_nothing_is_an_error() -> None:
    attributes = wire.CONTROL | wire.TRANSACTIONAL
    for body, count in ((b"", 0), (b"garbage", 1), (wire.record(0, 0, None, None), 1)):
        broken = wire.framed(body, base=0, count=count, last_delta=0, attributes=attributes, producer_id=7)
        with pytest.raises(CorruptRecordException, match="marker at offset 0"):
            taken(broken)


def test_a_fetch_is_freed_as_soon_as_its_batches_were_taken() -> None:
    """aiokafka ties its records and their iterator into a knot: a backlog held 600 MiB of fetches until a collection."""
    gc.disable()
    try:
        found = records_of(batch(0))
        gone = weakref.ref(found)
        assert len(found.take_batches()) == 1
        del found
        assert gone() is None
    finally:
        gc.enable()
