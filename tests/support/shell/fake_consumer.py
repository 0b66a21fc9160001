"""The transport's consumer between a thread and a listener that do what a test says."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import ConsumerStoppedError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from faust.types import TP

from tests.support.broker.records import T0, event
from topology.consumer.fetch import Piece, Span
from topology.consumer.transport import BatchConsumer
from topology.records.wire_batches import Batch, WireBatches
from topology.settings import Settings

A, B = TP("events", 0), TP("events", 1)


def stored_batch(offsets: range) -> bytes:
    """A Kafka batch with a record at each of these offsets, as the broker stores it."""
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 20
    )
    for number, offset in enumerate(offsets):
        assert builder.append(number, T0, b"m", event("m", T0 + offset), []) is not None
    # The producer counts from 0, the broker writes the real offset over it; the checksum does not cover it.
    return struct.pack(">q", offsets.start) + bytes(builder.build())[8:]


def batches(*ranges: range) -> list[Batch]:
    """The same, as they are fetched."""
    return [WireBatches(stored_batch(offsets)).next_batch() for offsets in ranges]


def span_of(*offsets: int) -> Span:
    return Span(offsets[0], offsets[-1] + 1, batches(range(offsets[0], offsets[-1] + 1)))


class FakeThread:
    """A consumer thread that answers what the test says."""

    def __init__(self, *fetches: Mapping[TP, list[Span]] | Exception) -> None:
        self._fetches = list(fetches)
        self.waits_ms: list[int] = []
        self.sought: list[dict[TP, int]] = []
        self.held: list[set[TP]] = []
        self.before_answer: Callable[[], Awaitable[None]] | None = None

    async def getmany(self, partitions: set[TP], wait_s: float) -> Mapping[TP, list[Span]]:
        if not self._fetches:
            raise ConsumerStoppedError
        if self.before_answer is not None:
            await self.before_answer()
        answer = self._fetches.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def read_from(self, offsets: Mapping[TP, int]) -> None:
        self.sought.append(dict(offsets))

    async def hold(self, partitions: set[TP]) -> None:
        self.held.append(set(partitions))

    def wait_for_data(self, wait_ms: int) -> None:
        self.waits_ms.append(wait_ms)


class FakeListener:
    """Notes what it is told; `on_batch` runs while a piece is processed."""

    def __init__(self) -> None:
        self.pieces: list[tuple[TP, int, int]] = []
        self.revocations: list[set[TP]] = []
        self.errors: list[BaseException] = []
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.on_batch: Callable[[TP, Piece], Awaitable[int | None]] | None = None
        self.missing: list[tuple[TP, int]] = []
        self.begin: int | None = None
        self.consumer: Any = None

    async def assigned(self, partitions: set[TP]) -> None:
        await self.may_open.wait()
        await self.consumer.start_reading(dict.fromkeys(partitions, 0))

    async def revoked(self, partitions: set[TP]) -> None:
        self.revocations.append(partitions)

    async def batch(self, partition: TP, piece: Piece) -> int | None:
        self.pieces.append((partition, piece.start, piece.end))
        return None if self.on_batch is None else await self.on_batch(partition, piece)

    async def out_of_range(self, partition: TP, offset: int) -> int | None:
        self.missing.append((partition, offset))
        return self.begin

    def failed(self, error: BaseException) -> None:
        self.errors.append(error)


def consumer_of(thread: FakeThread, listener: FakeListener) -> Any:
    consumer: Any = BatchConsumer.__new__(BatchConsumer)
    consumer.transport = SimpleNamespace(listener=listener, scanners={}, refuse_above={}, settings=Settings())
    BatchConsumer.__post_init__(consumer)
    consumer._thread = thread
    listener.consumer = consumer
    return consumer


async def assign(consumer: Any, *partitions: TP) -> None:
    """A rebalance that gives these partitions, to its end."""
    await consumer.on_partitions_assigned(set(partitions))
    await consumer._transition
