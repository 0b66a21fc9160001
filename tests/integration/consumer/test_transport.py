"""The transport's own rules: what Faust and aiokafka would do instead loses or doubles records. No broker is needed."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from faust.types import TP

import topology.consumer.transport
from pipeline.config import CoreConfig
from pipeline.cores.module_core import ModuleCore
from tests.support.broker.records import T0, event
from topology.consumer.fetch import Piece, Span
from topology.consumer.transport import QUIET_WAIT_MS, BatchConsumer, _Thread
from topology.kafka.client import client_options
from topology.records.record_objects import RecordObjects
from topology.records.wire_batches import WireBatches
from topology.runtime.clock import SteadyClock
from topology.settings import Settings
from topology.worker.flush_pace import FlushPace
from topology.worker.metrics import Instruments
from topology.worker.task import Task, TaskSpec

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


def batches(*ranges: range) -> list[Any]:
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


def test_what_follows_a_gap_is_read_again() -> None:
    """Records that were dropped on the way would be missing for ever: the position moves past them."""

    async def scenario() -> None:
        thread, listener = FakeThread({A: [span_of(5, 6, 7), span_of(8)], B: [span_of(0, 1)]}), FakeListener()
        consumer = consumer_of(thread, listener)
        await assign(consumer, A, B)

        async def only_from_three(partition: TP, piece: Piece) -> int | None:
            return 3 if partition == A else None

        listener.on_batch = only_from_three
        await consumer.pump()
        assert {A: 3} in thread.sought
        assert (B, 0, 2) in listener.pieces

    asyncio.run(scenario())


def test_a_task_takes_nothing_twice_and_nothing_after_a_gap() -> None:
    async def scenario() -> None:
        settings = Settings()
        spec = TaskSpec("0", 0, ("events",), None, "changelog", lambda _: ModuleCore(CoreConfig()))
        errors: list[tuple[str, BaseException]] = []
        task = Task(
            spec,
            settings,
            client_options(settings),
            Instruments(),
            lambda name, error: errors.append((name, error)),
            clock=SteadyClock(),
            pace=FlushPace(0.2),
        )
        task.offsets["events"] = 10

        def piece(first: int, end: int) -> Piece:
            (found,) = Span(first, end, batches(range(first, end))).pieces(1)
            return found

        def applied() -> int:
            return task.core.ledgers["events"].applied if task.core.ledgers else 0

        assert await task.process("events", piece(12, 15)) == 10
        assert (applied(), task.offsets["events"]) == (0, 10)
        assert await task.process("events", piece(4, 10)) is None
        assert (applied(), task.offsets["events"]) == (0, 10)
        assert await task.process("events", piece(8, 13)) is None
        assert (applied(), task.offsets["events"]) == (3, 13)
        assert await task.process("events", piece(13, 15)) is None
        assert (applied(), task.offsets["events"]) == (5, 15)
        assert (
            await task.process("events", Piece(15, 17, RecordObjects([], 0, 0))) is None
        )  # markers alone move the position
        assert (applied(), task.offsets["events"]) == (5, 17)
        assert errors == []
        await task.close()

    asyncio.run(scenario())


def test_an_offset_the_log_does_not_hold_is_told_behind_everything_fetched_before() -> None:
    """The task decides what was lost by its own position, so it has to have processed what came before."""

    async def scenario() -> None:
        thread = FakeThread({A: [span_of(0, 1), span_of(2)]}, OffsetOutOfRangeError({A: 3}), {A: [span_of(10)]})
        listener = FakeListener()
        listener.begin = 10
        consumer = consumer_of(thread, listener)
        await assign(consumer, A)
        seen: list[tuple[int, int]] = []

        async def note(partition: TP, piece: Piece) -> int | None:
            seen.append((piece.start, len(listener.missing)))
            return None

        listener.on_batch = note
        await consumer.pump()
        assert listener.missing == [(A, 3)]
        assert seen == [(0, 0), (2, 0), (10, 1)]
        assert thread.sought[-1] == {A: 10}

    asyncio.run(scenario())


def test_a_partition_without_a_position_yet_ends_nothing() -> None:
    async def scenario() -> None:
        thread, listener = FakeThread(NoOffsetForPartitionError(A), {A: [span_of(0)]}), FakeListener()
        consumer = consumer_of(thread, listener)
        await assign(consumer, A)
        await consumer.pump()
        assert listener.pieces == [(A, 0, 1)]

    asyncio.run(scenario())


def test_the_broker_may_hold_answers_back_for_longer_only_while_every_partition_is_quiet() -> None:
    async def scenario() -> None:
        thread, listener = FakeThread({}, {}, {}, {A: [span_of(0)]}, {}), FakeListener()
        consumer = consumer_of(thread, listener)
        await assign(consumer, A)
        await consumer.pump()
        short = Settings().kafka.fetch_max_wait
        assert thread.waits_ms == [short, QUIET_WAIT_MS, QUIET_WAIT_MS, short, short]

    asyncio.run(scenario())


def test_a_partition_that_was_opened_later_flows_beside_the_others_and_one_that_is_gone_does_not() -> None:
    async def scenario() -> None:
        thread, listener = FakeThread({A: [span_of(0)], B: [span_of(5)]}), FakeListener()
        consumer = consumer_of(thread, listener)
        await assign(consumer, A)
        await consumer.start_reading({B: 5})
        assert thread.sought == [{A: 0}, {}], "B is not ours"
        await consumer.on_partitions_revoked({A})
        await assign(consumer, A, B)
        await consumer.stop_reading([A])
        await consumer.pump()
        assert listener.pieces == [(B, 5, 6)]

    asyncio.run(scenario())


def test_what_arrives_in_the_middle_of_a_rebalance_is_handed_over_and_judged_by_its_offsets() -> None:
    """A call that waited through a rebalance may bring what was fetched after it: dropped, it would never come again."""

    async def scenario() -> None:
        thread, listener = FakeThread({A: [span_of(0, 1)], B: [span_of(0, 1)]}), FakeListener()
        consumer = consumer_of(thread, listener)
        await assign(consumer, A, B)

        async def rebalance() -> None:
            thread.before_answer = None
            await consumer.on_partitions_revoked({A, B})
            await assign(consumer, A, B)

        thread.before_answer = rebalance
        await consumer.pump()
        assert sorted(listener.pieces) == [(A, 0, 2), (B, 0, 2)]

    asyncio.run(scenario())


def test_after_a_rebalance_nothing_of_a_partition_that_is_not_ours_is_processed() -> None:
    async def scenario() -> None:
        span = Span(0, 40, batches(*(range(low, low + 10) for low in range(0, 40, 10))))
        thread, listener = FakeThread({A: [span], B: [span_of(0, 1)]}), FakeListener()
        consumer = consumer_of(thread, listener)
        await assign(consumer, A, B)

        async def revoke(partition: TP, piece: Piece) -> int | None:
            listener.on_batch = None
            await consumer.on_partitions_revoked({A, B})
            await assign(consumer, A)
            return 7

        listener.on_batch = revoke
        thread.sought.clear()
        await consumer.pump()
        assert [piece[0] for piece in listener.pieces] == [A], "B was taken away"
        assert thread.sought == [{A: 0}, {A: 7}]

    asyncio.run(scenario())


def test_no_more_than_two_fetches_are_taken_while_nothing_is_processed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fetched is bounded, whatever it holds: one is being parsed, one waits, and aiokafka keeps a third."""
    monkeypatch.setattr(topology.consumer.transport, "PIECE_RECORDS", 1)

    async def scenario() -> None:
        spans = [
            Span(low, low + 10, batches(*(range(n, n + 1) for n in range(low, low + 10)))) for low in range(0, 60, 10)
        ]
        thread, listener = FakeThread(*({A: [span]} for span in spans)), FakeListener()
        consumer = consumer_of(thread, listener)
        await assign(consumer, A)
        may_go_on, stands = asyncio.Event(), asyncio.Event()

        async def stand_still(partition: TP, piece: Piece) -> int | None:
            stands.set()
            await may_go_on.wait()
            return None

        listener.on_batch = stand_still
        pump = asyncio.ensure_future(consumer.pump())
        await stands.wait()
        for _ in range(1_000):  # whatever can go on without the listener does
            await asyncio.sleep(0)
        assert len(thread._fetches) == len(spans) - 2
        may_go_on.set()
        await pump
        assert [piece[1] for piece in listener.pieces] == list(range(60))

    asyncio.run(scenario())


