"""Where the worker stands: the newest committed position of each partition, and how far that is behind."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from schemas.position import pack_position
from schemas.state import POSITION_KEY, Ledger, Position
from topology.demo.ledger import Positions

LOG, INPUT = "changelog", "events"


def position(offset: int, **ledgers: Ledger) -> bytes:
    """A position in the input."""
    return pack_position(
        Position(sizes={}, relative_error=0.01, partitions=2, offsets={INPUT: offset}, stream_ms=None, ledger=ledgers)
    )


@dataclass
class Record:
    """A record of the changelog."""

    key: bytes
    value: bytes | None


@dataclass
class Consumer:
    """Stands for a consumer that has one fetch after the other, and logs that end where they do."""

    fetches: list[dict[int, Sequence[Record]]]
    ends: dict[int, int] = field(default_factory=dict)
    read: int = 0

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, Sequence[Record]]:
        fetched = self.fetches.pop(0) if self.fetches else {}
        self.read += sum(map(len, fetched.values()))
        return {TopicPartition(LOG, number): records for number, records in fetched.items()}

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {one: self.ends.get(one.partition, 0) for one in partitions}

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition(LOG, 0)}

    async def position(self, partition: TopicPartition) -> int:
        return self.read


def after(consumer: Consumer, reads: int = 1) -> Positions:
    positions = Positions(consumer, INPUT, 2)

    async def read() -> None:
        for _ in range(reads):
            await positions.read()

    asyncio.run(read())
    return positions


def test_the_newest_position_counts_and_other_state_says_nothing() -> None:
    records = [
        Record(POSITION_KEY, position(5, events=Ledger(consumed=5, applied=5))),
        Record(b"sums|1", b"not a position"),
        Record(POSITION_KEY, position(9, events=Ledger(consumed=9, applied=8, late=1))),
        Record(POSITION_KEY, None),
    ]
    consumer = Consumer([{0: records}, {0: [Record(b"sums|1", None)]}], ends={0: 12, 1: 4})
    positions = after(consumer, reads=2)
    assert asyncio.run(positions.behind()) == (12 - 9) + 4
    assert positions.ledger() == Ledger(consumed=9, applied=8, late=1)


def test_a_position_beyond_what_the_input_says_is_not_less_than_nothing_behind() -> None:
    consumer = Consumer([{0: [Record(POSITION_KEY, position(9))]}], ends={0: 7, 1: 3})
    assert asyncio.run(after(consumer).behind()) == 3


def test_the_ledger_is_the_sum_and_each_part_must_balance_for_itself() -> None:
    fine = [Record(POSITION_KEY, position(5, events=Ledger(consumed=5, applied=5), back=Ledger(consumed=1, late=1)))]
    positions = after(Consumer([{0: fine, 1: fine}]))
    assert positions.ledger() == Ledger(consumed=12, applied=10, late=2)
    assert positions.balanced()
    few = [Record(POSITION_KEY, position(5, events=Ledger(consumed=5, applied=4)))]
    many = [Record(POSITION_KEY, position(5, events=Ledger(consumed=5, applied=6)))]
    positions = after(Consumer([{0: few, 1: many}]))
    assert positions.ledger().balanced
    assert not positions.balanced(), "two mistakes do not make up for each other"


def test_catching_up_ends_where_the_log_ended_when_it_began() -> None:
    fetches: list[dict[int, Sequence[Record]]] = [
        {0: [Record(POSITION_KEY, position(offset))]} for offset in (1, 2, 3, 4)
    ]
    consumer = Consumer(fetches, ends={0: 3})
    positions = after(consumer, reads=0)
    asyncio.run(positions.catch_up())
    assert (consumer.read, len(consumer.fetches)) == (3, 1)
