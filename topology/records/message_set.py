"""Kafka's message sets of before 0.11 (formats v0 and v1), as positions in their bytes.

Brokers of today store no new ones, but still hand out old segments as they are. A compressed set is one message whose value
holds the others.

Format: https://kafka.apache.org/39/documentation.html#messageset
"""

import struct
from collections.abc import Iterator
from zlib import crc32

import numpy as np
from aiokafka.errors import CorruptRecordException

from pipeline.arrays import I8
from pipeline.native import RECORD_FIELDS, Native
from pipeline.outputs import WholeBatch
from pipeline.record_wire import NO_HEADERS
from schemas.errors import PoisonRecord
from topology.records.decompress import LZ4, decompressed
from topology.records.record_rows import ROW_BYTES, RecordRows
from topology.records.refused_batches import RefusedBatch

# Offset, size of what follows, checksum, magic, attributes; then, in v1, a timestamp; then key and value behind their sizes.
_HEAD = struct.Struct(">qiIbb")
_STAMP = struct.Struct(">q")
_SIZE = struct.Struct(">i")
_OVERHEAD = 12
_CRC_OF = 16
_CODEC, _LOG_APPEND_TIME = 0x07, 0x08
_NO_TIMESTAMP = -1


class MessageSet:
    """One message of the log, or the one that holds a compressed set."""

    is_control_batch = False
    is_transactional = False
    producer_id = None

    def __init__(self, data: memoryview) -> None:
        """Look at the head.

        Raises:
            CorruptRecordException: it is too short to be a message.
        """
        if len(data) < _HEAD.size:
            raise CorruptRecordException(f"a message of {len(data)} bytes")
        self._data = data
        self.base_offset, _, self._crc, self._magic, self._attributes = _HEAD.unpack_from(data)
        self.next_offset: int = self.base_offset + 1

    def validate_crc(self) -> bool:
        """Whether the bytes are those that were written."""
        return bool(crc32(self._data[_CRC_OF:]) == self._crc)

    def parts(self, native: Native | None, most_bytes: int, most_records: int, part_bytes: int) -> Iterator[RecordRows]:
        """Its records, in parts of at most so many records and bytes. The compiled part does not know these formats.

        Raises:
            PoisonRecord: it takes more than `most_bytes` when parsed, or is not what it says.
        """
        del native
        outer = _Message(self._data, 0, self._magic)
        if len(self._data) + ROW_BYTES > most_bytes:
            raise PoisonRecord("too_large", f"a message of {len(self._data)} bytes")
        if not self._attributes & _CODEC:
            data = bytes(self._data)
            rows = _rows([outer], [self.base_offset])
            rows[1] = outer.timestamp
        else:
            data = self._value_of(outer, most_bytes)
            messages = list(_messages(memoryview(data), self._magic, most_bytes - len(data)))
            rows = _rows(messages, self._offsets(messages))
            rows[1] = outer.timestamp if self._appended_at else [message.timestamp for message in messages]
        whole = RecordRows(data, rows)
        return whole.parts(most_records, part_bytes)

    @property
    def _appended_at(self) -> bool:
        return bool(self._magic and self._attributes & _LOG_APPEND_TIME)

    def _value_of(self, outer: "_Message", most_bytes: int) -> bytes:
        codec = self._attributes & _CODEC
        if outer.value_size < 0:
            raise PoisonRecord("undecodable", "a compressed message set without a value")
        if codec == LZ4 and not self._magic:  # its frames had a wrong checksum (KAFKA-3160)
            raise PoisonRecord("undecodable", "lz4 in message format v0 cannot be read")
        value = self._data[outer.value : outer.value + outer.value_size]
        return bytes(decompressed(codec, value, most_bytes))

    def _offsets(self, messages: list["_Message"]) -> list[int]:
        """Of a v1 set they count from some number on, and the outer message has the offset of the last."""
        if not messages:
            return []
        base = self.base_offset - messages[-1].offset if self._magic else 0
        offsets = [base + message.offset for message in messages]
        if offsets[0] < 0 or offsets[-1] > self.base_offset or any(np.diff(offsets) <= 0):
            raise PoisonRecord("undecodable", "the offsets of a compressed message set do not rise to its own")
        return offsets

    def refused(self, why: PoisonRecord, begin: int) -> RefusedBatch:
        """One entry for all its records: from what was asked for, for it does not say where it begins."""
        first = min(begin, self.base_offset) if self._attributes & _CODEC else self.base_offset
        place = WholeBatch(first, self.base_offset, self.base_offset - first + 1, why.reason, why.message)
        stamp = _STAMP.unpack_from(self._data, _HEAD.size)[0] if self._stamped else _NO_TIMESTAMP
        return RefusedBatch(place, stamp, bytes(self._data))

    @property
    def _stamped(self) -> bool:
        return bool(self._magic) and len(self._data) >= _HEAD.size + _STAMP.size


class _Message:
    """Where the parts of one message lie."""

    __slots__ = ("attributes", "end", "key", "key_size", "offset", "timestamp", "value", "value_size")

    def __init__(self, data: memoryview, at: int, magic: int) -> None:
        try:
            self.offset, size, _, own_magic, self.attributes = _HEAD.unpack_from(data, at)
            self.end: int = at + _OVERHEAD + size
            at += _HEAD.size
            self.timestamp = _NO_TIMESTAMP
            if magic:
                self.timestamp = _STAMP.unpack_from(data, at)[0]
                at += _STAMP.size
            self.key_size: int = max(_SIZE.unpack_from(data, at)[0], -1)
            self.key = at + _SIZE.size
            at = self.key + max(self.key_size, 0)
            self.value_size: int = max(_SIZE.unpack_from(data, at)[0], -1)
            self.value = at + _SIZE.size
        except struct.error as error:
            raise PoisonRecord("undecodable", "a message set ends inside a message") from error
        if self.end != self.value + max(self.value_size, 0) or self.end > len(data) or own_magic != magic:
            raise PoisonRecord("undecodable", "the size of a message is not that of its parts")


def _messages(data: memoryview, magic: int, most_bytes: int) -> Iterator[_Message]:
    """What a compressed set holds; its rows must fit in so many bytes."""
    at = 0
    left = most_bytes // ROW_BYTES
    while at < len(data):
        if not left:
            raise PoisonRecord("too_large", "a compressed message set takes too much when parsed")
        left -= 1
        message = _Message(data, at, magic)
        if message.attributes & _CODEC:
            raise PoisonRecord("undecodable", "a message set is compressed twice")
        yield message
        at = message.end


def _rows(messages: list[_Message], offsets: list[int]) -> I8:
    """As `Native.records` gives them, but for headers, which there are none of."""
    rows = np.empty((RECORD_FIELDS, len(messages)), np.int64)
    for row, (message, offset) in enumerate(zip(messages, offsets, strict=True)):
        size = max(message.key_size, 0) + max(message.value_size, 0)
        rows[:, row] = offset, 0, message.key, message.key_size, message.value, message.value_size, NO_HEADERS, size
    return rows
