"""Keyed records to one topic in whole batches: order per partition kept, every acknowledgement awaited.

A record costs an append to a buffer instead of aiokafka's future, lock and task of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from schemas.errors import ConfigError
from topology.kafka.client import broker_errors, client_options
from topology.kafka.existing_topics import require_topics
from topology.producer.event_key import partition_for
from topology.settings import Settings

# Below the 1 MiB a batch of the input topic may have (topology/kafka/wanted_topics.py), whatever compression makes of it.
BATCH_BYTES = 500_000
# aiokafka compresses lz4 at level 9, which takes ten times as long as this: longer than everything else a sender does.
COMPRESSION = "snappy"
# A batch's header, a record's header and what compression may add.
_OVERHEAD_BYTES = 1_000


class BatchSender:
    """Fills one batch per partition and sends it when it is full; at most two of a partition are under way.

    Attributes:
        sent: records handed over so far. acknowledged: those of them that the broker has.
        too_large: records that fit in no batch; they were left out.
    """

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions: int) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._open: dict[int, Any] = {}
        # Of each batch how many records it has and its first line.
        self._filled: dict[int, tuple[int, int]] = {}
        self._under_way: dict[asyncio.Future[Any], tuple[int, int]] = {}
        self._lost_line: int | None = None
        self._read_to = 1
        self.acknowledged = 0
        self._error: BaseException | None = None
        self.sent = 0
        self.too_large = 0

    async def send(self, records: Iterable[tuple[bytes | None, bytes]]) -> None:
        """Append records in their order; full batches are sent, the rest waits for more or for `flush`."""
        await self.send_numbered(((self._read_to, key, value) for key, value in records), self._read_to)

    async def send_numbered(self, records: Iterable[tuple[int, bytes | None, bytes]], read_to: int) -> None:
        """The same for records with the number of their line.

        Args:
            records: line, key and value.
            read_to: the line after the last one that was read for them.
        """
        opened, partitions, filled = self._open, self._partitions, self._filled
        for line, key, value in records:
            size = len(value) + len(key or b"")
            if size > BATCH_BYTES - _OVERHEAD_BYTES:
                self.too_large += 1
                continue
            partition = partition_for(key, partitions)
            batch = opened.get(partition)
            if batch is None or batch.append(key=key, value=value, timestamp=None) is None:
                if batch is not None:
                    await self._ship(partition)
                batch = opened[partition] = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
                filled[partition] = (0, line)
            count, first = filled[partition]
            filled[partition] = (count + 1, first)
            self.sent += 1
        self._read_to = read_to

    @property
    def next_line(self) -> int:
        """Every line before this one is acknowledged, or was left out."""
        open_lines = [first for partition, (_, first) in self._filled.items() if partition in self._open]
        under_way = [first for _, first in self._under_way.values()]
        lost = [] if self._lost_line is None else [self._lost_line]
        return min([self._read_to, *open_lines, *under_way, *lost])

    async def flush(self) -> None:
        """Send what waits in open batches; does not wait for acknowledgements."""
        for partition in tuple(self._open):
            await self._ship(partition)

    async def settle(self) -> None:
        """Send everything and return once the broker has all of it.

        Raises:
            KafkaError: a batch could not be delivered.
        """
        await self.flush()
        while self._under_way:
            await asyncio.wait(self._under_way)
        self._check()

    async def _ship(self, partition: int) -> None:
        self._check()
        batch = self._open.pop(partition)
        batch.close()
        future = await self._producer.send_batch(batch, self._topic, partition=partition)
        self._under_way[future] = self._filled[partition]
        future.add_done_callback(self._acknowledged)

    def _acknowledged(self, future: asyncio.Future[Any]) -> None:
        count, first = self._under_way.pop(future)
        if future.cancelled() or (error := future.exception()) is not None:
            self._lost_line = first if self._lost_line is None else min(first, self._lost_line)
            if not future.cancelled():
                self._error = self._error or error
        else:
            self.acknowledged += count

    def _check(self) -> None:
        if isinstance(self._error, MessageSizeTooLargeError):
            raise ConfigError(
                f"topic {self._topic} takes no batch of {BATCH_BYTES:,} bytes; raise its max.message.bytes to 1048588"
            ) from self._error
        if self._error is not None:
            raise self._error


@asynccontextmanager
async def batch_sender(
    settings: Settings, topic: str, compression: str | None = COMPRESSION
) -> AsyncIterator[BatchSender]:
    """A sender to a topic that exists. Leaving the block without an error waits until everything is acknowledged.

    Args:
        settings: of the broker.
        topic: where to.
        compression: a codec of Kafka's, or none.

    Raises:
        ConfigError: the topic is missing.
        BrokerUnavailable: no broker answers, or it went away for longer than the request timeout.
    """
    partitions = (await require_topics(settings, [topic]))[topic]
    async with broker_errors(settings):
        producer = AIOKafkaProducer(
            **client_options(settings),
            enable_idempotence=True,
            compression_type=compression,
            max_batch_size=BATCH_BYTES,
            linger_ms=0,
        )
        try:
            await producer.start()
            sender = BatchSender(producer, topic, partitions)
            yield sender
            await sender.settle()
        finally:
            await producer.stop()
