"""The transport's own rules: what Faust and aiokafka would do instead loses or doubles records. No broker is needed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from faust.types import TP

import topology.consumer.transport
from pipeline.config import CoreConfig
from pipeline.cores.module_core import ModuleCore
from tests.support.shell.fake_consumer import A, B, FakeListener, FakeThread, assign, batches, consumer_of, span_of
from topology.consumer.fetch import Piece, Span
from topology.consumer.transport import QUIET_WAIT_MS, _Thread
from topology.kafka.client import client_options
from topology.records.record_objects import RecordObjects
from topology.runtime.clock import SteadyClock
from topology.settings import Settings
from topology.worker.flush_pace import FlushPace
from topology.worker.metrics import Instruments
from topology.worker.task import Task, TaskSpec


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
