"""Records as positions in the bytes that hold them: keys, values and headers become objects only where somebody asks for them."""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.arrays import I8
from pipeline.ingest.batch import ColumnTimestamps, Slices
from pipeline.native import RECORD_FIELDS
from pipeline.outputs import WholeBatch
from pipeline.record_wire import NO_HEADERS, PlacedHeaders

# The row of a record, and what every header is charged as well.
ROW_BYTES = 8 * RECORD_FIELDS
# What a record takes at most besides its row and what `SIZE` counts: the numbers in front of its parts.
_NUMBERS_BYTES = 36
OFFSET, TIMESTAMP, KEY, KEY_SIZE, VALUE, VALUE_SIZE, HEADERS, SIZE = range(RECORD_FIELDS)


class RecordRows:
    """Records as columns over their bytes, in offset order.

    Attributes:
        data: what the positions are in; there may be more in it than these records.
        rows: shape (8, n): offset, timestamp, key, key size, value, value size, headers, size.
        low, high: the part of `data` that belongs to these records.
    """

    __slots__ = ("data", "high", "low", "rows")

    def __init__(self, data: bytes, rows: I8, low: int = 0, high: int | None = None) -> None:
        self.data = data
        self.rows = rows
        self.low = low
        self.high = len(data) if high is None else high

    @classmethod
    def join(cls, parts: Sequence["RecordRows"]) -> "RecordRows":
        """One after the other; the bytes are copied only where they do not lie in one buffer yet."""
        if len(parts) == 1:
            return parts[0]
        data = parts[0].data
        rows = np.concatenate([part.rows for part in parts], axis=1)
        if all(part.data is data for part in parts):
            return cls(data, rows, parts[0].low, parts[-1].high)
        base, moves = 0, []
        for part in parts:
            moves.append(base - part.low)
            base += part.high - part.low
        moved = np.repeat(moves, [len(part) for part in parts])
        rows[KEY] += moved
        rows[VALUE] += moved
        rows[HEADERS] += np.where(rows[HEADERS] == NO_HEADERS, 0, moved)
        return cls(b"".join([memoryview(part.data)[part.low : part.high] for part in parts]), rows)

    def __len__(self) -> int:
        return int(self.rows.shape[1])

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return self.high - self.low + self.rows.nbytes

    def cut(self, low: int, high: int) -> "RecordRows":
        """Records [low, high), over the same bytes."""
        if (low, high) == (0, len(self)):
            return self
        begin, end = bounds(self.rows, low, high, self.low, self.high)
        return RecordRows(self.data, self.rows[:, low:high], begin, end)

    def parts(self, most_records: int, most_bytes: int) -> Iterator["RecordRows"]:
        """The same in parts of at most so many records and bytes, one record at least."""
        return (self.cut(low, high) for low, high in cuts(self.rows, most_records, most_bytes))

    def since(self, offset: int) -> "RecordRows":
        """The records from an offset on."""
        if not len(self) or self.rows[OFFSET, 0] >= offset:
            return self
        return self.cut(int(np.searchsorted(self.rows[OFFSET], offset)), len(self))

    @property
    def next_offset(self) -> int:
        """Behind the last one."""
        return int(self.rows[OFFSET, -1]) + 1

    @property
    def offsets(self) -> Sequence[int]:
        """Kafka offsets: a range where none is missing."""
        offsets = self.rows[OFFSET]
        if offsets.size and int(offsets[-1]) - int(offsets[0]) + 1 == offsets.size:
            return range(int(offsets[0]), int(offsets[-1]) + 1)
        found: list[int] = offsets.tolist()
        return found

    @property
    def keys(self) -> Slices:
        """Record keys."""
        return Slices(self.data, self.rows[KEY], self.rows[KEY_SIZE])

    @property
    def values(self) -> Slices:
        """Record values."""
        return Slices(self.data, self.rows[VALUE], self.rows[VALUE_SIZE])

    @property
    def timestamps(self) -> ColumnTimestamps:
        """Record timestamps (ms) by index."""
        return ColumnTimestamps(self.rows[TIMESTAMP])

    @property
    def headers(self) -> PlacedHeaders:
        """Record headers by index."""
        return PlacedHeaders(self.data, self.rows[HEADERS])

    @property
    def sizes(self) -> I8:
        """The size of each record: key, value, and headers with 8 bytes for each."""
        sizes: I8 = self.rows[SIZE]
        return sizes

    @property
    def largest(self) -> None:
        """All sizes are known."""

    @property
    def whole(self) -> tuple[WholeBatch, ...]:
        """No batch stands here as one."""
        return ()


def bounds(rows: I8, low: int, high: int, begin: int, end: int) -> tuple[int, int]:
    """Which bytes records [low, high) of a batch lie in, when all of it lies in [begin, end)."""
    count = rows.shape[1]
    # The key is the first field with a position: what stands before it is of the same record, and read already.
    first = int(rows[KEY, low]) if 0 < low < count else begin if low == 0 else end
    return first, int(rows[KEY, high]) if high < count else end


def cuts(rows: I8, most_records: int, most_bytes: int) -> Iterator[tuple[int, int]]:
    """Where to cut records into parts of at most so many records and bytes (their rows count, too), one at least."""
    count = rows.shape[1]
    held = np.cumsum(rows[SIZE] + (ROW_BYTES + _NUMBERS_BYTES))
    low = 0
    while low < count:
        before = int(held[low - 1]) if low else 0
        fits = int(np.searchsorted(held, before + most_bytes, side="right"))
        high = max(low + 1, min(low + most_records, fits))
        yield low, high
        low = high