def test_a_long_restore_does_not_hold_up_the_group() -> None:
    """Faust recovers inside the rebalance; the group would wait, then throw the worker out."""

    async def scenario() -> None:
        thread, listener = FakeThread(), FakeListener()
        consumer = consumer_of(thread, listener)
        listener.may_open.clear()
        await asyncio.wait_for(consumer.on_partitions_assigned({A}), 1)
        assert thread.held == [{A}], "nothing is fetched until positions are known"
        assert thread.sought == []
        # Another rebalance comes first: the restore is given up, what it would have sought is never sought.
        await asyncio.wait_for(consumer.on_partitions_revoked({A}), 1)
        assert listener.revocations == [{A}]
        listener.may_open.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert thread.sought == []
        await assign(consumer, B)
        assert thread.sought == [{B: 0}]
        assert listener.errors == []

    asyncio.run(scenario())


def test_a_restore_that_fails_is_told_and_lets_nothing_flow() -> None:
    async def scenario() -> None:
        thread, listener = FakeThread(), FakeListener()
        consumer = consumer_of(thread, listener)
        problem = ValueError("no state")

        async def refuse(partitions: set[TP]) -> None:
            raise problem

        listener.assigned = refuse  # type: ignore[method-assign]
        await assign(consumer, A)
        assert listener.errors == [problem]
        assert thread.sought == []

    asyncio.run(scenario())


