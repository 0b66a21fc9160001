"""Records as aiokafka parsed them: the usual way where the compiled part was not built."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.ingest.batch import HEADER_BYTES
from pipeline.native import I8
from pipeline.outputs import Header, WholeBatch, headers_bytes

# A record of aiokafka with its key, list of headers and numbers, but for their bytes.
_OBJECT_BYTES = 350


class RecordObjects:
    """Records in offset order, one object each."""

    __slots__ = ("_records", "_sizes")

    def __init__(self, records: list[Any], sizes: I8 | None = None) -> None:
        self._records = records
        self._sizes = sizes

    @classmethod
    def join(cls, parts: Sequence["RecordObjects"]) -> "RecordObjects":
        """One after the other."""
        records = [record for part in parts for record in part._records]
        return cls(records, np.concatenate([np.empty(0, np.int64), *(part.sizes for part in parts)]))

    def __len__(self) -> int:
        return len(self._records)

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        return _OBJECT_BYTES * len(self) + int(self.sizes.sum())

    @property
    def sizes(self) -> I8:
        """The size of each record: key, value, and headers with 8 bytes for each."""
        if self._sizes is None:  # once: to look at each of them is a tenth of making them
            found = [len(record.key or b"") + len(record.value or b"") for record in self._records]
            for index, record in enumerate(self._records):
                if headers := record.headers:
                    found[index] += headers_bytes(headers) + HEADER_BYTES * len(headers)
            self._sizes = np.array(found, np.int64)
        return self._sizes

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
