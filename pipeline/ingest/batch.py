"""A fetched batch of one source partition, as parallel lists in offset order."""

from dataclasses import dataclass
from typing import Protocol

from pipeline.outputs import Header


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
    """Records of one topic partition; all lists have the same length.

    Attributes:
        forwarded: the batch comes from the repartition topic, so its keys are module ids already.
    """

    topic: str
    partition: int
    offsets: list[int]
    timestamps: list[int]
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
            self.timestamps[cut],
            self.keys[cut],
            self.values[cut],
            [self.headers[i] for i in range(low, high)],
            self.forwarded,
        )
