"""What was committed is handed over as the contract's records, from the newest on; what is none is counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
from aiokafka import TopicPartition

from pipeline.alerts.fields import EXAMPLE_MODULE, EXAMPLE_SYSTEM
from schemas.metrics import AggregatedMetrics, ModuleMetrics
from topology.monitor.feed import LiveFeed, OutputRecord, _seek

MODULES, SYSTEM = "module-metrics", "system-metrics"
DECODERS = {
    MODULES: msgspec.json.Decoder(ModuleMetrics).decode,
    SYSTEM: msgspec.json.Decoder(AggregatedMetrics).decode,
}
ONE, OTHER = msgspec.json.encode(EXAMPLE_MODULE), msgspec.json.encode(EXAMPLE_SYSTEM)


@dataclass
class Record:
    """A record of a topic."""

    value: bytes | None


@dataclass
class Consumer:
    """Stands for a consumer whose logs hold these records, of which each fetch brings so many of each partition."""

    logs: dict[TopicPartition, list[bytes | None]]
    at_once: int = 100
    begins: dict[TopicPartition, int] = field(default_factory=dict)
    at: dict[TopicPartition, int] = field(default_factory=dict)

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Record]]:
        found = {}
        for partition, log in self.logs.items():
            first = self.at.get(partition, 0)
            if values := log[first : first + self.at_once]:
                found[partition] = [Record(value) for value in values]
                self.at[partition] = first + len(values)
        return found

    def assignment(self) -> set[TopicPartition]:
        return set(self.logs)

    async def position(self, partition: TopicPartition) -> int:
        return self.at.get(partition, 0)

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {one: self.begins.get(one, 0) for one in partitions}

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {one: len(self.logs[one]) for one in partitions}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.at[partition] = offset


def test_each_topic_has_its_kind_of_record_and_what_is_none_is_left_out_and_counted() -> None:
    logs: dict[TopicPartition, list[bytes | None]] = {
        TopicPartition(MODULES, 0): [
            ONE,
            None,
            b"{",
            OTHER[:-1],
            ONE.replace(b"checkout", b"\xff"),
            b"[" * 100_000,
            ONE,
        ],
        TopicPartition(SYSTEM, 0): [OTHER, b"[]"],
    }
    feed = LiveFeed(Consumer(logs), DECODERS)
    found: list[OutputRecord] = []
    assert asyncio.run(feed.read(found.append)) == 9
    assert found == [EXAMPLE_MODULE, EXAMPLE_MODULE, EXAMPLE_SYSTEM]
    assert feed.undecodable == 5, "a tombstone is no fault"
    assert asyncio.run(feed.read(found.append)) == 0


def test_catching_up_hands_over_every_partition_to_the_end_it_had_and_no_further() -> None:
    long, short = TopicPartition(MODULES, 0), TopicPartition(MODULES, 1)
    consumer = Consumer({long: [ONE] * 7, short: [ONE]}, at_once=2)
    found: list[OutputRecord] = []

    def take(record: OutputRecord) -> None:
        found.append(record)
        consumer.logs[long].append(ONE)  # it grows faster than it is read

    asyncio.run(LiveFeed(consumer, DECODERS).catch_up(take))
    assert 8 <= len(found) <= 9
    asyncio.run(LiveFeed(Consumer({long: []}), DECODERS).catch_up(take))


@pytest.mark.parametrize(
    ("tail", "begins", "wanted"), [(None, 3, 3), (4, 0, 6), (4, 8, 8), (50, 0, 0), (50, 3, 3), (0, 0, 10)]
)
def test_it_begins_with_the_newest_records_that_are_still_there_or_with_the_first(
    tail: int | None, begins: int, wanted: int
) -> None:
    partition = TopicPartition(MODULES, 0)
    consumer = Consumer({partition: [ONE] * 10}, begins={partition: begins})
    asyncio.run(_seek(consumer, [partition], tail))
    assert consumer.at == {partition: wanted}
