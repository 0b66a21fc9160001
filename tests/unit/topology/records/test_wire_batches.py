"""A fetch as its batches: where each ends, which format it has, and what is left for the next fetch."""

import random
import struct

import pytest
from aiokafka.errors import CorruptRecordException

from tests.support.records import wire
from tests.support.records.parsed_records import T0, random_rows
from tests.support.records.wire import Rec
from topology.records.message_set import MessageSet
from topology.records.record_batch import WireBatch
from topology.records.wire_batches import WireBatches


def test_batches_of_every_format_come_one_after_the_other() -> None:
    """A topic that is older than the broker's format holds both."""
    rows = [Rec(n, T0, b"k", b"v") for n in range(3)]
    stored = [wire.message_set(rows[:1], 0), wire.message_set(rows[1:2], 1), wire.batch(rows[2:])]
    batches = WireBatches(b"".join(stored))
    found = []
    while batches.has_next():
        found.append(batches.next_batch())
    assert [type(batch) for batch in found] == [MessageSet, MessageSet, WireBatch]
    assert [batch.next_offset for batch in found] == [1, 2, 3]
    assert all(batch.validate_crc() for batch in found)


def test_of_a_fetch_that_ends_within_the_size_of_a_batch_nothing_is_taken() -> None:
    data = wire.batch([Rec(0, T0, b"k", b"v")])
    for size in range(len(data)):
        assert not WireBatches(data[:size]).has_next()
    assert WireBatches(data).has_next()


def test_a_batch_shorter_than_the_place_of_its_format_says_its_size() -> None:
    for size in (12, 16):
        with pytest.raises(CorruptRecordException, match=f"a record batch of {size} bytes"):
            WireBatches(struct.pack(">qi", 0, size - 12) + bytes(70)).next_batch()


def test_a_batch_cut_off_at_the_end_of_a_fetch_is_left_for_the_next_one() -> None:
    data = wire.batch(random_rows(random.Random(1), 3))
    batches = WireBatches(data + data[:-1])
    assert batches.has_next()
    batches.next_batch()
    assert not batches.has_next()
    assert batches.size_in_bytes() == 2 * len(data) - 1


@pytest.mark.parametrize("size", [-5, -12, -(1 << 31), 0, 4])
def test_a_size_that_is_none_is_an_error_where_somebody_sees_it(size: int) -> None:
    """`has_next` is asked in aiokafka's own loop: an error there would stop all fetching without a word."""
    batches = WireBatches(struct.pack(">qi", 0, size) + bytes(70))
    assert batches.has_next()
    with pytest.raises(CorruptRecordException):
        batches.next_batch()


def test_a_format_of_the_future_is_an_error() -> None:
    data = wire.batch([Rec(0, T0, b"k", b"v")])
    with pytest.raises(CorruptRecordException, match="format 3"):
        WireBatches(data[:16] + b"\x03" + data[17:]).next_batch()
