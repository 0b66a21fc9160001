"""What was processed is deleted from the repartition topic; a broker that does not allow it is heard of once."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from structlog.testing import capture_logs

from topology.settings import Settings
from topology.worker import repartition_trim
from topology.worker.repartition_trim import RepartitionTrim

TOPIC = "modpulse-repartition"


class FakeAdmin:
    """Answers each request with the next of these errors; None is a success."""

    answers: list[Exception | None]
    asked: list[dict[TopicPartition, int]]
    closed: int

    def __init__(self, **options: object) -> None:
        assert options["bootstrap_servers"]

    async def start(self) -> None:
        """Connected."""

    async def delete_records(self, wanted: dict[TopicPartition, Any]) -> None:
        FakeAdmin.asked.append({partition: one.before_offset for partition, one in wanted.items()})
        if (error := FakeAdmin.answers.pop(0)) is not None:
            raise error

    async def close(self) -> None:
        FakeAdmin.closed += 1


@pytest.fixture(autouse=True)
def admin(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeAdmin.answers, FakeAdmin.asked, FakeAdmin.closed = [], [], 0
    monkeypatch.setattr(repartition_trim, "AIOKafkaAdminClient", FakeAdmin)


def delete(trim: RepartitionTrim, committed: dict[int, int], answer: Exception | None = None) -> list[str]:
    """The remedies that were logged."""
    FakeAdmin.answers = [answer]
    with capture_logs() as said:
        asyncio.run(trim.delete_before(committed))
    return [line["remedy"] for line in said]


def test_only_what_was_committed_since_is_deleted() -> None:
    trim = RepartitionTrim(Settings())
    assert delete(trim, {0: 0}) == []
    delete(trim, {0: 10, 2: 5, 3: 0})
    delete(trim, {0: 10, 2: 5})
    delete(trim, {0: 10, 2: 7})
    assert FakeAdmin.asked == [
        {TopicPartition(TOPIC, 0): 10, TopicPartition(TOPIC, 2): 5},
        {TopicPartition(TOPIC, 2): 7},
    ]
    assert FakeAdmin.closed == 2


def test_a_refusal_is_said_once_with_the_way_out_and_tried_again() -> None:
    trim = RepartitionTrim(Settings())
    refusal = TopicAuthorizationFailedError(TOPIC)
    (remedy,) = delete(trim, {0: 10}, refusal)
    assert "grant DELETE" in remedy
    assert delete(trim, {0: 11}, refusal) == []
    assert len(delete(trim, {0: 11}, KafkaConnectionError())) == 1
    assert delete(trim, {0: 12}) == []
    assert FakeAdmin.asked[-1] == {TopicPartition(TOPIC, 0): 12}
    assert len(delete(trim, {0: 13}, refusal)) == 1, "it was allowed in between"
