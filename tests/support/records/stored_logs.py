"""Logs in memory, and a consumer that reads them as the worker's does: spans of batches, and markers that move the position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from topology.records.span import Span
from topology.records.wire_batches import Batch, WireBatches


@dataclass(frozen=True, slots=True)
class StoredLog:
    """One partition.

    Attributes:
        stored: its batches, rising.
        end: the next record's offset; what lies between the last batch and this are markers.
        begin: the first offset that still exists.
    """

    stored: Sequence[bytes]
    end: int
    begin: int = 0

    def fetched(self, position: int) -> Span:
        """The first batch that reaches beyond a position, with the markers behind it."""
        batches: list[Batch] = [WireBatches(data).next_batch() for data in self.stored]
        left = [batch for batch in batches if batch.next_offset > position]
        end = left[1].base_offset if len(left) > 1 else self.end
        return Span(position, end, left[:1])


class LogConsumer:
    """Reads one partition at a time.

    Attributes:
        options: what it was made with. running: whether it was started and not stopped yet.
        stalled: nothing comes any more. pauses: how many empty answers come before each span.
    """

    def __init__(self, logs: Mapping[TopicPartition, StoredLog], **options: Any) -> None:
        self._logs = logs
        self._positions: dict[TopicPartition, int] = {}
        self.options = options
        self.running = False
        self.stalled = False
        self.pauses = 0
        self._paused = 0

    async def start(self) -> None:
        self.running = True

    async def stop(self) -> None:
        self.running = False

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._positions = {partition: self._logs[partition].begin for partition in partitions}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        assert self._logs[partition].begin <= offset <= self._logs[partition].end
        self._positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    async def getmany(self, partition: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Span]]:
        position, log = self._positions[partition], self._logs[partition]
        if self.stalled or position >= log.end:
            return {}
        if self._paused < self.pauses:
            self._paused += 1
            return {}
        self._paused = 0
        span = log.fetched(position)
        self._positions[partition] = span.end
        return {partition: [span]}

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self._logs[partition].begin for partition in partitions}

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self._logs[partition].end for partition in partitions}
