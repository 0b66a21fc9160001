"""One flush, one Kafka transaction: outputs, state, position and input offsets are committed together or not at all."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, InvalidProducerIdMapping, ProducerFenced

from pipeline.outputs import Cut, Emitted, Forwarded, Header, Rejected, Role
from schemas.errors import TaskFenced
from schemas.state import POSITION_KEY, pack_position
from topology.partitioner import partition_of
from topology.settings import Settings

Record = tuple[bytes | None, bytes | None, list[Header], int]

log = structlog.get_logger()

CLOSE_TIMEOUT_S = 3.0
# A Kafka batch is written and read whole; broker and topics take 1 MiB by default.
MAX_BATCH_BYTES = 900_000
# The late and dead-letter topics take 8 MiB (topology/topics.py); a compressed input batch can hold more than that.
MAX_LETTER_BYTES = 7 << 20
# Ends of producers that nobody waits for; held here, or the loop would drop them half way.
_ABANDONED: set[asyncio.Future[Any]] = set()
FENCED = (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping)


@lru_cache(maxsize=4_096)
def _rfc3339(time_ms: int) -> bytes:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()


class Transactor:
    """The transactional producer of one task.

    Opening it fences every earlier owner of the same task: their open transaction is aborted and they can commit nothing
    any more.
    """

    def __init__(self, settings: Settings, options: Mapping[str, Any], task_name: str, group_id: str) -> None:
        self._settings = settings
        self._group_id = group_id
        self._task_name = task_name
        self._producer = AIOKafkaProducer(
            **options,
            transactional_id=f"{settings.application_id}-{task_name}",
            transaction_timeout_ms=settings.kafka.transaction_timeout,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=16 << 20,
            compression_type=None,
            linger_ms=0,
        )
        topics = settings.topics
        self._topics: dict[Role, str] = {
            "module_metrics": topics.module_metrics,
            "system_metrics": topics.system_metrics,
            "module_alerts": topics.module_alerts,
            "health_status": topics.health_status,
        }
        self._fixed_headers: dict[Role, list[Header]] = {
            role: [
                ("ce_specversion", b"1.0"),
                ("ce_type", f"modpulse.{role.replace('_', '-')}.v1".encode()),
                ("ce_source", f"/modpulse/{settings.application_id}".encode()),
            ]
            for role in self._topics
        }
        self._partitions: dict[str, int] = {}

    async def open(self) -> None:
        """Connect and fence.

        aiokafka's `start` returns before the producer id is initialised, so nothing is fenced yet; an empty transaction
        waits for it.
        """
        await self._producer.start()
        await self._producer.begin_transaction()
        await self._producer.abort_transaction()

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
    ) -> None:
        """Write a cut and commit it.

        Args:
            cut: everything of one flush.
            partition: the task's partition: of the changelog, and of the outputs modulo their partition counts.
            changelog: the changelog topic.
            offsets: next input offsets, committed to the group in the same transaction (for lag tools and the restore
                check; the task itself goes by its `position` record).

        Raises:
            TaskFenced: another worker owns the task.
        """
        try:
            async with self._producer.transaction():
                pending = await self._send_outputs(cut, partition)
                state: list[Record] = [(key, value, [], 0) for key, value in cut.state]
                state.append((POSITION_KEY, pack_position(cut.position), [], 0))
                pending += await self._send(changelog, partition, state)
                await asyncio.gather(*pending)
                if offsets:
                    await self._producer.send_offsets_to_transaction(dict(offsets), self._group_id)
        except FENCED as error:
            raise TaskFenced(f"task {self._task_name}: another worker has taken it over ({error})") from error

    async def _send_outputs(self, cut: Cut, partition: int) -> list[asyncio.Future[Any]]:
        by_role: dict[Role, list[Emitted]] = {}
        for record in cut.outbox.emitted:
            by_role.setdefault(record.role, []).append(record)
        pending: list[asyncio.Future[Any]] = []
        for role, emitted in by_role.items():
            pending += await self._send(self._topics[role], partition, self._emitted(role, emitted))
        topics = self._settings.topics
        late = [_letter(record) for record in cut.outbox.rejected if record.reason == "late"]
        dead = [_letter(record) for record in cut.outbox.rejected if record.reason != "late"]
        pending += await self._send(topics.late, partition, late)
        pending += await self._send(topics.dlq, partition, dead)
        if cut.outbox.forwarded:
            pending += await self._forward(cut.outbox.forwarded)
        partials: list[Record] = [(key, value, [], 0) for key, value in cut.partials]
        pending += await self._send(self._settings.partials_topic, 0, partials)
        return pending

    async def _forward(self, forwarded: list[Forwarded]) -> list[asyncio.Future[Any]]:
        topic = self._settings.repartition_topic
        count = await self._count(topic)
        by_partition: dict[int, list[Record]] = {}
        for record in forwarded:
            key = record.module_id.encode()
            target = by_partition.setdefault(partition_of(key, count), [])
            target.append((key, record.value, list(record.headers), record.timestamp_ms))
        pending: list[asyncio.Future[Any]] = []
        for partition, records in by_partition.items():
            pending += await self._send(topic, partition, records)
        return pending

    def _emitted(self, role: Role, emitted: list[Emitted]) -> list[Record]:
        topic, fixed = self._topics[role].encode(), self._fixed_headers[role]
        return [
            (
                record.key,
                record.value,
                [
                    *fixed,
                    ("ce_id", b"%s/%s/%d" % (topic, record.key, record.revision)),
                    ("ce_time", _rfc3339(record.time_ms)),
                ],
                0,
            )
            for record in emitted
        ]

    async def _count(self, topic: str) -> int:
        count = self._partitions.get(topic)
        if count is None:
            count = self._partitions[topic] = len(await self._producer.partitions_for(topic))
        return count

    async def _send(self, topic: str, partition: int, records: Iterable[Record]) -> list[asyncio.Future[Any]]:
        """Send records to one partition in as few batches as fit; order is kept."""
        pending: list[asyncio.Future[Any]] = []
        batch = None
        for key, value, headers, timestamp_ms in records:
            timestamp = timestamp_ms or None
            if (
                batch is not None
                and batch.append(key=key, value=value, headers=headers, timestamp=timestamp) is not None
            ):
                continue
            if batch is not None:
                pending.append(await self._send_batch(batch, topic, partition))
            batch = self._producer.create_batch()
            batch.append(key=key, value=value, headers=headers, timestamp=timestamp)
        if batch is not None:
            pending.append(await self._send_batch(batch, topic, partition))
        return pending

    async def _send_batch(self, batch: Any, topic: str, partition: int) -> asyncio.Future[Any]:
        batch.close()
        target = partition % await self._count(topic)
        sent: asyncio.Future[Any] = await self._producer.send_batch(batch, topic, partition=target)
        return sent


def _letter(record: Rejected) -> Record:
    headers: list[Header] = [
        *record.headers,
        ("modpulse.errors.reason", record.reason.encode()),
        ("modpulse.errors.message", record.message.encode()),
        ("modpulse.errors.topic", record.topic.encode()),
        ("modpulse.errors.partition", b"%d" % record.partition),
        ("modpulse.errors.offset", b"%d" % record.offset),
        ("modpulse.errors.timestamp", b"%d" % record.timestamp_ms),
    ]
    value = record.value
    if value is not None and len(value) > MAX_LETTER_BYTES:
        headers.append(("modpulse.errors.truncated", b"%d" % len(value)))
        value = value[:MAX_LETTER_BYTES]
    return record.key, value, headers, record.timestamp_ms
