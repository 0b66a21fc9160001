"""Kafka's record batches (format v2) as they came in a fetch, still compressed; who needs their records asks for them.

Where the compiled part was built, records are positions; else aiokafka's objects as a rule, which say the same. What a batch may
take is bounded, whatever it claims: its bytes, and 64 more for each record and each header.

Format: https://kafka.apache.org/documentation/#recordbatch
"""

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import calc_crc32c

from pipeline.arrays import I8
from pipeline.native import Native, TooManyHeadersError
from pipeline.outputs import WholeBatch
from schemas.errors import PoisonRecord
from topology.records.decompress import NONE, decompressed, disown
from topology.records.find_records import find_records, largest_record
from topology.records.record_objects import RecordObjects
from topology.records.record_rows import HEADERS, KEY, OFFSET, ROW_BYTES, TIMESTAMP, VALUE, RecordRows, bounds, cuts
from topology.records.refused_batches import RefusedBatch

# BaseOffset, Length, LeaderEpoch, Magic, CRC, Attributes, LastOffsetDelta, FirstTimestamp, MaxTimestamp, ProducerId,
# ProducerEpoch, BaseSequence, Count
_HEADER = struct.Struct(">qiibIhiqqqhii")
_CRC_FROM = 21
_ATTRIBUTES = struct.Struct(">h")
_CODEC, _LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
# What the size of a record may be of its bytes: a header of two counts as eight.
_MOST_BY_SIZE = 4
# What aiokafka may make objects of: an object, and each of its headers, is thirty times what two bytes of a batch can claim.
_OBJECTS_RECORDS, _OBJECTS_BYTES = 16_000, 2 << 20


