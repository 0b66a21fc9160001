"""Whole fetches as columns: an aiokafka consumer that returns one `Span` per partition instead of an object per record.

aiokafka makes a ConsumerRecord of 11 fields for each record, a third of what reading costs, and fetches nothing more until
all of them were taken. Here a fetched piece is taken as it came, still compressed, and its batches are parsed when they are
processed (topology.record_batch): the next fetch is under way meanwhile, the consumer's thread does nothing but I/O, and
memory holds three fetches at most: what is left of one, one taken already, and one under way. A span also says from which
offset to which it reaches, so that a reader can prove it missed nothing: records are skipped legitimately (transaction
markers, compaction), batches never.

This is the one place that touches aiokafka's internals, for exactly the version in `SUPPORTED`.
"""

import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, cast

import aiokafka
from aiokafka.consumer import consumer as consumer_module
from aiokafka.consumer import fetcher as fetcher_module
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException

from pipeline.ingest.batch import Headers, RecordBatch, Timestamps
from pipeline.ingest.plain import PlainScanner
from pipeline.native import Native, PlainEvents
from schemas.errors import ConfigError
from topology.record_batch import RecordObjects, WireBatch, WireBatches

SUPPORTED = "0.14.0"

if aiokafka.__version__ != SUPPORTED:
    raise ConfigError(
        f"aiokafka {aiokafka.__version__} is installed, this build is made for {SUPPORTED}: run `make env`"
    )


class Records(Protocol):
    """Parsed records in offset order."""

    def __len__(self) -> int:
        """How many."""

    def since(self, offset: int) -> Self:
        """Those from an offset on."""

    @property
    def offsets(self) -> Sequence[int]:
        """Kafka offsets: a range where none is missing."""

    @property
    def timestamps(self) -> Timestamps:
        """Record timestamps (ms) by index."""

    @property
    def keys(self) -> Sequence[bytes | None]:
        """Record keys."""

    @property
    def values(self) -> Sequence[bytes | None]:
        """Record values."""

    @property
    def headers(self) -> Headers:
        """Record headers by index."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The parsed records of offsets [start, end), perhaps none.

    Attributes:
        plain: what the compiled part made of the values, if it was asked to; belongs to exactly these records.
    """

    start: int
    end: int
    records: Records
    plain: PlainEvents | None = None

    @property
    def offsets(self) -> Sequence[int]:
        """Kafka offsets: a range where none is missing."""
        return self.records.offsets

    @property
    def keys(self) -> Sequence[bytes | None]:
        """Record keys."""
        return self.records.keys

    @property
    def values(self) -> Sequence[bytes | None]:
        """Record values."""
        return self.records.values

    def since(self, offset: int) -> "Piece":
        """The part that begins at an offset."""
        if offset <= self.start:
            return self
        return Piece(offset, max(self.end, offset), self.records.since(offset))

    def scanned(self, scanner: PlainScanner) -> "Piece":
        """The same, with its plain events read."""
        return replace(self, plain=scanner.scan(self.keys, self.values)) if len(self.records) else self

    def batch(self, topic: str, partition: int, *, forwarded: bool = False) -> RecordBatch:
        """The records as the core takes them."""
        records = self.records
        columns = (records.offsets, records.timestamps, records.keys, records.values, records.headers)
        return RecordBatch(topic, partition, *columns, forwarded, self.plain)


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

    def parts(self, least_records: int) -> Iterator["Part"]:
        """Divide it, without parsing, at the first batch boundary behind each so many records."""
        begin = end = self.start
        taken: list[Any] = []
        count = 0
        for batch in self._batches:
            taken.append(batch)
            # Of the batches of before Kafka 0.11 only the offsets are known.
            count += batch.count if isinstance(batch, WireBatch) else batch.next_offset - end
            end = batch.next_offset
            if count >= least_records:
                yield Part(begin, end, taken, self._check_crcs)
                begin, taken, count = end, [], 0
        if taken or begin < self.end:
            yield Part(begin, self.end, taken, self._check_crcs)

    def pieces(self, least_records: int, native: Native | None = None) -> Iterator[Piece]:
        """The parsed pieces of all parts, as `parts` and `Part.parse` give them."""
        for part in self.parts(least_records):
            yield from part.parse(native)


@dataclass(frozen=True, slots=True)
class Part:
    """Whole batches of a span, which hold the records of offsets [start, end), perhaps none."""

    start: int
    end: int
    _batches: list[Any]
    _check_crcs: bool

    def parse(self, native: Native | None = None) -> list[Piece]:
        """Parse it; every offset is in one piece. There are several only where the kind of batches changes.

        Args:
            native: the compiled part, to find records by position.

        Raises:
            CorruptRecordException: a batch fails its CRC, or is not what its header says.
        """
        pieces = []
        begin = end = self.start
        taken: list[Records] = []
        for batch in self._batches:
            records = self._records(batch, native).since(begin)
            if taken and type(records) is not type(taken[0]):
                pieces.append(Piece(begin, end, _join(taken)))
                begin, taken = end, []
            taken.append(records)
            end = batch.next_offset
        pieces.append(Piece(begin, self.end, _join(taken)))
        return pieces

    def _records(self, batch: Any, native: Native | None) -> Records:
        if self._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"CRC mismatch in the batch at offset {batch.base_offset}")
        if not isinstance(batch, WireBatch):
            return RecordObjects(list(batch))
        if native is None:
            try:
                return RecordObjects(batch.objects())
            except UnicodeDecodeError:  # a header's name; aiokafka cannot read such a record
                pass
        return batch.rows(native)


def _join(parts: list[Any]) -> Records:
    if not parts:
        return RecordObjects([])
    joined: Records = type(parts[0]).join(parts)
    return joined


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
        fetcher_module.Fetcher._proc_fetch_request,
        MemoryRecords=WireBatches,
        PartitionRecords=_SpanRecords,
        FetchResult=_SpanResult,
    )
    fetched_records = _rebind(fetcher_module.Fetcher.fetched_records, FetchResult=_SpanResult)


class SpanConsumer(aiokafka.AIOKafkaConsumer):  # type: ignore[misc]
    """An AIOKafkaConsumer whose `getmany` returns {TopicPartition: [Span]}. `getone` and iteration are not for it."""

    start = _rebind(consumer_module.AIOKafkaConsumer.start, Fetcher=_SpanFetcher)
