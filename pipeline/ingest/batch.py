"""A fetched batch of one source partition, as parallel columns in offset order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import I8
from pipeline.native import PlainEvents
from pipeline.outputs import Header, WholeBatch, headers_bytes


class Timestamps(Protocol):
    """Record timestamps (ms) by index; read only for records that need them."""

    def __getitem__(self, index: int, /) -> int:
        """The timestamp of one record."""


class ColumnTimestamps:
    """Timestamps that lie in an array.

    Attributes:
        column: all of them, int64.
    """

    __slots__ = ("column",)

    def __init__(self, column: I8) -> None:
        self.column = column

    def __getitem__(self, index: int, /) -> int:
        return int(self.column[index])


class Headers(Protocol):
    """Headers by index into the batch; read only for records that need them."""

    def __getitem__(self, index: int, /) -> tuple[Header, ...]:
        """The headers of one record."""


class NoHeaders:
    """No record of the batch has headers."""

    def __getitem__(self, index: int, /) -> tuple[Header, ...]:
        return ()


class Slices(Sequence[bytes | None]):
    """Byte strings that lie in one buffer; each is copied out only when it is asked for.

    Attributes:
        buffer: what holds them. starts, sizes: int64 each, a size of -1 is None.
    """

    __slots__ = ("buffer", "sizes", "starts")

    def __init__(self, buffer: bytes, starts: I8, sizes: I8) -> None:
        self.buffer = buffer
        self.starts = starts
        self.sizes = sizes

    def __len__(self) -> int:
        return self.starts.size

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...
    @overload
    def __getitem__(self, index: slice) -> "Slices": ...
    def __getitem__(self, index: int | slice) -> "bytes | Slices | None":
        if isinstance(index, slice):
            return Slices(self.buffer, self.starts[index], self.sizes[index])
        start, size = int(self.starts[index]), int(self.sizes[index])
        return None if size < 0 else self.buffer[start : start + size]

    def __iter__(self) -> Iterator[bytes | None]:
        buffer = self.buffer
        for start, size in zip(self.starts.tolist(), self.sizes.tolist(), strict=True):
            yield None if size < 0 else buffer[start : start + size]


def join_slices(*columns: Sequence[bytes | None]) -> list[Slices]:
    """The same columns in one buffer."""
    joined = b"".join([value or b"" for column in columns for value in column])
    slices, base = [], 0
    for column in columns:
        sizes = np.array([-1 if value is None else len(value) for value in column], np.int64)
        ends = np.cumsum(np.maximum(sizes, 0)) + base
        slices.append(Slices(joined, ends - np.maximum(sizes, 0), sizes))
        base = int(ends[-1]) if ends.size else base
    return slices


def equal_to(column: Sequence[bytes | None], rows: I8, text: bytes) -> NDArray[np.bool_]:
    """Which of some rows hold exactly these bytes."""
    if not isinstance(column, Slices):
        return np.array([column[row] == text for row in rows.tolist()], np.bool_)
    found: NDArray[np.bool_] = column.sizes[rows] == len(text)
    starts = column.starts[rows[found]]
    buffer = np.frombuffer(column.buffer, np.uint8)
    wanted = np.frombuffer(text, np.uint8)
    found[found] = (buffer[starts[:, np.newaxis] + np.arange(len(text))] == wanted).all(axis=1)
    return found


_NONE: I8 = np.empty(0, np.int64)
# What a header adds to the size of a record, besides its name and its value.
HEADER_BYTES = 8
# More than a forwarded record has in addition: its module's id as its key, and two headers that say where it came from.
FORWARDED_BYTES = 2_048


def sizes_of(keys: Sequence[bytes | None], values: Sequence[bytes | None], headers: Headers) -> I8:
    """The size of each record: key, value, and headers with 8 bytes for each."""
    sizes = _lengths(keys) + _lengths(values)
    if not isinstance(headers, NoHeaders):
        for index in range(sizes.size):
            if own := headers[index]:
                sizes[index] += headers_bytes(own) + HEADER_BYTES * len(own)
    return sizes


def _lengths(column: Sequence[bytes | None]) -> I8:
    if isinstance(column, Slices):
        return np.maximum(column.sizes, 0)
    try:
        return np.fromiter(map(len, column), np.int64, len(column))  # type: ignore[arg-type]
    except TypeError:  # a null among them
        return np.array([len(value or b"") for value in column], np.int64)


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one topic partition, offsets rising; all columns have the same length.

    Attributes:
        forwarded: the batch comes from the repartition topic, so its keys are module ids already.
        plain: what `PlainScanner.scan` made of it, where that was done ahead.
        sizes: of each record, where the shell knows them; else they are looked at one by one, if they have to be.
        largest: no record is larger, where the shell knows that much.
        whole: given, each entry stands for a batch that cannot be taken apart: its last offset, and its bytes as the value.
    """

    topic: str
    partition: int
    offsets: Sequence[int]
    timestamps: Timestamps
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Headers
    forwarded: bool = False
    plain: PlainEvents | None = None
    sizes: I8 | None = None
    largest: int | None = None
    whole: Sequence[WholeBatch] = ()

    def __len__(self) -> int:
        return len(self.offsets)

    def above(self, most_bytes: int) -> I8:
        """The indices of the records that are larger, rising; what forwarding put on them does not count."""
        most_bytes += FORWARDED_BYTES if self.forwarded else 0
        if self.largest is not None and self.largest <= most_bytes:
            return _NONE
        sizes = sizes_of(self.keys, self.values, self.headers) if self.sizes is None else self.sizes
        return np.flatnonzero(sizes > most_bytes)

    def part(self, low: int, high: int) -> "RecordBatch":
        """Records [low, high) of this batch."""
        return self.pick(range(low, min(high, len(self))))

    def pick(self, indices: Sequence[int]) -> "RecordBatch":
        """The records at these indices, rising."""
        return RecordBatch(
            self.topic,
            self.partition,
            [self.offsets[i] for i in indices],
            [self.timestamps[i] for i in indices],
            [self.keys[i] for i in indices],
            [self.values[i] for i in indices],
            [self.headers[i] for i in indices],
            self.forwarded,
            sizes=None if self.sizes is None else self.sizes[list(indices)],
            largest=self.largest,
            whole=[self.whole[i] for i in indices] if self.whole else (),
        )
