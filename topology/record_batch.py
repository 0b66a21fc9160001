"""Kafka's record batches (format v2) as positions in their bytes, instead of an object per record.

A batch is taken from a fetch as it came, still compressed. Who needs its records asks for them: where the compiled part was
built, as positions; else as aiokafka's objects, which say the same. Control batches and the message sets of before Kafka
0.11 are left to aiokafka altogether.

Format: https://kafka.apache.org/documentation/#recordbatch
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from pipeline.ingest.batch import Slices
from pipeline.native import I8, RECORD_FIELDS, Native
from pipeline.outputs import Header

# BaseOffset, Length, LeaderEpoch, Magic, CRC, Attributes, LastOffsetDelta, FirstTimestamp, MaxTimestamp, ProducerId,
# ProducerEpoch, BaseSequence, Count
_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH = struct.Struct(">i")
_LENGTH_AT = 8
_OVERHEAD = 12
_MAGIC_AT = 16
_CRC_FROM = 21
_MAGIC = 2
_CODEC, _LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_DECODERS: dict[int, Callable[[bytes], bytes]] = {1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}
_LONGEST_VARINT_BITS = 64
# A record of aiokafka with its key, list of headers and numbers, but for its value.
_OBJECT_BYTES = 350


class WireBatch:
    """One batch of data records. The names are those of aiokafka's batches, which its fetcher looks at."""

    is_control_batch = False

    def __init__(self, data: memoryview) -> None:
        if len(data) < _HEADER.size:
            raise CorruptRecordException(f"a record batch of {len(data)} bytes")
        self._data = data
        fields = _HEADER.unpack_from(data)
        self.base_offset: int = fields[0]
        self._crc: int = fields[4]
        self._attributes: int = fields[5]
        self.next_offset: int = fields[0] + fields[6] + 1
        self._first_timestamp: int = fields[7]
        self._max_timestamp: int = fields[8]
        self.producer_id: int = fields[9]
        self._count: int = fields[12]

    @property
    def is_transactional(self) -> bool:
        """Whether it was written in a transaction."""
        return bool(self._attributes & _TRANSACTIONAL)

    def validate_crc(self) -> bool:
        """Whether the bytes are those that were written."""
        return bool(calc_crc32c(bytes(self._data[_CRC_FROM:])) == self._crc)

    def objects(self) -> list[Any]:
        """The records as aiokafka makes them.

        Raises:
            CorruptRecordException: the batch is not what its header says.
            UnicodeDecodeError: the name of a header is not UTF-8.
        """
        return list(DefaultRecordBatch(self._data))

    def rows(self, native: Native | None) -> "RecordRows":
        """The positions of its records.

        Raises:
            CorruptRecordException: the batch is not what its header says.
        """
        data = self._records()
        try:
            found = find_records(data, self._count) if native is None else native.records(data, 0, self._count)
        except ValueError as error:
            raise CorruptRecordException(f"the batch at offset {self.base_offset}: {error}") from error
        found[0] += self.base_offset
        if self._attributes & _LOG_APPEND_TIME:
            found[1] = self._max_timestamp
        else:
            found[1] += self._first_timestamp
        return RecordRows(data, found)

    def _records(self) -> bytes:
        codec = self._attributes & _CODEC
        data = bytes(self._data[_HEADER.size :])
        if not codec:
            return data
        if codec not in _DECODERS:
            raise CorruptRecordException(f"the batch at offset {self.base_offset} has the unknown codec {codec}")
        return _DECODERS[codec](data)


