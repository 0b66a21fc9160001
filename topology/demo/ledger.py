"""Where the worker stands by its own committed word: the `position` records of its changelog."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.outputs import total_ledger
from schemas.state import POSITION_KEY, Ledger, Position, unpack_position
from topology.kafka.client import broker_errors
from topology.kafka.existing_topics import require_topics
from topology.monitor.feed import read_committed_consumer
from topology.settings import Settings

_POLL_MS = 200
_CAUGHT_UP_S = 15.0


class Positions:
    """The newest committed position of each input partition."""

    def __init__(self, consumer: AIOKafkaConsumer, input_topic: str, partitions: int) -> None:
        self._consumer = consumer
        self._input = input_topic
        self._inputs = [TopicPartition(input_topic, number) for number in range(partitions)]
        self._newest: dict[int, Position] = {}

    async def read(self) -> None:
        """Take in what was committed since."""
        fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
        for partition, records in fetched.items():
            for record in records:
                if record.key == POSITION_KEY and record.value is not None:
                    self._newest[partition.partition] = unpack_position(record.value)

    async def catch_up(self) -> None:
        """Take in everything that was committed before this call."""
        partitions = list(self._consumer.assignment())
        ends = await self._consumer.end_offsets(partitions)
        deadline = time.monotonic() + _CAUGHT_UP_S
        while time.monotonic() < deadline:
            if all([await self._consumer.position(partition) >= ends[partition] for partition in partitions]):
                return
            await self.read()

    async def behind(self) -> int:
        """How many records of the input are in no committed position yet."""
        ends = await self._consumer.end_offsets(self._inputs)
        return sum(max(0, end - self._offset(partition.partition)) for partition, end in ends.items())

    def ledger(self) -> Ledger:
        """Where every consumed record of the input went, over all partitions and sources."""
        ledgers = {f"{p}/{topic}": ledger for p, at in self._newest.items() for topic, ledger in at.ledger.items()}
        return total_ledger(ledgers)

    def balanced(self) -> bool:
        """Whether the ledger of every partition and source balances."""
        return all(ledger.balanced for at in self._newest.values() for ledger in at.ledger.values())

    def _offset(self, partition: int) -> int:
        at = self._newest.get(partition)
        return 0 if at is None else at.offsets.get(self._input, 0)


@asynccontextmanager
async def committed_positions(settings: Settings) -> AsyncIterator[Positions]:
    """The positions of this application's tasks, read from the changelog's beginning."""
    input_topic, changelog = settings.topics.module_log_events, settings.changelog_topic
    counts = await require_topics(settings, [input_topic, changelog])
    async with broker_errors(settings):
        consumer = read_committed_consumer(settings)
        try:
            await consumer.start()
            consumer.assign([TopicPartition(changelog, number) for number in range(counts[changelog])])
            await consumer.seek_to_beginning()
            yield Positions(consumer, input_topic, counts[input_topic])
        finally:
            await consumer.stop()
