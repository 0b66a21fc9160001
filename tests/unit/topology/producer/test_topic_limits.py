"""How large a batch may be: asked where it matters, and always less after a refusal."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core.cores import fixed
from topology.producer import topic_limits as module
from topology.producer.topic_limits import MOST_BYTES, WANTED_BYTES, TopicLimits
from topology.records.outgoing import MAX_BATCH_BYTES

FORBIDDEN = 29


class Cluster:
    """What the brokers say of `max.message.bytes`; None: we may not know.

    Attributes:
        asked: of which topics. open: how many clients were not closed.
    """

    def __init__(self, **said: int | None) -> None:
        self.said = said
        self.asked: list[str] = []
        self.open = 0
        self.away = False

    def __call__(self, **options: Any) -> "Cluster":
        self.open += 1
        return self

    async def start(self) -> None:
        if self.away:
            raise KafkaConnectionError("no broker")

    async def close(self) -> None:
        self.open -= 1

    async def describe_configs(self, resources: list[Any]) -> list[Any]:
        (resource,) = resources
        self.asked.append(resource.name)
        value = self.said.get(resource.name)
        entries = [("segment.bytes", "7"), ("max.message.bytes", str(value))]
        answer = (FORBIDDEN, "no", 2, resource.name, []) if value is None else (0, "", 2, resource.name, entries)
        return [SimpleNamespace(resources=[answer])]


def with_limits(cluster: Cluster, scenario: Callable[[TopicLimits], Awaitable[None]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "AIOKafkaAdminClient", cluster)
        asyncio.run(scenario(TopicLimits({})))  # type: ignore[arg-type]
    assert cluster.open == 0


def test_usual_batches_ask_nobody_and_a_large_record_asks_once() -> None:
    cluster = Cluster(dlq=5_000_000)

    async def scenario(limits: TopicLimits) -> None:
        assert limits.batch_bytes("dlq") == MAX_BATCH_BYTES
        assert cluster.asked == []
        assert [await limits.record_bytes("dlq") for _ in range(3)] == [5_000_000] * 3
        assert cluster.asked == ["dlq"]
        assert limits.batch_bytes("dlq") == MAX_BATCH_BYTES, "several records never make a batch as large as that"

    with_limits(cluster, scenario)


@pytest.mark.parametrize(
    ("said", "most"),
    [
        (None, WANTED_BYTES),
        (1_000, 1_000),
        (MOST_BYTES, MOST_BYTES),
        (MOST_BYTES + 1, MOST_BYTES),
        (1 << 40, MOST_BYTES),
    ],
)
def test_a_record_may_be_what_its_topic_takes_and_memory_allows(said: int | None, most: int) -> None:
    async def scenario(limits: TopicLimits) -> None:
        assert await limits.record_bytes("dlq") == most
        assert limits.batch_bytes("dlq") == min(most, MAX_BATCH_BYTES)

    with_limits(Cluster(dlq=said), scenario)


def test_where_nobody_answers_the_bound_is_the_one_our_topics_are_made_with() -> None:
    cluster = Cluster(dlq=5)
    cluster.away = True

    async def scenario(limits: TopicLimits) -> None:
        assert await limits.record_bytes("dlq") == WANTED_BYTES

    with_limits(cluster, scenario)


@fixed(50)
@given(st.none() | st.integers(1, 100_000), st.lists(st.integers(1, 100_000), min_size=1, max_size=5))
def test_after_a_refusal_less_is_sent_than_was_refused(said: int | None, sizes: list[int]) -> None:
    """Whatever the setting says, and though it may say more: else the same batch would be sent for ever."""

    async def scenario(limits: TopicLimits) -> None:
        for size in sizes:
            now = await limits.refused("out", size)
            assert now == (said if said is not None and said < size else size // 2)
            assert now < size
            assert (limits.batch_bytes("out"), await limits.record_bytes("out")) == (now, now)
        assert limits.batch_bytes("another") == MAX_BATCH_BYTES

    with_limits(Cluster(out=said), scenario)
