"""Whatever is on the topic, read as letters; without a broker."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition

from pipeline.outputs import RawName
from tests.support.records import wire
from tests.support.records.letters import said
from tests.support.records.wire import Rec
from topology.dead_letters.reader import LetterReader, letters_of
from topology.records.span import Span
from topology.records.wire_batches import WireBatches


def test_any_batch_on_the_topic_is_letters() -> None:
    """Names that are not UTF-8, nulls, and what cannot be read at all: nothing of it ends the reader."""
    raw = RawName(b"\xff\xfe")
    known = tuple((name.encode(), value) for name, value in said())
    stored = wire.batch([Rec(0, 1, None, None), Rec(1, 2, b"k", b"v", ((b"\xff\xfe", None), *known))])
    stored += wire.framed(b"garbage", base=2, count=3, last_delta=2, max_stamp=5, attributes=wire.ZSTD)
    stored += wire.bomb([70 << 20], base=5)
    batches, taken = WireBatches(stored), []
    while batches.has_next():
        taken.append(batches.next_batch())
    pieces = Span(0, 6, taken).pieces(10, refuse_above=64 << 20)
    found = [letter for piece in pieces for letter in letters_of("dlq", 4, piece)]
    assert [(one.offset, one.timestamp_ms, one.key, one.reason) for one in found] == [
        (0, 1, None, "unknown"),
        (1, 2, b"k", "invalid"),
        (4, 5, None, "unknown"),
        (5, 0, None, "unknown"),
    ]
    assert found[1].own_headers == ((raw, None),)
    assert "cannot be read" in found[2].message
    assert "too large" in found[3].message


class Topic:
    """A topic that somebody goes on writing to: a fetch reaches beyond the end that was told."""

    def __init__(self, offsets: dict[TopicPartition, list[int]], ends: dict[TopicPartition, int]) -> None:
        self._offsets = offsets
        self._ends = ends
        self._positions: dict[TopicPartition, int] = {}

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self._ends[partition] for partition in partitions}

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._positions = dict.fromkeys(partitions, 0)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    async def getmany(self, partition: TopicPartition, *, timeout_ms: int) -> dict[TopicPartition, list[Span]]:
        """Three records at a time; a compacted stretch is passed over."""
        begin = self._positions[partition]
        rows = [offset for offset in self._offsets[partition] if offset >= begin][:3]
        end = rows[-1] + 1 if rows else self._ends[partition]
        batches = WireBatches(b"".join(wire.batch([Rec(offset, 1, None, b"v")]) for offset in rows))
        self._positions[partition] = end
        taken = []
        while batches.has_next():
            taken.append(batches.next_batch())
        return {partition: [Span(begin, end, taken)]}


def test_each_partition_is_read_from_what_still_exists_to_the_end_as_it_was_when_asked() -> None:
    first, second, empty = (TopicPartition("dlq", number) for number in range(3))
    offsets = {first: [*range(2, 9), *range(20, 40)], second: [0, 1, 2, 3], empty: [7, 8]}
    topic: Any = Topic(offsets, {first: 23, second: 2, empty: 7})
    reader = LetterReader(topic, [first, second, empty], {0: 2, 1: 0, 2: 7})

    async def run() -> list[tuple[int, int]]:
        return [(letter.partition, letter.offset) async for letter in reader.letters()]

    wanted = [*[(0, offset) for offset in [*range(2, 9), 20, 21, 22]], (1, 0), (1, 1)]
    assert asyncio.run(run()) == wanted
    assert reader.read == len(wanted)