def test_a_consumer_that_leaves_takes_part_in_no_rebalance() -> None:
    async def scenario() -> None:
        thread, listener = FakeThread(), FakeListener()
        consumer = consumer_of(thread, listener)
        await consumer.end()
        await consumer.on_partitions_revoked({A})
        await consumer.on_partitions_assigned({A})
        assert (listener.revocations, thread.held, thread.sought) == ([], [], [])

    asyncio.run(scenario())


def test_faust_commits_seeks_and_waits_for_nothing() -> None:
    """Positions belong to the tasks' transactions: a commit of Faust's could be ahead of the state."""

    async def scenario() -> None:
        consumer = consumer_of(FakeThread(), FakeListener())
        assert await consumer.commit({A}, start_new_transaction=True)
        await consumer.perform_seek()
        await consumer.wait_empty()
        assert consumer._thread.sought == []

    asyncio.run(scenario())


def test_the_consumer_reads_committed_records_and_never_leaves_for_idleness() -> None:
    async def scenario() -> None:
        settings = Settings()
        transport: Any = SimpleNamespace(settings=settings, client_options=client_options(settings))
        consumer: Any = _Thread._create_worker_consumer(_Thread.__new__(_Thread), transport)
        try:
            assert consumer._isolation_level == "read_committed"
            assert consumer._enable_auto_commit is False
            assert consumer._auto_offset_reset == "none", "a client that resets an offset by itself hides what was lost"
            assert consumer._max_poll_interval_ms > 7 * 86_400_000
            assert [assignor.name for assignor in consumer._partition_assignment_strategy] == ["modpulse-tasks"]
        finally:
            await consumer.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("least", [1, 6, 1_000])
def test_the_pieces_of_a_span_cover_every_offset_once(least: int) -> None:
    """Offsets that hold no record for us (markers, compaction) are in a piece as well: the position must move past them."""
    span = Span(3, 30, batches(range(10), range(10, 15), range(20, 25)))
    pieces = list(span.pieces(least))
    assert [piece.start for piece in pieces] == [3, *(piece.end for piece in pieces[:-1])]
    assert pieces[-1].end == 30
    taken = [offset for piece in pieces for offset in piece.offsets]
    assert taken == [*range(3, 15), *range(20, 25)]
    assert all(len(piece.records) >= least for piece in pieces[:-1])


def test_a_span_of_markers_alone_is_a_piece() -> None:
    assert [(piece.start, piece.end, len(piece.records)) for piece in Span(5, 7, []).pieces(100)] == [(5, 7, 0)]


def test_a_corrupt_batch_is_noticed() -> None:
    (whole,) = batches(range(5))
    stored = bytearray(stored_batch(range(5, 6)))
    stored[-3] ^= 1
    broken = WireBatches(bytes(stored)).next_batch()
    with pytest.raises(CorruptRecordException, match="CRC"):
        list(Span(0, 6, [whole, broken]).pieces(1))
