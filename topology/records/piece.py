"""What a task applies at once: parsed records, or batches that stand for theirs, of a contiguous range of offsets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

from pipeline.arrays import I8
from pipeline.ingest.batch import Headers, RecordBatch, Timestamps
from pipeline.ingest.plain import PlainScanner
from pipeline.native import PlainEvents
from pipeline.outputs import WholeBatch

# What the compiled part makes of a record (`PlainEvents`).
_PLAIN_BYTES = 81


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
