"""Whole fetches as columns: an aiokafka consumer that returns one `Span` per partition instead of an object per record.

aiokafka makes a ConsumerRecord of 11 fields for each record, a third of what reading costs. The parsed C records are enough
here, and the span also says from which offset to which it reaches, so that a reader can prove it missed nothing: records
are skipped legitimately (transaction markers, compaction), batches never.

This is the one place that touches aiokafka's internals, for exactly the version in `SUPPORTED`.
"""

import types
from collections.abc import Callable
from typing import Any, cast

import aiokafka
from aiokafka.consumer import consumer as consumer_module
from aiokafka.consumer import fetcher as fetcher_module
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException

from pipeline.outputs import Header
from schemas.errors import ConfigError

SUPPORTED = "0.14.0"

if aiokafka.__version__ != SUPPORTED:
    raise ConfigError(f"aiokafka {aiokafka.__version__} is installed, this build is made for {SUPPORTED}: run `make env`")


class SpanHeaders:
    """The headers of a span's records, read only when one is asked for."""

    __slots__ = ("_records",)

    def __init__(self, records: list[Any]) -> None:
        self._records = records

    def __getitem__(self, index: int, /) -> tuple[Header, ...]:
        return tuple((name, value or b"") for name, value in self._records[index].headers)


class Span:
    """All records of one fetched piece of a partition: offsets [start, end), perhaps without a single record.

    Attributes:
        start: the first offset asked for. end: the next offset to ask for.
    """

    __slots__ = ("end", "records", "start")

    def __init__(self, start: int, end: int, records: list[Any]) -> None:
        self.start = start
        self.end = end
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __bool__(self) -> bool:
        return True  # a span of markers alone still moves the position

    @property
    def offsets(self) -> list[int]:
        """Kafka offsets."""
        return [record.offset for record in self.records]

    @property
    def timestamps(self) -> list[int]:
        """Record timestamps, ms."""
        return [record.timestamp for record in self.records]

    @property
    def keys(self) -> list[bytes | None]:
        """Record keys."""
        return [record.key for record in self.records]

    @property
    def values(self) -> list[bytes | None]:
        """Record values."""
        return [record.value for record in self.records]

    @property
    def headers(self) -> SpanHeaders:
        """Record headers."""
        return SpanHeaders(self.records)

    def since(self, offset: int) -> "Span":
        """The part of the span that begins at an offset."""
        if offset <= self.start:
            return self
        return Span(offset, max(self.end, offset), [record for record in self.records if record.offset >= offset])


class _SpanRecords(fetcher_module.PartitionRecords):  # type: ignore[misc]
    """The parsed records of a fetch, whole batches at once.

    Follows `PartitionRecords._unpack_records` step by step (CRC, aborted transactions, markers, offsets before the one asked
    for), without a generator step and a ConsumerRecord for each record.
    """

    next_fetch_offset: int

    def take_all(self) -> list[Any]:
        """All records from `next_fetch_offset` on; moves it behind the last batch.

        Raises:
            CorruptRecordException: a batch fails its CRC.
        """
        taken: list[Any] = []
        batches = self._records
        while batches.has_next():
            batch = batches.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not self._skipped(batch):
                records = list(batch)
                if records and records[0].offset < self.next_fetch_offset:
                    records = [record for record in records if record.offset >= self.next_fetch_offset]
                taken += records
            self.next_fetch_offset = batch.next_offset
        return taken

    def _skipped(self, batch: Any) -> bool:
        """Whether a batch is a marker or belongs to an aborted transaction."""
        if self._isolation_level == READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)


class _SpanResult(fetcher_module.FetchResult):  # type: ignore[misc]
    _partition_records: Any

    def getall(self, max_records: int | None = None) -> Span | list[object]:
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return []
        parsed: _SpanRecords = self._partition_records
        start = parsed.next_fetch_offset
        records = parsed.take_all()
        self._update_position()
        self._partition_records = None
        return Span(start, parsed.next_fetch_offset, records)


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


class _SpanFetcher(fetcher_module.Fetcher):  # type: ignore[misc]
    _proc_fetch_request = _rebind(
        fetcher_module.Fetcher._proc_fetch_request, PartitionRecords=_SpanRecords, FetchResult=_SpanResult
    )
    fetched_records = _rebind(fetcher_module.Fetcher.fetched_records, FetchResult=_SpanResult)


class SpanConsumer(aiokafka.AIOKafkaConsumer):  # type: ignore[misc]
    """An AIOKafkaConsumer whose `getmany` returns {TopicPartition: Span}. `getone` and iteration are not for it."""

    start = _rebind(consumer_module.AIOKafkaConsumer.start, Fetcher=_SpanFetcher)
