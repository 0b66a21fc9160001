"""One flush, one transaction: outputs, letters, forwarded events, state and offsets are committed together or not at all."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, InvalidProducerIdMapping, KafkaError, ProducerFenced

from pipeline.outputs import Cut, Rejected
from schemas.errors import BrokerUnavailable, ConfigError, TaskFenced
from topology.producer.addressed import Addresses, PackedParcel, Parcel
from topology.producer.attempt import Attempt, Sent
from topology.producer.letters import letter, without_forwarded
from topology.producer.topic_limits import TopicLimits
from topology.records.outgoing import MAX_BATCH_BYTES, size_of_headers
from topology.settings import Settings

log = structlog.get_logger()

# The client waits for a coordinator for ever; a task whose coordinator is away must not hold up the others.
FENCE_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 3.0
# Ends of producers that nobody waits for; held here, or the loop would drop them half way.
_ABANDONED: set[asyncio.Future[Any]] = set()
FENCED = (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping)
# A letter that is refused although it is smaller than this has nothing left to be cut.
_STUB_BYTES = 2_048


def transactional_producer(
    settings: Settings, options: Mapping[str, Any], name: str, timeout_ms: int
) -> AIOKafkaProducer:
    """A producer for closed batches; the newest of a name fences all before it.

    Args:
        settings: of the application.
        options: of the client.
        name: unique in the application.
        timeout_ms: after which the broker aborts a transaction that is left open.
    """
    return AIOKafkaProducer(
        **options,
        transactional_id=f"{settings.application_id}-{name}",
        transaction_timeout_ms=timeout_ms,
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=16 << 20,
        compression_type=None,
        linger_ms=0,
    )


class Transactor:
    """The transactional producer of one task.

    Opening it fences every earlier owner of the same task: their open transaction is aborted and they can commit nothing
    any more.
    """

    def __init__(self, settings: Settings, options: Mapping[str, Any], task_name: str, group_id: str) -> None:
        self._group_id = group_id
        self._task_name = task_name
        self._producer = transactional_producer(settings, options, task_name, settings.kafka.transaction_timeout)
        self._addresses = Addresses(settings)
        self._late, self._dead = settings.topics.late, settings.topics.dlq
        self._limits = TopicLimits(options)
        self._partitions: dict[str, int] = {}

    async def open(self) -> None:
        """Connect and fence.

        aiokafka's `start` returns before the producer id is initialised, so nothing is fenced yet; an empty transaction
        waits for it.

        Raises:
            BrokerUnavailable: nobody coordinates the task's transactions.
        """
        try:
            async with asyncio.timeout(FENCE_TIMEOUT_S):
                await self._producer.start()
                await self._producer.begin_transaction()
                await self._producer.abort_transaction()
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"task {self._task_name}: no broker coordinates its transactions for {FENCE_TIMEOUT_S:g} s; see the leaders of"
                " __transaction_state"
            ) from error

    @property
    def client(self) -> Any:
        """The producer's aiokafka client."""
        return self._producer.client

    async def close(self) -> None:
        """Disconnect. A transaction that is open is left to be aborted by the next owner or by its timeout.

        Never raises for a broker that is away, and does not wait for it for long: the producer is given up in any case.
        """
        stopping = asyncio.ensure_future(self._producer.stop())
        await asyncio.wait([stopping], timeout=CLOSE_TIMEOUT_S)
        if stopping.done():
            error = stopping.exception()
            if error is not None:  # uvloop: a closed transport is a RuntimeError
                log.warning("producer did not close in order", task=self._task_name, error=repr(error))
            return
        log.warning("producer did not close in time", task=self._task_name, within_seconds=CLOSE_TIMEOUT_S)
        stopping.cancel()
        sender = self._producer._sender.sender_task
        if sender is not None:
            sender.cancel()
        _ABANDONED.update({stopping, asyncio.ensure_future(self._producer.client.close())})

    async def commit(
        self,
        cut: Cut,
        partition: int,
        changelog: str,
        offsets: Mapping[TopicPartition, int],
    ) -> Cut:
        """Write a cut and commit it. What a topic does not take is written again, smaller, in another transaction.

        Args:
            cut: everything of one flush.
            partition: the task's partition: of the changelog, and of the outputs modulo their partition counts.
            changelog: the changelog topic.
            offsets: next input offsets, committed to the group in the same transaction (for lag tools and the restore
                check; the task itself goes by its `position` record).

        Returns:
            The cut as it was written: the same, unless the repartition topic did not take a record, which is a dead letter then.

        Raises:
            TaskFenced: another worker owns the task.
            ConfigError: a topic does not take one of our own records; the message names its setting.
        """
        while True:
            attempt = Attempt(self._producer)
            try:
                async with self._producer.transaction():
                    for parcel in [
                        *self._addresses.outputs(cut, partition),
                        *await self._letters(cut, partition),
                        *await self._forwarded(cut),
                        *self._addresses.state(cut, partition, changelog),
                    ]:
                        await self._send(attempt, parcel)
                    await attempt.acknowledged()
                    if offsets:
                        await self._producer.send_offsets_to_transaction(dict(offsets), self._group_id)
                return cut
            except FENCED as error:
                raise TaskFenced(f"task {self._task_name}: another worker has taken it over ({error})") from error
            except KafkaError:
                refused = attempt.refused()
                if not refused:
                    raise
            attempt.forget()
            cut = await self._smaller(cut, refused)

    async def _letters(self, cut: Cut, partition: int) -> Iterator[Parcel]:
        late = [record for record in cut.outbox.rejected if record.reason == "late"]
        dead = [record for record in cut.outbox.rejected if record.reason != "late"]
        bounds = {topic: await self._bound(topic, found) for topic, found in ((self._late, late), (self._dead, dead))}
        return (
            Parcel(topic, partition, (letter(record, bounds[topic]) for record in found))
            for topic, found in ((self._late, late), (self._dead, dead))
        )

    async def _bound(self, topic: str, rejected: list[Rejected]) -> int:
        """What a letter to this topic may have; only a large one is worth a question."""
        large = any(
            len(record.key or b"") + len(record.value or b"") + size_of_headers(record.headers) > MAX_BATCH_BYTES // 2
            for record in rejected
        )
        return await self._limits.record_bytes(topic) if large else self._limits.batch_bytes(topic)

    async def _forwarded(self, cut: Cut) -> Iterator[Parcel | PackedParcel]:
        if not cut.outbox.forwarded:
            return iter(())
        return self._addresses.forwarded(cut, await self._count(self._addresses.repartition))

    async def _count(self, topic: str) -> int:
        count = self._partitions.get(topic)
        if count is None:
            count = self._partitions[topic] = len(await self._producer.partitions_for(topic))
        return count

    async def _send(self, attempt: Attempt, parcel: Parcel | PackedParcel) -> None:
        """Send records to one partition in as few batches as fit; order is kept."""
        topic, partition = parcel.topic, parcel.partition
        for batch in parcel.batches(self._limits.batch_bytes(topic)):
            await attempt.send(batch, TopicPartition(topic, partition % await self._count(topic)))

    async def _smaller(self, cut: Cut, refused: list[Sent]) -> Cut:
        """Learn from what was refused: the next attempt has smaller batches and letters."""
        for sent in refused:
            topic = sent.partition.topic
            most_bytes = await self._limits.refused(topic, sent.size_bytes)
            if sent.records > 1 or (topic in (self._late, self._dead) and sent.size_bytes > _STUB_BYTES):
                continue
            if topic != self._addresses.repartition:
                raise ConfigError(
                    f"topic {topic} takes no record of {sent.size_bytes} bytes, which task {self._task_name} has to write:"
                    f" raise its max.message.bytes, which is {most_bytes} or little more, above that"
                )
            cut = without_forwarded(cut, sent.size_bytes)
        return cut
