"""A fetched batch of one source partition, as parallel lists in offset order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.outputs import Header


class Timestamps(Protocol):
    """Record timestamps (ms) by index; read only for records that need them."""

    def __getitem__(self, index: int, /) -> int:
        """The timestamp of one record."""


class Headers(Protocol):
    """Headers by index into the batch; read only for records that need them."""

    def __getitem__(self, index: int, /) -> tuple[Header, ...]:
        """The headers of one record."""


class NoHeaders:
    """No record of the batch has headers."""

    def __getitem__(self, index: int, /) -> tuple[Header, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one topic partition, offsets rising; all columns have the same length.

    Attributes:
        forwarded: the batch comes from the repartition topic, so its keys are module ids already.
    """

    topic: str
    partition: int
    offsets: Sequence[int]
    timestamps: Timestamps
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: Headers
    forwarded: bool = False

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, low: int, high: int) -> "RecordBatch":
        """Records [low, high) of this batch."""
        cut = slice(low, high)
        return RecordBatch(
            self.topic,
            self.partition,
            self.offsets[cut],
            [self.timestamps[i] for i in range(low, min(high, len(self)))],
            self.keys[cut],
            self.values[cut],
            [self.headers[i] for i in range(low, min(high, len(self)))],
            self.forwarded,
        )
