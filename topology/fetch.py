"""Whole fetches as columns: an aiokafka consumer that returns one `Span` per partition instead of an object per record.

aiokafka makes a ConsumerRecord of 11 fields for each record, a third of what reading costs, and fetches nothing more until
all of them were taken. Here a fetched piece is taken as it came, still compressed, and its batches are parsed when they are
processed: the next fetch is under way meanwhile, the consumer's thread does nothing but I/O, and memory holds two fetches at
most. A span also says from which offset to which it reaches, so that a reader can prove it missed nothing: records are
skipped legitimately (transaction markers, compaction), batches never.

This is the one place that touches aiokafka's internals, for exactly the version in `SUPPORTED`.
"""

import types
from collections.abc import Callable, Iterator, Sequence
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
    raise ConfigError(
        f"aiokafka {aiokafka.__version__} is installed, this build is made for {SUPPORTED}: run `make env`"
    )


class _Lazy:
    """A column of a span that is read for few records only."""

    __slots__ = ("_records",)

    def __init__(self, records: list[Any]) -> None:
        self._records = records


class SpanHeaders(_Lazy):
    """Record headers by index."""

    __slots__ = ()

    def __getitem__(self, index: int, /) -> tuple[Header, ...]:
        return tuple((name, value) for name, value in self._records[index].headers)


class SpanTimestamps(_Lazy):
    """Record timestamps (ms) by index."""

    __slots__ = ()

    def __getitem__(self, index: int, /) -> int:
        return int(self._records[index].timestamp)


class Piece:
    """The parsed records of offsets [start, end), perhaps none."""

    __slots__ = ("end", "records", "start")

    def __init__(self, start: int, end: int, records: list[Any]) -> None:
        self.start = start
        self.end = end
        self.records = records

    @property
    def offsets(self) -> Sequence[int]:
        """Kafka offsets: a range where none is missing."""
        records = self.records
        first, last = records[0].offset, records[-1].offset
        if last - first + 1 == len(records):
            return range(first, last + 1)
        return [record.offset for record in records]

    @property
    def keys(self) -> list[bytes | None]:
        """Record keys."""
        return [record.key for record in self.records]

    @property
    def values(self) -> list[bytes | None]:
        """Record values."""
        return [record.value for record in self.records]

    def since(self, offset: int) -> "Piece":
        """The part that begins at an offset."""
        if offset <= self.start:
            return self
        return Piece(offset, max(self.end, offset), [record for record in self.records if record.offset >= offset])


class Span:
    """One fetched piece of a partition: offsets [start, end), still in the broker's batches.

    Attributes:
        start: the first offset asked for. end: the next offset to ask for.
    """

    __slots__ = ("_batches", "_check_crcs", "end", "start")

    def __init__(self, start: int, end: int, batches: list[Any], *, check_crcs: bool = True) -> None:
        self.start = start
        self.end = end
        self._batches = batches
        self._check_crcs = check_crcs

    def pieces(self, least_records: int) -> Iterator[Piece]:
        """Parse batch by batch, and give out whenever at least so many records are there; every offset is in one piece.

        Raises:
            CorruptRecordException: a batch fails its CRC.
        """
        begin, taken = self.start, []
        for batch in self._batches:
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"CRC mismatch in the batch at offset {batch.base_offset}")
            records = list(batch)
            if records and records[0].offset < begin:
                records = [record for record in records if record.offset >= begin]
            taken += records
            if len(taken) >= least_records:
                yield Piece(begin, batch.next_offset, taken)
                begin, taken = batch.next_offset, []
        if taken or begin < self.end:
            yield Piece(begin, self.end, taken)


class _SpanRecords(fetcher_module.PartitionRecords):  # type: ignore[misc]
    """The batches of a fetch, looked at but not parsed.

    Follows `PartitionRecords._unpack_records` step by step (aborted transactions, markers, offsets), but for the records.
    """

    next_fetch_offset: int

    def take_batches(self) -> list[Any]:
        """All batches that hold records of ours; moves `next_fetch_offset` behind the last batch."""
        taken: list[Any] = []
        batches = self._records
        while batches.has_next():
            batch = batches.next_batch()
            if not self._skipped(batch):
                taken.append(batch)
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

    def getall(self, max_records: int | None = None) -> list[Span]:
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return []
        found: _SpanRecords = self._partition_records
        start = found.next_fetch_offset
        batches = found.take_batches()
        self._update_position()
        self._partition_records = None
        return [Span(start, found.next_fetch_offset, batches, check_crcs=found._check_crcs)]


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
    """An AIOKafkaConsumer whose `getmany` returns {TopicPartition: [Span]}. `getone` and iteration are not for it."""

    start = _rebind(consumer_module.AIOKafkaConsumer.start, Fetcher=_SpanFetcher)
