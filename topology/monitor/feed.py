"""The worker's outputs as they are committed, read without a group: for the live view, and for counting them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from schemas.alerts import Alert
from schemas.metrics import AggregatedMetrics, ModuleMetrics
from schemas.valid.words import DECODE_ERRORS
from topology.kafka.client import broker_errors, client_options
from topology.kafka.existing_topics import require_topics
from topology.settings import Settings

OutputRecord = ModuleMetrics | AggregatedMetrics | Alert

# Enough to know every module and every alert, little enough to be read at once.
_TAIL_RECORDS = 5_000
_POLL_MS = 200
_CAUGHT_UP_S = 15.0
_ASK_EVERY_S = 2.0
_ANSWER_S = 3.0


class LiveFeed:
    """Reads `module-metrics`, `system-metrics` and `module-alerts` and hands over what it reads.

    Attributes:
        undecodable: records that are not what the contract says; they are left out.
    """

    def __init__(self, consumer: AIOKafkaConsumer, decoders: dict[str, Any]) -> None:
        self._consumer = consumer
        self._decoders = decoders
        self.undecodable = 0
        self._heard_s = time.monotonic()
        self._asking: asyncio.Task[None] | None = None

    @property
    def unheard_s(self) -> float:
        """For how long the broker has not answered."""
        return time.monotonic() - self._heard_s

    def _ask(self) -> None:
        """See to it that the broker is asked now and then, without waiting for it. A fetch alone does not tell."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_broker())

    async def _ask_broker(self) -> None:
        partition = next(iter(self._consumer.assignment()))
        try:
            await asyncio.wait_for(self._consumer.end_offsets([partition]), _ANSWER_S)
        except (errors.KafkaError, TimeoutError, OSError):
            return
        self._heard_s = time.monotonic()
        await asyncio.sleep(_ASK_EVERY_S)

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def read(self, take: Callable[[OutputRecord], None]) -> int:
        """Hand over what is there, or comes within a moment; returns how many records."""
        self._ask()
        fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
        count = 0
        for partition, records in fetched.items():
            decode = self._decoders[partition.topic]
            for record in records:
                count += 1
                if record.value is None:  # a tombstone of somebody's retention
                    continue
                try:
                    take(decode(record.value))
                except DECODE_ERRORS:
                    self.undecodable += 1
        return count

    async def catch_up(self, take: Callable[[OutputRecord], None]) -> None:
        """Hand over everything that was committed before this call, or as much as comes within 15 s."""
        partitions = list(self._consumer.assignment())
        ends = await self._consumer.end_offsets(partitions)
        deadline = time.monotonic() + _CAUGHT_UP_S
        while time.monotonic() < deadline:
            behind = [p for p in partitions if await self._consumer.position(p) < ends[p]]
            if not behind:
                return
            await self.read(take)


@asynccontextmanager
async def live_feed(settings: Settings, *, from_beginning: bool = False) -> AsyncIterator[LiveFeed]:
    """A feed that begins with the newest records of each partition, or with the first.

    Raises:
        ConfigError: a topic is missing.
        BrokerUnavailable: no broker answers.
    """
    topics = settings.topics
    decoders = {
        topics.module_metrics: msgspec.json.Decoder(ModuleMetrics).decode,
        topics.system_metrics: msgspec.json.Decoder(AggregatedMetrics).decode,
        topics.module_alerts: msgspec.json.Decoder(Alert).decode,
    }
    counts = await require_topics(settings, list(decoders))
    async with broker_errors(settings):
        consumer = read_committed_consumer(settings)
        try:
            await consumer.start()
            partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
            consumer.assign(partitions)
            await _seek(consumer, partitions, _TAIL_RECORDS if not from_beginning else None)
            feed = LiveFeed(consumer, decoders)
            try:
                yield feed
            finally:
                await feed.close()
        finally:
            await consumer.stop()


def read_committed_consumer(settings: Settings) -> AIOKafkaConsumer:
    """A consumer without a group that sees only what was committed."""
    return AIOKafkaConsumer(
        **client_options(settings),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_POLL_MS,
    )


async def _seek(consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition], tail: int | None) -> None:
    firsts = await consumer.beginning_offsets(list(partitions))
    ends = await consumer.end_offsets(list(partitions)) if tail is not None else {}
    for partition, first in firsts.items():
        consumer.seek(partition, first if tail is None else max(first, ends[partition] - tail))
