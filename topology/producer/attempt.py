"""One attempt to write a transaction: what was sent, what became of it, and how another attempt can follow.

A batch that the broker refuses for its size is not in the log, but aiokafka has counted its records: every later batch of that
partition would be out of order. To open the producer anew would count from the beginning, and could fence a worker that has taken
the task over meanwhile. So the count is set back, which is why this touches aiokafka's internals (`topology.consumer.fetch`
checks its version).
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from topology.records.outgoing import Builder

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(frozen=True, slots=True)
class Sent:
    """One batch. `done` ends with the broker's answer."""

    partition: TopicPartition
    records: int
    size_bytes: int
    done: asyncio.Future[Any]


class Attempt:
    """The batches of one transaction, in order."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        """Note how far the producer has counted."""
        self._producer = producer
        self._counted: dict[TopicPartition, int] = dict(producer._txn_manager._sequence_numbers)
        self._sent: list[Sent] = []

    async def send(self, batch: Builder, partition: TopicPartition) -> None:
        """Hand a batch over; it is not acknowledged yet."""
        records, size = batch.record_count(), batch.size()
        done = await self._producer.send_batch(batch, partition.topic, partition=partition.partition)
        done.add_done_callback(
            _look_at
        )  # the error of a batch is that of its transaction; asyncio need not tell it again
        self._sent.append(Sent(partition, records, size, done))

    async def acknowledged(self) -> None:
        """Return when the broker has everything.

        Raises:
            KafkaError: it has not.
        """
        await asyncio.gather(*(sent.done for sent in self._sent))

    def refused(self) -> list[Sent]:
        """The batches that were too large; to be asked when the transaction was aborted."""
        return [sent for sent in self._sent if isinstance(_error(sent), TOO_LARGE)]

    def forget(self) -> None:
        """Count only what the broker has, so that the next attempt follows it."""
        written: Counter[TopicPartition] = Counter()
        for sent in self._sent:
            written[sent.partition] += 0 if _error(sent) else sent.records
        manager = self._producer._txn_manager
        for partition, records in written.items():
            manager._sequence_numbers[partition] = self._counted.get(partition, 0)
            manager.increment_sequence_number(partition, records)


def _look_at(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()


def _error(sent: Sent) -> BaseException | None:
    """Why the broker does not have it; an abort waits for every answer."""
    return sent.done.exception() if sent.done.done() and not sent.done.cancelled() else None
