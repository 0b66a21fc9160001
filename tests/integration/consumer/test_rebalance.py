"""The transport in a rebalance: the group never waits, and what is not ours is not processed. No broker is needed."""

import asyncio

from faust.types import TP

from tests.support.shell.fake_consumer import A, B, FakeListener, FakeThread, assign, batches, consumer_of, span_of
from topology.consumer.fetch import Piece, Span


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
