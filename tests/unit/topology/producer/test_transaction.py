"""One flush, one transaction: what ends it, what it becomes then, and how its producer is given up.

What a real broker refuses for its size is in tests/integration/producer/test_transaction_sizes.py.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CoordinatorNotAvailableError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    MessageSizeTooLargeError,
    ProducerFenced,
)
from aiokafka.producer.transaction_manager import TransactionManager

from pipeline.outputs import Cut, Emitted, Outbox, Rejected, StateRecord
from schemas.errors import BrokerUnavailable, ConfigError, TaskFenced
from schemas.state import POSITION_KEY, Position
from tests.support.records.parsed_records import parsed, wire_batch
from topology.producer import transaction as module
from topology.producer.topic_limits import TopicLimits
from topology.producer.transaction import Transactor
from topology.settings import Settings

Written = tuple[str, int, bytes | None]
SETTINGS = Settings()
TOPICS = SETTINGS.topics
POSITION = Position(sizes={}, relative_error=0.01, partitions=1, offsets={}, stream_ms=None, ledger={})
DEADLINE_S = 5.0


class Producer:
    """A producer with its broker: what is committed is seen, what is aborted is not.

    Attributes:
        committed: topic, partition and key of each record. offsets: of the group.
        most_bytes: what a batch of each topic may have. fails: raised when a transaction is to be committed.
        stuck: requests that never come to an end.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.committed: list[Written] = []
        self.offsets: dict[TopicPartition, int] = {}
        self.most_bytes: dict[str, int] = {}
        self.fails: Exception | None = None
        self.stuck = False
        self.client = SimpleNamespace(close=self._nothing)
        self._sender = SimpleNamespace(sender_task=None)
        self._txn_manager = TransactionManager("id", 1_000)
        self._open: list[Written] = []
        self._open_offsets: dict[TopicPartition, int] = {}

    async def _nothing(self) -> None:
        if self.stuck:
            await asyncio.get_running_loop().create_future()

    start = begin_transaction = abort_transaction = stop = _nothing

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1, 2} if topic == TOPICS.health_status else {0, 1, 2, 3, 4, 5, 6, 7}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        self._open, self._open_offsets = [], {}
        yield
        if self.fails is not None:
            raise self.fails
        self.committed += self._open
        self.offsets |= self._open_offsets

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        data = bytes(batch._build())
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if len(data) > self.most_bytes.get(topic, 1 << 30):
            done.set_exception(MessageSizeTooLargeError())
        else:
            self._open += [(topic, partition, key) for key in parsed(wire_batch(data), None).keys]
            done.set_result(None)
        return done

    async def send_offsets_to_transaction(self, offsets: dict[TopicPartition, int], group: str) -> None:
        assert group == "group"
        self._open_offsets = offsets


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Producer]:
    """The producer that the task under test made."""
    made: list[Producer] = []

    def make(**options: Any) -> Producer:
        made.append(Producer(**options))
        return made[-1]

    async def nobody(self: TopicLimits, topic: str) -> None:
        """As where DESCRIBE_CONFIGS is not granted."""

    monkeypatch.setattr(module, "AIOKafkaProducer", make)
    monkeypatch.setattr(TopicLimits, "_ask", nobody)
    return lambda: made[-1]


