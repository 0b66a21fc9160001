"""What was fetched of a partition, and the pieces it is processed in.

A span says from which offset to which it reaches, so that a reader can prove it missed nothing: records are skipped
legitimately (transaction markers, compaction), batches never. A piece is what a task applies at once, of bounded size whatever
the batches hold.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from aiokafka.errors import CorruptRecordException

from pipeline.ingest.batch import Headers, RecordBatch, Timestamps
from pipeline.ingest.plain import PlainScanner
from pipeline.native import I8, Native, PlainEvents
from pipeline.outputs import WholeBatch
from schemas.errors import PoisonRecord
from topology.message_set import MessageSet
from topology.record_batch import WireBatch
from topology.record_objects import RecordObjects
from topology.refused_batches import RefusedBatches

# A piece ends with the batch, or the part of one, that makes it so large: a batch may hold a thousand times what was fetched.
PIECE_BYTES = 16 << 20
# What one batch of a topic of our own may take: none of ours comes near it.
TRUSTED_BYTES = 256 << 20
# What the compiled part makes of a record (`PlainEvents`).
_PLAIN_BYTES = 81

Batch = WireBatch | MessageSet


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
    def next_offset(self) -> int:
        """Behind the last of them; there is one."""

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

    @property
    def sizes(self) -> I8 | None:
        """The size of each record: key, value, and headers with 8 bytes for each."""

    @property
    def largest(self) -> int | None:
        """No record is larger, where sizes are not known."""

    @property
    def whole(self) -> Sequence[WholeBatch]:
        """What each stands for, where they stand for batches."""


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

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        return self.records.nbytes + (0 if self.plain is None else _PLAIN_BYTES * len(self.records))

    def since(self, offset: int) -> "Piece":
        """The part that begins at an offset."""
        if offset <= self.start:
            return self
        return Piece(offset, max(self.end, offset), self.records.since(offset))

    def scanned(self, scanner: PlainScanner) -> "Piece":
        """The same, with its plain events read."""
        if not len(self.records) or self.records.whole:
            return self
        return replace(self, plain=scanner.scan(self.keys, self.values))

    def batch(self, topic: str, partition: int, *, forwarded: bool = False) -> RecordBatch:
        """The records as the core takes them."""
        records = self.records
        columns = (records.offsets, records.timestamps, records.keys, records.values, records.headers)
        return RecordBatch(
            topic,
            partition,
            *columns,
            forwarded,
            self.plain,
            sizes=records.sizes,
            largest=records.largest,
            whole=records.whole,
        )


class Span:
    """One fetched piece of a partition: offsets [start, end), still in the broker's batches.

    Attributes:
        start: the first offset asked for. end: the next offset to ask for.
    """

    __slots__ = ("_batches", "_check_crcs", "_place", "end", "start")

    def __init__(
        self, start: int, end: int, batches: Iterable[Batch], *, check_crcs: bool = True, place: str = "a batch"
    ) -> None:
        self.start = start
        self.end = end
        self._batches = deque(batches)
        self._check_crcs = check_crcs
        self._place = place

    def pieces(
        self, least_records: int, native: Native | None = None, *, refuse_above: int | None = None
    ) -> Iterator[Piece]:
        """Parse batch by batch, and give out whenever at least so many records, or `PIECE_BYTES`, are there.

        Every offset is in one piece. A batch is let go when it was parsed, so this can be asked for once.

        Args:
            least_records: of every piece but the last, and but those where the kind of batches changes or one is cut. A piece
                has less than three times as many.
            native: the compiled part, to find records by position.
            refuse_above: what one batch may take when parsed, bytes. One that takes more, or is not what its header says, is
                an entry of its own then (`RefusedBatches`). None for topics of our own: such a batch is an error.

        Raises:
            CorruptRecordException: a batch fails its CRC, or cannot be used and is not to be refused.
        """
        begin, end = self.start, self.start
        taken: list[Any] = []
        count = size_bytes = 0
        while self._batches:
            batch = self._batches.popleft()
            for records in self._parts(batch, native, end, 2 * least_records, refuse_above):
                records = records.since(end)
                if taken and (type(records) is not type(taken[0]) or size_bytes + records.nbytes > PIECE_BYTES):
                    yield _piece(begin, end, taken)
                    begin, count, size_bytes = end, 0, 0
                if not len(records):
                    continue
                taken.append(records)
                count += len(records)
                size_bytes += records.nbytes
                end = records.next_offset
                del records  # or it would be held for as long as the piece waits
                if count >= least_records or size_bytes >= PIECE_BYTES:
                    yield _piece(begin, end, taken)
                    begin, count, size_bytes = end, 0, 0
            end = max(end, batch.next_offset)
        if taken or begin < self.end:
            yield _piece(begin, self.end, taken)

    def _parts(
        self, batch: Batch, native: Native | None, begin: int, most_records: int, refuse_above: int | None
    ) -> Iterator[Records]:
        """The records of a batch in parts of bounded size, or the batch itself as one entry."""
        if self._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"{self._place}: CRC mismatch in the batch at offset {batch.base_offset}")
        most_bytes = TRUSTED_BYTES if refuse_above is None else refuse_above
        try:
            return batch.parts(native, most_bytes, most_records, PIECE_BYTES)
        except PoisonRecord as why:
            if refuse_above is None:
                raise CorruptRecordException(f"{self._place}: the batch at offset {batch.base_offset}: {why}") from why
            return iter((RefusedBatches([batch.refused(_explained(why, refuse_above), begin)]),))


def _explained(why: PoisonRecord, most_bytes: int) -> PoisonRecord:
    if why.reason != "too_large":
        return PoisonRecord(why.reason, f"the whole batch cannot be read: {why.message}")
    remedy = f"send smaller batches, or raise limits.max_batch_bytes = {most_bytes}"
    return PoisonRecord(why.reason, f"the whole batch is too large when decompressed: {why.message}; {remedy}")


def _piece(start: int, end: int, parts: list[Any]) -> Piece:
    """Join the parts to a piece; the list is empty then."""
    records: Records = type(parts[0]).join(parts) if parts else RecordObjects([], 0, 0)
    parts.clear()
    return Piece(start, end, records)
