"""Whole fetches as columns: an aiokafka consumer that returns one `Span` per partition instead of an object per record.

aiokafka makes a ConsumerRecord of 11 fields for each record, a third of what reading costs, and fetches nothing more until
all of them were taken. Here a fetched piece is taken as it came, still compressed, and its batches are parsed when they are
processed (`topology.records.span`, `topology.records.record_batch`): the next fetch is under way meanwhile, the consumer's
thread does nothing but I/O, and memory holds three fetches at most: what is left of one, one taken already, and one under way.

This is the one place that touches aiokafka's internals, for exactly the version in `SUPPORTED`.
"""

import types
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, cast

import aiokafka
from aiokafka import TopicPartition
from aiokafka.consumer import consumer as consumer_module
from aiokafka.consumer import fetcher as fetcher_module
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord

from schemas.errors import ConfigError
from topology.consumer.coordinator import WatchedCoordinator
from topology.records.piece import Piece
from topology.records.record_batch import WireBatch
from topology.records.span import MissingSpan, Span
from topology.records.wire_batches import Batch, WireBatches

__all__ = ["MissingSpan", "Piece", "Span", "SpanConsumer"]

SUPPORTED = "0.14.0"

if aiokafka.__version__ != SUPPORTED:
    raise ConfigError(
        f"aiokafka {aiokafka.__version__} is installed, this build is made for {SUPPORTED}: run `make env`"
    )


class _SpanRecords(fetcher_module.PartitionRecords):  # type: ignore[misc]
    """The batches of a fetch, looked at but not parsed.

    Follows `PartitionRecords._unpack_records` step by step (aborted transactions, markers, offsets), but for the records.
    """

    next_fetch_offset: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # aiokafka's iterator refers to this object, and this object to it: the fetch would live until the garbage collector
        # finds the two, which for a backlog of uncompressed events was after 600 MiB.
        self._records_iterator = None

    @property
    def place(self) -> str:
        """Topic and partition."""
        return f"{self._tp.topic}/{self._tp.partition}"

    def take_batches(self) -> list[Batch]:
        """All batches that hold records of ours; moves `next_fetch_offset` behind the last batch.

        Raises:
            CorruptRecordException: a batch that is passed over fails its CRC. The others are checked when they are parsed.
        """
        taken: list[Batch] = []
        batches = self._records
        while batches.has_next():
            batch = batches.next_batch()
            if not self._skipped(batch):
                taken.append(batch)
            self.next_fetch_offset = batch.next_offset
        return taken

    def _skipped(self, batch: Batch) -> bool:
        """Whether a batch is a marker or belongs to an aborted transaction."""
        if batch.is_control_batch:
            self._check(batch)
        if isinstance(batch, WireBatch) and self._isolation_level == READ_COMMITTED:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and ControlRecord.parse(batch.control_key()) == ABORT_MARKER:
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                self._check(batch)
                return True
        return batch.is_control_batch

    def _check(self, batch: Batch) -> None:
        """A flipped bit must not end a transaction, nor make a batch part of one."""
        if self._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"{self.place}: CRC mismatch in the batch at offset {batch.base_offset}")


class _SpanResult(fetcher_module.FetchResult):  # type: ignore[misc]
    _partition_records: Any

    def getall(self, max_records: int | None = None) -> list[Span]:
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return []
        found: _SpanRecords = self._partition_records
        start = found.next_fetch_offset
        batches = found.take_batches()
        self._update_position()
        self._partition_records = None
        return [Span(start, found.next_fetch_offset, batches, check_crcs=found._check_crcs, place=found.place)]


def _rebind(function: object, **names: object) -> Callable[..., Any]:
    """The same function with some of its global names meaning something else; nothing global is changed."""
    original = cast("types.FunctionType", function)
    copy = types.FunctionType(
        original.__code__,
        {**original.__globals__, **names},
        original.__name__,
        original.__defaults__,
        original.__closure__,
    )
    copy.__kwdefaults__ = original.__kwdefaults__
    return copy


# Set while `SpanConsumer.high_watermarks` asks.
_open_transactions_too: ContextVar[bool] = ContextVar("open_transactions_too", default=False)


def _uncommitted_offset_request(replica_id: int, _isolation_level: int, topics: Any) -> Any:
    return OffsetRequest(replica_id, READ_UNCOMMITTED, topics)


class _SpanFetcher(fetcher_module.Fetcher):  # type: ignore[misc]
    _proc_fetch_request = _rebind(
        fetcher_module.Fetcher._proc_fetch_request,
        MemoryRecords=WireBatches,
        PartitionRecords=_SpanRecords,
        FetchResult=_SpanResult,
    )
    fetched_records = _rebind(fetcher_module.Fetcher.fetched_records, FetchResult=_SpanResult)
    _committed_offsets = fetcher_module.Fetcher._proc_offset_request
    _all_offsets = _rebind(fetcher_module.Fetcher._proc_offset_request, OffsetRequest=_uncommitted_offset_request)

    async def _proc_offset_request(self, node_id: int, topic_data: Any) -> Any:
        ask = self._all_offsets if _open_transactions_too.get() else self._committed_offsets
        return await ask(node_id, topic_data)


class SpanConsumer(aiokafka.AIOKafkaConsumer):  # type: ignore[misc]
    """An AIOKafkaConsumer whose `getmany` returns {TopicPartition: [Span]}. `getone` and iteration are not for it."""

    start = _rebind(consumer_module.AIOKafkaConsumer.start, Fetcher=_SpanFetcher, GroupCoordinator=WatchedCoordinator)

    async def high_watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The end of each log, asked of the broker now: records of open transactions are before it.

        `end_offsets` of a read_committed consumer stops where the first open transaction began.
        """
        token = _open_transactions_too.set(True)
        try:
            found: dict[TopicPartition, int] = await self.end_offsets(list(partitions))
        finally:
            _open_transactions_too.reset(token)
        return found