def run(scenario: Callable[[Transactor], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await scenario(Transactor(SETTINGS, {}, "7", "group"))

    asyncio.run(bounded())


def rejected(reason: str, key: bytes) -> Rejected:
    return Rejected(reason, "no", "events", 7, 1, 0, key, b"v", ())


def cut_of(**box: Any) -> Cut:
    return Cut(Outbox(**box), [], [StateRecord(b"state", b"1")], POSITION)


def test_everything_of_a_cut_and_its_offsets_are_committed_together(producer: Callable[[], Producer]) -> None:
    cut = cut_of(
        emitted=[Emitted("health_status", b"status", b"{}", 1, 0), Emitted("module_metrics", b"metrics", b"{}", 1, 0)],
        rejected=[rejected("late", b"late"), rejected("invalid", b"dead"), rejected("late", b"later")],
    )

    async def scenario(task: Transactor) -> None:
        assert await task.commit(cut, 7, "changelog", {TopicPartition("events", 7): 42}) is cut

    run(scenario)
    assert producer().options["transactional_id"] == f"{SETTINGS.application_id}-7"
    assert producer().offsets == {TopicPartition("events", 7): 42}
    assert producer().committed == [
        (TOPICS.health_status, 1, b"status"),  # which has three partitions
        (TOPICS.module_metrics, 7, b"metrics"),
        (TOPICS.late, 7, b"late"),
        (TOPICS.late, 7, b"later"),
        (TOPICS.dlq, 7, b"dead"),
        ("changelog", 7, b"state"),
        ("changelog", 7, POSITION_KEY),
    ]


@pytest.mark.parametrize("error", [ProducerFenced(), InvalidProducerEpoch(), InvalidProducerIdMapping()], ids=repr)
def test_a_task_that_another_worker_has_taken_over_is_fenced_whatever_the_broker_calls_it(
    producer: Callable[[], Producer], error: Exception
) -> None:
    async def scenario(task: Transactor) -> None:
        producer().fails = error
        with pytest.raises(TaskFenced, match="task 7: another worker has taken it over"):
            await task.commit(cut_of(), 7, "changelog", {TopicPartition("events", 7): 42})

    run(scenario)
    assert (producer().committed, producer().offsets) == ([], {})


def test_an_error_that_is_not_about_size_is_not_tried_again(producer: Callable[[], Producer]) -> None:
    """The task is restored from what was committed instead: nobody knows what became of the transaction."""

    async def scenario(task: Transactor) -> None:
        producer().fails = CoordinatorNotAvailableError()
        with pytest.raises(CoordinatorNotAvailableError):
            await task.commit(cut_of(), 7, "changelog", {})

    run(scenario)
    assert producer().committed == []


def test_a_batch_that_was_refused_is_divided_until_its_records_fit_and_each_is_written_once(
    producer: Callable[[], Producer],
) -> None:
    keys = [b"k%02d" % n for n in range(40)]
    cut = cut_of(emitted=[Emitted("module_alerts", key, bytes(50), 1, 0) for key in keys])

    async def scenario(task: Transactor) -> None:
        producer().most_bytes = {TOPICS.module_alerts: 600}
        assert await task.commit(cut, 7, "changelog", {}) is cut

    run(scenario)
    assert [key for topic, _, key in producer().committed if topic == TOPICS.module_alerts] == keys
    assert [key for topic, _, key in producer().committed if topic == "changelog"] == [b"state", POSITION_KEY]


def test_a_record_of_ours_that_its_topic_does_not_take_names_topic_and_setting(
    producer: Callable[[], Producer],
) -> None:
    async def scenario(task: Transactor) -> None:
        producer().most_bytes = {"changelog": 70}
        with pytest.raises(ConfigError, match=r"topic changelog takes no record of .* task 7 .* max.message.bytes"):
            await task.commit(cut_of(), 7, "changelog", {})

    run(scenario)
    assert producer().committed == []


def test_a_producer_whose_broker_is_away_is_given_up_in_time(
    producer: Callable[[], Producer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(module, "FENCE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(module, "_ABANDONED", set())

    async def scenario(task: Transactor) -> None:
        producer().stuck = True
        with pytest.raises(
            BrokerUnavailable, match=r"task 7: no broker coordinates .* for 0.01 s.*__transaction_state"
        ):
            await task.open()
        await task.close()

    run(scenario)


def test_a_producer_that_cannot_be_closed_in_order_is_closed_all_the_same(producer: Callable[[], Producer]) -> None:
    async def broken() -> None:
        raise RuntimeError("unable to perform operation on a closed transport")

    async def scenario(task: Transactor) -> None:
        await task.open()
        producer().stop = broken  # type: ignore[method-assign]
        await task.close()

    run(scenario)
