"""Records as aiokafka parsed them: the usual way where the compiled part was not built."""

from collections.abc import Sequence
from typing import Any

from pipeline.outputs import Header, WholeBatch

# A record of aiokafka with its key, list of headers and numbers, but for their bytes.
_OBJECT_BYTES = 350


class RecordObjects:
    """Records in offset order, one object each.

    Attributes:
        largest: no record is larger (key, value, and headers with 8 bytes for each).
    """

    __slots__ = ("_bytes", "_records", "largest")

    def __init__(self, records: list[Any], size_bytes: int, largest: int) -> None:
        """Take them over.

        Args:
            records: as aiokafka makes them.
            size_bytes: what they were made of.
            largest: see the class.
        """
        self._records = records
        self._bytes = size_bytes
        self.largest = largest

    @classmethod
    def join(cls, parts: Sequence["RecordObjects"]) -> "RecordObjects":
        """One after the other."""
        records = [record for part in parts for record in part._records]
        return cls(records, sum(part._bytes for part in parts), max(part.largest for part in parts))

    def __len__(self) -> int:
        return len(self._records)

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        return _OBJECT_BYTES * len(self) + self._bytes

    @property
    def sizes(self) -> None:
        """They are not known; `largest` is enough as a rule."""

    def since(self, offset: int) -> "RecordObjects":
        """The records from an offset on."""
        if not self._records or self._records[0].offset >= offset:
            return self
        left = [record for record in self._records if record.offset >= offset]
        return RecordObjects(left, self._bytes, self.largest)

    @property
    def next_offset(self) -> int:
        """Behind the last one."""
        return int(self._records[-1].offset) + 1

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
    def timestamps(self) -> "_Timestamps":
        """Record timestamps (ms) by index."""
        return _Timestamps(self._records)

    @property
    def headers(self) -> "_Headers":
        """Record headers by index."""
        return _Headers(self._records)

    @property
    def whole(self) -> tuple[WholeBatch, ...]:
        """No batch stands here as one."""
        return ()


class _Timestamps:
    def __init__(self, records: list[Any]) -> None:
        self._records = records

    def __getitem__(self, index: int, /) -> int:
        return int(self._records[index].timestamp)


class _Headers:
    def __init__(self, records: list[Any]) -> None:
        self._records = records

    def __getitem__(self, index: int, /) -> tuple[Header, ...]:
        return tuple((name, value) for name, value in self._records[index].headers)
