"""Records in whole batches: which batch and partition each gets, what is left out, and how a refusal comes out."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError
from tests.support.core.cores import fixed
from tests.truth import partition_of
from topology.traffic import batch_sender as module_under_test
from topology.traffic.batch_sender import BATCH_BYTES, BatchSender

Sent = tuple[bytes | None, bytes]


class Batch:
    """Records that were taken, as they were given."""

    def __init__(self, builder: BatchBuilder) -> None:
        self._builder = builder
        self.records: list[Sent] = []
        self.closed = False

    def append(self, *, key: bytes | None, value: bytes, timestamp: None) -> Any:
        taken = self._builder.append(key=key, value=value, timestamp=timestamp)
        if taken is not None:
            self.records.append((key, value))
        return taken

    def close(self) -> None:
        self.closed = True


class Producer:
    """Takes batches; the broker answers when it is told to, with an error if there is one."""

    def __init__(self, batch_bytes: int = BATCH_BYTES, answer: BaseException | None = None) -> None:
        self._batch_bytes = batch_bytes
        self._answer = answer
        self.sent: list[tuple[int, list[Sent]]] = []
        self.open: list[asyncio.Future[None]] = []

    def create_batch(self) -> Batch:
        return Batch(BatchBuilder(self._batch_bytes, 0))

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[None]:
        assert batch.closed
        assert topic == "events"
        self.sent.append((partition, batch.records))
        self.open.append(asyncio.get_running_loop().create_future())
        return self.open[-1]

    def acknowledge(self) -> None:
        for future in self.open:
            if not future.done():
                future.set_exception(self._answer) if self._answer else future.set_result(None)


def sender_of(producer: Any, partitions: int = 3) -> BatchSender:
    return BatchSender(producer, "events", partitions)


async def settled(sender: BatchSender, producer: Producer) -> None:
    settling = asyncio.ensure_future(sender.settle())
    await asyncio.sleep(0)
    producer.acknowledge()
    await settling


KEYS = st.sampled_from([None, b"a", b"b", b"c", b"shop"])


@fixed(40)
@given(st.lists(st.tuples(KEYS, st.binary(max_size=400)), max_size=60), st.integers(1, 4), st.lists(st.integers(1, 20)))
def test_every_record_goes_out_once_in_the_order_of_its_partition_however_they_come(
    records: list[Sent], partitions: int, parts: list[int]
) -> None:
    async def run() -> None:
        producer = Producer(batch_bytes=1_000)
        sender = sender_of(producer, partitions)
        left = list(records)
        for size in parts:
            await sender.send(left[:size])
            left = left[size:]
        await sender.send(left)
        await settled(sender, producer)
        found: dict[int, list[Sent]] = {}
        for partition, batch in producer.sent:
            assert batch, "no batch is empty"
            found.setdefault(partition, []).extend(batch)
        wanted: dict[int, list[Sent]] = {}
        for key, value in records:
            home = 0 if key is None else partition_of(key.decode(), partitions)
            wanted.setdefault(home, []).append((key, value))
        assert found == wanted
        assert (sender.sent, sender.too_large) == (len(records), 0)

    asyncio.run(run())


def test_a_record_that_fits_in_no_batch_is_left_out_and_the_largest_that_is_not_fits_in_one() -> None:
    async def run() -> None:
        producer = Producer()
        sender = sender_of(producer, 1)
        most = BATCH_BYTES - module_under_test._OVERHEAD_BYTES
        await sender.send(
            [(b"k", b"x" * (most - 1)), (b"k", b"x" * most), (None, b"x" * most), (None, b"x" * (most + 1))]
        )
        await settled(sender, producer)
        assert (sender.sent, sender.too_large) == (2, 2)
        assert [[len(value) for _, value in batch] for _, batch in producer.sent] == [[most - 1], [most]]

    asyncio.run(run())


def test_what_is_sent_waits_for_a_full_batch_or_for_a_flush() -> None:
    async def run() -> None:
        producer = Producer()
        sender = sender_of(producer, 1)
        await sender.send([(b"k", b"v")])
        assert producer.sent == []
        await sender.flush()
        await sender.flush()
        assert producer.sent == [(0, [(b"k", b"v")])]

    asyncio.run(run())


def test_to_settle_is_to_wait_for_every_acknowledgement() -> None:
    async def run() -> None:
        producer = Producer()
        sender = sender_of(producer)
        await sender.send([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
        settling = asyncio.ensure_future(sender.settle())
        await asyncio.sleep(0)
        first, *rest = producer.open
        assert rest
        first.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not settling.done()
        producer.acknowledge()
        await settling

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (
            MessageSizeTooLargeError(),
            ConfigError,
            "topic events takes no batch of 500,000 bytes; raise its max.message.bytes",
        ),
        (KafkaConnectionError("away"), KafkaConnectionError, "away"),
    ],
)
def test_a_batch_that_was_not_delivered_ends_it_at_the_next_batch_or_at_the_end(
    answer: BaseException, error: type[BaseException], text: str
) -> None:
    async def run() -> None:
        producer = Producer(answer=answer)
        sender = sender_of(producer, 1)
        await sender.send([(b"k", b"1")])
        with pytest.raises(error, match=text):
            await settled(sender, producer)
        await sender.send([(b"k", b"2")])
        with pytest.raises(error, match=text):
            await sender.flush()
        assert len(producer.sent) == 1, "nothing follows a gap"

    asyncio.run(run())