class WireBatch:
    """One batch of format v2. The public names but the last three are those of aiokafka's batches, which its fetcher looks at."""

    def __init__(self, data: memoryview, fetched: bytes | None = None, at: int = 0) -> None:
        """Look at the header.

        Args:
            data: the batch.
            fetched: the whole fetch it is in.
            at: where.

        Raises:
            CorruptRecordException: it is too short to be a batch.
        """
        if len(data) < _HEADER.size:
            raise CorruptRecordException(f"a record batch of {len(data)} bytes")
        self._data = data
        self._fetched = bytes(data) if fetched is None else fetched
        self._at = at
        fields = _HEADER.unpack_from(data)
        self.base_offset: int = fields[0]
        self._crc: int = fields[4]
        self._attributes: int = fields[5]
        self._last_delta: int = fields[6]
        # A header that lies must not lead back, or the same batch is fetched for ever.
        self.next_offset: int = fields[0] + max(fields[6], 0) + 1
        self._first_timestamp: int = fields[7]
        self._max_timestamp: int = fields[8]
        self.producer_id: int = fields[9]
        self._count: int = fields[12]

    @property
    def is_transactional(self) -> bool:
        """Whether it was written in a transaction."""
        return bool(self._attributes & _TRANSACTIONAL)

    @property
    def is_control_batch(self) -> bool:
        """Whether it is a marker of the broker's."""
        return bool(self._attributes & _CONTROL)

    def validate_crc(self) -> bool:
        """Whether the bytes are those that were written."""
        return bool(calc_crc32c(self._data[_CRC_FROM:]) == self._crc)

    def parts(
        self, native: Native | None, most_bytes: int, most_records: int, part_bytes: int
    ) -> Iterator[RecordRows | RecordObjects]:
        """Its records, in parts of at most so many records and bytes; parts do not hold each other in memory.

        Args:
            native: the compiled part, to find records by position.
            most_bytes: what all of it may take when parsed.
            most_records: of a part; without the compiled part a small batch is one part in any case.
            part_bytes: likewise.

        Raises:
            PoisonRecord: `too_large`, it takes more; `undecodable`, it is not what its header says.
        """
        body = self._data[_HEADER.size :]
        if not self._count and not len(body):
            return iter(())  # compaction took all records and left the header
        if not 0 <= self._count <= self._last_delta + 1:
            raise PoisonRecord(
                "undecodable", f"its header says {self._count} records and {self._last_delta + 1} offsets"
            )
        left = most_bytes - ROW_BYTES * self._count
        codec = self._attributes & _CODEC
        view = decompressed(codec, body, left) if codec != NONE else body
        if left < len(view):
            raise PoisonRecord("too_large", f"{self._count} records in {len(view)} bytes")
        most_headers = (left - len(view)) // ROW_BYTES
        if native is None and (objects := self._objects(view, most_headers)) is not None:
            return iter((objects,))
        base = self._at + _HEADER.size if codec == NONE else 0
        rows = self._rows(native, view, base, most_headers)
        # Usual batches are far below, and need no sum.
        one = self._count <= most_records and _MOST_BY_SIZE * len(view) + ROW_BYTES * self._count <= part_bytes
        if codec == NONE:
            whole = RecordRows(self._fetched, rows, base, base + len(view))
            return iter((whole,)) if one else whole.parts(most_records, part_bytes)
        return iter((RecordRows(bytes(view), rows),)) if one else _copies(view, rows, most_records, part_bytes)

    def _rows(self, native: Native | None, view: memoryview, base: int, most_headers: int) -> I8:
        try:
            find = find_records if native is None else native.records
            rows = find(view, base, self._count, most_headers)
        except TooManyHeadersError as error:
            raise _too_many_headers(most_headers) from error
        except ValueError as error:
            # The two parsers find the same batches broken, but not with the same words.
            raise self._not_as_said() from error
        if self._count and rows[OFFSET, -1] > self._last_delta:
            raise self._not_as_said()
        rows[OFFSET] += self.base_offset
        if self._attributes & _LOG_APPEND_TIME:
            rows[TIMESTAMP] = self._max_timestamp
        else:
            rows[TIMESTAMP] += self._first_timestamp
        return rows

    def _objects(self, view: memoryview, most_headers: int) -> RecordObjects | None:
        """The records as aiokafka makes them; None where it is not to be asked, or cannot read them as they are.

        Raises:
            PoisonRecord: its offsets are not those its header says, or it has too many headers.
        """
        if self._count > _OBJECTS_RECORDS or len(view) > _OBJECTS_BYTES:
            return None
        largest = largest_record(view, self._count)
        if largest is None:
            return None
        head = bytearray(self._data[: _HEADER.size])
        _ATTRIBUTES.pack_into(head, _CRC_FROM, self._attributes & ~_CODEC)
        try:
            records: list[Any] = list(DefaultRecordBatch(bytes(head) + view))
        except (CorruptRecordException, UnicodeDecodeError):  # broken, or the name of a header: the other parser knows
            return None
        if len(view) // 2 > most_headers and sum(len(record.headers) for record in records) > most_headers:
            raise _too_many_headers(most_headers)
        offsets = [record.offset for record in records]
        first, end = self.base_offset, self.base_offset + self._last_delta + 1
        if offsets != list(range(first, first + self._count)) and (
            # Compaction took some, or they are not what they should be.
            offsets != sorted(set(offsets)) or not first <= offsets[0] <= offsets[-1] < end
        ):
            raise self._not_as_said()
        return RecordObjects(records, len(view), _MOST_BY_SIZE * largest)

    def _not_as_said(self) -> PoisonRecord:
        return PoisonRecord("undecodable", f"it does not hold the {self._count} records its header says")

    def refused(self, why: PoisonRecord, begin: int) -> RefusedBatch:
        """The entry that stands for its records from `begin` on; how many there are its header says, within its offsets."""
        last = self.next_offset - 1
        records = min(max(self._count, 1), last - self.base_offset + 1)
        place = WholeBatch(self.base_offset, last, records, why.reason, why.message)
        return RefusedBatch(place, self._max_timestamp, bytes(self._data)).since(begin)

    def control_key(self) -> bytes:
        """The key of the marker in a control batch, which says what it ends.

        Raises:
            CorruptRecordException: it holds none.
        """
        try:
            rows = find_records(self._data[_HEADER.size :], 0, self._count, 0)
        except ValueError as error:
            raise CorruptRecordException(f"the marker at offset {self.base_offset}: {error}") from error
        keys = RecordRows(bytes(self._data[_HEADER.size :]), rows).keys
        if not len(keys) or (key := keys[0]) is None:
            raise CorruptRecordException(f"the marker at offset {self.base_offset} says nothing")
        return key


def _too_many_headers(most_headers: int) -> PoisonRecord:
    return PoisonRecord("too_large", f"its records have more than {max(most_headers, 0)} headers")


def _copies(view: memoryview, rows: I8, most_records: int, part_bytes: int) -> Iterator[RecordRows]:
    """Parts with bytes of their own, for the buffer of the view is used again."""
    places = list(cuts(rows, most_records, part_bytes))
    if len(places) == 1:
        return iter((RecordRows(bytes(view), rows),))
    disown()
    return (_copy(view, rows, low, high) for low, high in places)


def _copy(view: memoryview, rows: I8, low: int, high: int) -> RecordRows:
    begin, end = bounds(rows, low, high, 0, len(view))
    own = rows[:, low:high].copy()
    own[[KEY, VALUE, HEADERS]] -= begin
    return RecordRows(bytes(view[begin:end]), own)
