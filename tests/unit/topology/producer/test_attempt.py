"""An attempt that failed, and the next one: the producer counts on from what the broker really has."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    RecordListTooLargeError,
)
from aiokafka.producer.transaction_manager import TransactionManager

from topology.producer.attempt import Attempt
from topology.records.outgoing import EncodedBatch

A, B = TopicPartition("out", 0), TopicPartition("out", 1)


class Producer:
    """Counts as aiokafka's does, by its own manager; the test is the broker that answers."""

    def __init__(self) -> None:
        self._txn_manager = TransactionManager("id", 1_000)
        self.answers: list[asyncio.Future[Any]] = []

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        tp = TopicPartition(topic, partition)
        self._txn_manager.increment_sequence_number(tp, batch.record_count())
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def counted(self, partition: TopicPartition) -> int:
        return int(self._txn_manager.sequence_number(partition))


def batch(records: int, size: int = 10) -> EncodedBatch:
    return EncodedBatch.of(bytes(size), records)


def run(scenario: Callable[[Any], Awaitable[None]]) -> None:
    async def with_producer() -> None:
        await scenario(Producer())

    asyncio.run(with_producer())


def test_what_was_refused_is_not_counted_and_what_was_written_is() -> None:
    async def scenario(producer: Any) -> None:
        producer._txn_manager.increment_sequence_number(A, 100)
        attempt = Attempt(producer)
        for records, partition in ((1, A), (20, B), (3, A), (5, A)):
            await attempt.send(batch(records), partition)
        answers = producer.answers
        answers[0].set_result(None)
        answers[1].set_exception(MessageSizeTooLargeError())
        answers[2].set_exception(RecordListTooLargeError())
        answers[3].set_result(None)
        attempt.forget()
        assert (producer.counted(A), producer.counted(B)) == (106, 0)

    run(scenario)


def test_only_batches_that_were_too_large_are_written_again_smaller() -> None:
    async def scenario(producer: Any) -> None:
        attempt = Attempt(producer)
        for records in (1, 2, 3, 4, 5):
            await attempt.send(batch(records, 10 * records), A)
        answers = producer.answers
        answers[0].set_exception(MessageSizeTooLargeError())
        answers[1].set_exception(NotLeaderForPartitionError())
        answers[2].set_exception(RecordListTooLargeError())
        answers[3].set_result(None)
        answers[4].cancel()
        assert [(sent.records, sent.partition, sent.size_bytes) for sent in attempt.refused()] == [
            (1, A, 61 + 10),
            (3, A, 61 + 30),
        ]

    run(scenario)


def test_a_partition_that_nothing_was_sent_to_keeps_its_count() -> None:
    async def scenario(producer: Any) -> None:
        producer._txn_manager.increment_sequence_number(B, 7)
        attempt = Attempt(producer)
        await attempt.send(batch(1), A)
        producer.answers[0].set_exception(MessageSizeTooLargeError())
        attempt.forget()
        assert (producer.counted(A), producer.counted(B)) == (0, 7)

    run(scenario)


def test_acknowledged_waits_for_every_answer_and_tells_the_error_of_any() -> None:
    async def scenario(producer: Any) -> None:
        attempt = Attempt(producer)
        await attempt.acknowledged()
        await attempt.send(batch(1), A)
        await attempt.send(batch(1), B)
        waiting = asyncio.ensure_future(attempt.acknowledged())
        producer.answers[0].set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        producer.answers[1].set_exception(MessageSizeTooLargeError())
        with pytest.raises(MessageSizeTooLargeError):
            await waiting

    run(scenario)