class WireBatches:
    """The batches of a fetch; takes the place of aiokafka's `MemoryRecords`."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        """Bytes of the whole fetch."""
        return len(self._data)

    def has_next(self) -> bool:
        """Whether a whole batch is left; the last one of a fetch may be cut off."""
        rest = len(self._data) - self._at
        return rest >= _OVERHEAD and rest >= self._size()

    def next_batch(self) -> Any:
        """The next batch.

        Raises:
            CorruptRecordException: it is too short to be one.
        """
        data = self._data[self._at : self._at + self._size()]
        self._at += len(data)
        if len(data) >= _HEADER.size and data[_MAGIC_AT] == _MAGIC and not data[_CRC_FROM + 1] & _CONTROL:
            return WireBatch(data)
        return MemoryRecords(bytes(data)).next_batch()

    def _size(self) -> int:
        size = int(_LENGTH.unpack_from(self._data, self._at + _LENGTH_AT)[0])
        if size < 0:
            raise CorruptRecordException(f"a record batch of {size} bytes")
        return _OVERHEAD + size


class RecordRows:
    """Records as columns over their bytes, in offset order.

    Attributes:
        data: what the positions are in.
        rows: shape (8, n): offset, timestamp, key, key size, value, value size, headers, end.
    """

    __slots__ = ("data", "rows")

    def __init__(self, data: bytes, rows: I8) -> None:
        self.data = data
        self.rows = rows

    @classmethod
    def join(cls, parts: Sequence["RecordRows"]) -> "RecordRows":
        """One after the other."""
        if len(parts) == 1:
            return parts[0]
        rows = np.concatenate([np.empty((RECORD_FIELDS, 0), np.int64), *(part.rows for part in parts)], axis=1)
        base = at = 0
        for part in parts:
            for field in (2, 4, 6, 7):
                rows[field, at : at + len(part)] += base
            at += len(part)
            base += len(part.data)
        return cls(b"".join([part.data for part in parts]), rows)

    def __len__(self) -> int:
        return int(self.rows.shape[1])

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return len(self.data) + self.rows.nbytes

    def since(self, offset: int) -> "RecordRows":
        """The records from an offset on."""
        first = int(np.searchsorted(self.rows[0], offset))
        return RecordRows(self.data, self.rows[:, first:]) if first else self

    @property
    def offsets(self) -> Sequence[int]:
        """Kafka offsets: a range where none is missing."""
        offsets = self.rows[0]
        if offsets.size and int(offsets[-1]) - int(offsets[0]) + 1 == offsets.size:
            return range(int(offsets[0]), int(offsets[-1]) + 1)
        found: list[int] = offsets.tolist()
        return found

    @property
    def keys(self) -> Slices:
        """Record keys."""
        return Slices(self.data, self.rows[2], self.rows[3])

    @property
    def values(self) -> Slices:
        """Record values."""
        return Slices(self.data, self.rows[4], self.rows[5])

    @property
    def timestamps(self) -> "_Timestamps":
        """Record timestamps (ms) by index."""
        return _Timestamps(self.rows)

    @property
    def headers(self) -> "_Headers":
        """Record headers by index."""
        return _Headers(self.data, self.rows)


class RecordObjects:
    """Records as aiokafka parsed them."""

    __slots__ = ("_nbytes", "_records")

    def __init__(self, records: list[Any], nbytes: int | None = None) -> None:
        self._records = records
        self._nbytes = nbytes

    @classmethod
    def join(cls, parts: Sequence["RecordObjects"]) -> "RecordObjects":
        """One after the other."""
        return cls([record for part in parts for record in part._records], sum(part.nbytes for part in parts))

    def __len__(self) -> int:
        return len(self._records)

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        if self._nbytes is None:  # once: to look at each of them is a tenth of making them
            self._nbytes = sum([_OBJECT_BYTES + len(record.value or b"") for record in self._records])
        return self._nbytes

    def since(self, offset: int) -> "RecordObjects":
        """The records from an offset on."""
        if not self._records or self._records[0].offset >= offset:
            return self
        return RecordObjects([record for record in self._records if record.offset >= offset])

    @property
    def offsets(self) -> Sequence[int]:
        """Kafka offsets: a range where none is missing."""
        records = self._records
        if records and records[-1].offset - records[0].offset + 1 == len(records):
            return range(records[0].offset, records[-1].offset + 1)
        return [record.offset for record in records]

    @property
    def keys(self) -> list[bytes | None]:
        """Record keys."""
        return [record.key for record in self._records]

    @property
    def values(self) -> list[bytes | None]:
        """Record values."""
        return [record.value for record in self._records]

    @property
    def timestamps(self) -> "_ObjectTimestamps":
        """Record timestamps (ms) by index."""
        return _ObjectTimestamps(self._records)

    @property
    def headers(self) -> "_ObjectHeaders":
        """Record headers by index."""
        return _ObjectHeaders(self._records)


class _ObjectTimestamps:
    def __init__(self, records: list[Any]) -> None:
        self._records = records

    def __getitem__(self, index: int, /) -> int:
        return int(self._records[index].timestamp)


class _ObjectHeaders:
    def __init__(self, records: list[Any]) -> None:
        self._records = records

    def __getitem__(self, index: int, /) -> tuple[Header, ...]:
        return tuple((name, value) for name, value in self._records[index].headers)


class _Timestamps:
    def __init__(self, rows: I8) -> None:
        self._rows = rows

    def __getitem__(self, index: int, /) -> int:
        return int(self._rows[1, index])


class _Headers:
    def __init__(self, data: bytes, rows: I8) -> None:
        self._data = data
        self._rows = rows

    def __getitem__(self, index: int, /) -> tuple[Header, ...]:
        reader = _Reader(self._data, int(self._rows[6, index]))
        found: list[Header] = []
        for _ in range(reader.varint()):
            name, value = reader.field(), reader.field()
            # A name that is not UTF-8 must not stop a worker; its odd bytes become text that still tells them.
            found.append(((name or b"").decode(errors="backslashreplace"), value))
        return tuple(found)


class _Reader:
    """A position in bytes; running past their end is an IndexError or a ValueError."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def varint(self) -> int:
        """A zigzag number (https://protobuf.dev/programming-guides/encoding/#varints)."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 1 << 7:
                break
        if value >> _LONGEST_VARINT_BITS:
            raise ValueError("it ends inside a record")
        return (value >> 1) ^ -(value & 1)

    def span(self) -> tuple[int, int]:
        """Start and size of a nullable field; a null has size -1."""
        size, start = self.varint(), self.at
        self.at += max(size, 0)
        if self.at > len(self.data):
            raise ValueError("it ends inside a record")
        return start, max(size, -1)

    def field(self) -> bytes | None:
        """A nullable field."""
        start, size = self.span()
        return None if size < 0 else self.data[start : start + size]


def find_records(data: bytes, count: int) -> I8:
    """What `Native.records` does, one by one: for batches that aiokafka's own parser gives up on.

    Raises:
        ValueError: the bytes are not so many records.
    """
    if not 0 <= count <= len(data):
        raise ValueError(f"{count} records in {len(data)} bytes")
    rows = np.empty((RECORD_FIELDS, count), np.int64)
    reader = _Reader(data, 0)
    try:
        for row in range(count):
            end = reader.varint() + reader.at
            reader.at += 1  # attributes, none of which is in use
            timestamp, offset, key, value = reader.varint(), reader.varint(), reader.span(), reader.span()
            headers = reader.at
            for _ in range(_at_least_none(reader.varint())):
                _at_least_none(reader.span()[1])
                reader.span()
            if reader.at != end:
                raise ValueError("the size of a record is not that of its parts")
            rows[:, row] = (offset, timestamp, *key, *value, headers, end)
    except IndexError:
        raise ValueError("it ends inside a record") from None
    if reader.at != len(data):
        raise ValueError("bytes are left behind the last record")
    return rows


def _at_least_none(number: int) -> int:
    if number < 0:
        raise ValueError("the size of a record is not that of its parts")
    return number
