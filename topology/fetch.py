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
# A piece ends with the batch that makes it so large: what a batch holds may be a thousand times what was fetched.
PIECE_BYTES = 16 << 20

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
    def nbytes(self) -> int:
        """Memory held, about."""

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

    def pieces(self, least_records: int, native: Native | None = None) -> Iterator[Piece]:
        """Parse batch by batch, and give out whenever at least so many records, or `PIECE_BYTES`, are there.

        Every offset is in one piece.

        Args:
            least_records: of every piece but the last, and but those where the kind of batches changes.
            native: the compiled part, to find records by position.

        Raises:
            CorruptRecordException: a batch fails its CRC, or is not what its header says.
        """
        begin, end = self.start, self.start
        taken: list[Records] = []
        count = size_bytes = 0
        for batch in self._batches:
            records = self._parse(batch, native).since(begin)
            if taken and type(records) is not type(taken[0]):
                yield _piece(begin, end, taken)
                begin, count, size_bytes = end, 0, 0
            taken.append(records)
            count += len(records)
            size_bytes += records.nbytes
            del records  # or it would be held for as long as the piece waits
            end = batch.next_offset
            if count >= least_records or size_bytes >= PIECE_BYTES:
                yield _piece(begin, end, taken)
                begin, count, size_bytes = end, 0, 0
        if taken or begin < self.end:
            yield _piece(begin, self.end, taken)

    def _parse(self, batch: Any, native: Native | None) -> Records:
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


def _piece(start: int, end: int, parts: list[Any]) -> Piece:
    """Join the parts to a piece; the list is empty then."""
    records: Records = type(parts[0]).join(parts) if parts else RecordObjects([])
    parts.clear()
    return Piece(start, end, records)


class _SpanRecords(fetcher_module.PartitionRecords):  # type: ignore[misc]
    """The batches of a fetch, looked at but not parsed.

    Follows `PartitionRecords._unpack_records` step by step (aborted transactions, markers, offsets), but for the records.
    """

    next_fetch_offset: int

    def take_batches(self) -> list[Any]:
        """All batches that hold records of ours; moves `next_fetch_offset` behind the last batch."""
        # aiokafka's iterator refers to this object, and this object to it: the fetch would live until the garbage collector
        # finds the two, which for a backlog of uncompressed events was after 600 MiB.
        self._records_iterator = None
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
