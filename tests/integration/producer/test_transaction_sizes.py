"""A transaction that a topic refuses for its size is written again, smaller: nothing is lost, nothing doubled, nobody fenced."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.ingest.hop import trace
from pipeline.ingest.packed import pack_one
from pipeline.outputs import Cut, Emitted, Forwarded, Outbox, Rejected, StateRecord
from schemas.errors import ConfigError, TaskFenced
from schemas.state import Ledger, Position
from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet
from topology.kafka.client import client_options
from topology.producer.topic_limits import TopicLimits
from topology.producer.transaction import Transactor

pytestmark = pytest.mark.broker
DLQ_BYTES, REPARTITION_BYTES = 3_000, 4_000


@pytest.fixture(params=["asked", "not allowed to ask"])
def fleet(request: pytest.FixtureRequest, make_fleet: MakeFleet, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """An application whose dead-letter and repartition topics take little, whether that can be known or not."""
    made = make_fleet({"topics__partitions": "1"}, topics=False)
    small = {made.settings.topics.dlq: DLQ_BYTES, made.settings.repartition_topic: REPARTITION_BYTES}
    admin = AdminClient({"bootstrap.servers": made.servers})
    topics = [NewTopic(name, 1, 1, config={"max.message.bytes": str(size)}) for name, size in small.items()]
    for answer in admin.create_topics(topics).values():
        answer.result(10)
    made.create_topics()
    if request.param != "asked":

        async def nobody(self: TopicLimits, topic: str) -> None:
            """As where DESCRIBE_CONFIGS is not granted."""

        monkeypatch.setattr(TopicLimits, "_ask", nobody)
    return made


def with_task(fleet: Fleet, scenario: Callable[[Transactor], Awaitable[None]]) -> None:
    async def run() -> None:
        task = Transactor(fleet.settings, client_options(fleet.settings), "0", fleet.settings.application_id)
        try:
            await task.open()
            await scenario(task)
        finally:
            await task.close()

    asyncio.run(run())


def cut_of(number: int, letters: list[int], forwarded: tuple[int, ...] = (), emitted: int = 10) -> Cut:
    """Letters and forwarded records with values of so many bytes, an output and some state."""
    noise = Random(number)
    box = Outbox(emitted=[Emitted("module_metrics", b"k%d" % number, noise.randbytes(emitted), number, 0)])
    for at, size in enumerate(letters):
        place = ("in", 0, 100 * number + at, 1)
        box.reject(Rejected("undecodable", "no", *place, b"%d" % number, noise.randbytes(size), ()))
    for at, size in enumerate(forwarded, len(letters)):
        headers = tuple(trace("in", 0, 100 * number + at, 1, None, "shop"))
        box.forward(Forwarded("shop", noise.randbytes(size), 1, headers))
    ledger = Ledger(consumed=100, applied=50, invalid=30, forwarded=20)
    position = Position(
        sizes={}, relative_error=0.01, partitions=1, offsets={"in": number}, stream_ms=None, ledger={"in": ledger}
    )
    return Cut(box, [], [StateRecord(b"s%d" % number, noise.randbytes(50))], position)


async def commit(fleet: Fleet, task: Transactor, cut: Cut) -> Cut:
    return await task.commit(cut, 0, fleet.settings.changelog_topic, {})


def test_every_letter_is_written_once_in_order_and_cut_where_it_must(fleet: Fleet) -> None:
    """Many transactions behind a refused one, on the same partitions: what is counted wrong would be refused or doubled."""
    rng = Random(5)
    cuts = [cut_of(n, [rng.choice((10, 900, 2_000, 50_000, 700_000)) for _ in range(12)]) for n in range(6)]

    async def scenario(task: Transactor) -> None:
        for cut in cuts:
            assert await commit(fleet, task, cut) is cut

    with_task(fleet, scenario)
    rejected = [record for cut in cuts for record in cut.outbox.rejected]
    letters = fleet.read(fleet.settings.topics.dlq)
    assert [letter.header("modpulse.errors.offset") for letter in letters] == [
        str(record.offset) for record in rejected
    ]
    for letter, record in zip(letters, rejected, strict=True):
        assert record.value is not None
        assert letter.value is not None
        assert record.value.startswith(letter.value)
        truncated = dict(letter.headers).get("modpulse.errors.truncated")
        assert truncated == (None if letter.value == record.value else b"value=%d" % len(record.value))
        assert len(letter.value) > 500 or letter.value == record.value
    assert [record.key for record in fleet.read(fleet.settings.topics.module_metrics)] == [b"k%d" % n for n in range(6)]
    assert [position["offsets"] for position in fleet.positions().values()] == [{"in": 5}]


@pytest.mark.parametrize("packed", [False, True], ids=["one by one", "packed"])
def test_what_cannot_be_forwarded_is_a_letter_and_the_position_says_so(fleet: Fleet, packed: bool) -> None:
    async def scenario(task: Transactor) -> None:
        cut = cut_of(1, [20], (100, 20_000, 100, 9_000))
        if packed:
            cut.outbox.forwarded = [pack_one(one) for one in cut.outbox.forwarded if isinstance(one, Forwarded)]
        written = await commit(fleet, task, cut)
        ledger = written.position.ledger["in"]
        assert (ledger.forwarded, ledger.invalid, ledger.balanced) == (18, 32, True)
        assert await commit(fleet, task, again := cut_of(2, [20], (100, 100))) is again

    with_task(fleet, scenario)
    assert len(fleet.read(fleet.settings.repartition_topic)) == 4
    said = [dict(letter.headers) for letter in fleet.read(fleet.settings.topics.dlq)]
    assert [(one["modpulse.errors.reason"], one["modpulse.errors.offset"]) for one in said] == [
        (b"undecodable", b"100"),
        (b"too_large", b"102"),
        (b"too_large", b"104"),
        (b"undecodable", b"200"),
    ]


def test_a_refused_transaction_fences_nobody(fleet: Fleet) -> None:
    """Whoever has taken the task over meanwhile stays the owner: the one that was refused ends, and its cut is nowhere."""

    async def scenario(task: Transactor) -> None:
        await commit(fleet, task, cut_of(1, [20]))
        other = Transactor(fleet.settings, client_options(fleet.settings), "0", fleet.settings.application_id)
        try:
            await other.open()
            with pytest.raises(TaskFenced):
                await commit(fleet, task, cut_of(2, [700_000, 20]))
            await commit(fleet, other, cut_of(3, [700_000, 20]))
        finally:
            await other.close()

    with_task(fleet, scenario)
    offsets = [int(letter.header("modpulse.errors.offset")) for letter in fleet.read(fleet.settings.topics.dlq)]
    assert offsets == [100, 300, 301]


def test_an_output_that_its_topic_does_not_take_names_topic_and_setting(fleet: Fleet) -> None:
    async def scenario(task: Transactor) -> None:
        with pytest.raises(
            ConfigError, match=f"topic {fleet.settings.topics.module_metrics} takes no record"
        ) as caught:
            await commit(fleet, task, cut_of(1, [], emitted=2 << 20))
        assert "raise its max.message.bytes" in str(caught.value)

    with_task(fleet, scenario)
    assert fleet.read(fleet.settings.topics.module_metrics) == []
