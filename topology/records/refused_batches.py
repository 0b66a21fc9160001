"""Batches of which nothing but the header can be used: too large when decompressed, or not what their header says.

They go through the task as entries of their own, one for a batch, so that position, ledger and letters stay in offset order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.arrays import I8
from pipeline.ingest.batch import NoHeaders
from pipeline.outputs import WholeBatch


@dataclass(frozen=True, slots=True)
class RefusedBatch:
    """One batch.

    Attributes:
        place: its offsets, how many records its header says, and why it is refused.
        timestamp_ms: its newest record's, as its header says.
        data: its bytes as they were fetched, header and all.
    """

    place: WholeBatch
    timestamp_ms: int
    data: bytes

    def since(self, offset: int) -> "RefusedBatch":
        """What is left of it behind records that were taken in before, when the bound was another one."""
        place = self.place
        if offset <= place.first_offset:
            return self
        left = min(place.records, place.last_offset - offset + 1)
        return replace(self, place=place._replace(first_offset=offset, records=left))


class RefusedBatches:
    """Refused batches in offset order, each with the place of its last offset."""

    __slots__ = ("_batches",)

    def __init__(self, batches: list[RefusedBatch]) -> None:
        self._batches = batches

    @classmethod
    def join(cls, parts: Sequence["RefusedBatches"]) -> "RefusedBatches":
        """One after the other."""
        return cls([batch for part in parts for batch in part._batches])

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(len(batch.data) for batch in self._batches)

    def since(self, offset: int) -> "RefusedBatches":
        """Those that reach beyond an offset, from there on."""
        return RefusedBatches([b.since(offset) for b in self._batches if b.place.last_offset >= offset])

    @property
    def next_offset(self) -> int:
        """Behind the last one."""
        return self._batches[-1].place.last_offset + 1

    @property
    def offsets(self) -> list[int]:
        """The last offset of each."""
        return [batch.place.last_offset for batch in self._batches]

    @property
    def timestamps(self) -> list[int]:
        """The newest record's timestamp (ms) of each."""
        return [batch.timestamp_ms for batch in self._batches]

    @property
    def keys(self) -> list[bytes | None]:
        """None has a key."""
        return [None] * len(self)

    @property
    def values(self) -> list[bytes | None]:
        """The bytes of each."""
        return [batch.data for batch in self._batches]

    @property
    def headers(self) -> NoHeaders:
        """None has headers."""
        return NoHeaders()

    @property
    def sizes(self) -> I8:
        """The size of each."""
        return np.array([len(batch.data) for batch in self._batches], np.int64)

    @property
    def largest(self) -> None:
        """All sizes are known."""

    @property
    def whole(self) -> list[WholeBatch]:
        """What each stands for."""
        return [batch.place for batch in self._batches]
