"""What a fetch leaves behind when its batches were taken: nothing that only the garbage collector would find."""

import gc
import weakref

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from topology.fetch import _SpanRecords
from topology.wire_batches import WireBatches


def stored(values: list[bytes]) -> bytes:
    """One batch as the broker stores it."""
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 20
    )
    for number, value in enumerate(values):
        assert builder.append(number, 1_700_000_000_000, b"m", value, []) is not None
    return bytes(builder.build())


def test_a_fetch_is_freed_as_soon_as_its_batches_were_taken() -> None:
    """aiokafka ties its records and their iterator into a knot: a backlog held 600 MiB of fetches until a collection."""
    gc.disable()
    try:
        batches = WireBatches(stored([b"a", b"b"]))
        found = _SpanRecords(TopicPartition("events", 0), batches, None, 0, None, None, True, READ_COMMITTED)
        gone = weakref.ref(batches)
        assert len(found.take_batches()) == 1
        del batches, found
        assert gone() is None
    finally:
        gc.enable()
