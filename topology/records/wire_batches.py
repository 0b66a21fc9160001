"""A fetch as its batches, one after the other: every format says in the same place where a batch ends and which one it is."""

import struct

from aiokafka.errors import CorruptRecordException

from topology.records.message_set import MessageSet
from topology.records.record_batch import WireBatch

_LENGTH = struct.Struct(">i")
_LENGTH_AT = 8
_OVERHEAD = 12
_MAGIC_AT = 16
_MAGIC = 2

Batch = WireBatch | MessageSet


class WireBatches:
    """The batches of a fetch; takes the place of aiokafka's `MemoryRecords`."""

    def __init__(self, data: bytes) -> None:
        self._fetched = data
        self._data = memoryview(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        """Bytes of the whole fetch."""
        return len(self._data)

    def has_next(self) -> bool:
        """Whether a whole batch is left; the last one of a fetch may be cut off."""
        rest = len(self._data) - self._at
        # A size that is none is for `next_batch` to report: this is asked where an error would stop all fetching, silently.
        return rest >= _OVERHEAD and (rest >= (size := self._size()) or size < _OVERHEAD)

    def next_batch(self) -> Batch:
        """The next batch.

        Raises:
            CorruptRecordException: it is too short to be one, or of a format nobody knows.
        """
        size, at = self._size(), self._at
        data = self._data[at : at + size]
        if size <= _MAGIC_AT:
            raise CorruptRecordException(f"a record batch of {size} bytes")
        self._at += size
        magic = data[_MAGIC_AT]
        if magic > _MAGIC:
            raise CorruptRecordException(f"a record batch of format {magic}, this build knows {_MAGIC}")
        return WireBatch(data, self._fetched, at) if magic == _MAGIC else MessageSet(data)

    def _size(self) -> int:
        return _OVERHEAD + int(_LENGTH.unpack_from(self._data, self._at + _LENGTH_AT)[0])
