"""Topics that must be there: how many partitions each has, or what to do about it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from schemas.errors import ConfigError
from topology.kafka import existing_topics as module
from topology.kafka.broker_protocol import ClusterState, TopicState
from topology.kafka.existing_topics import require_topics
from topology.settings import Settings

THERE = {"a": 4, "b": 1}
HIDDEN = {"secret", "private"}


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two topics are there, and two more may not be seen."""

    async def describe(admin: Any, names: Iterable[str]) -> ClusterState:
        states = {
            name: TopicState(
                name, "", THERE.get(name, 0), 1, (), "TopicAuthorizationFailedError" * (name in HIDDEN), frozenset()
            )
            for name in names
        }
        return ClusterState((), states)

    @asynccontextmanager
    async def admin_client(settings: Settings) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr(module, "describe_topics", describe)
    monkeypatch.setattr(module, "admin_client", admin_client)


def required(*names: str) -> dict[str, int]:
    return asyncio.run(require_topics(Settings(), names))


def test_topics_that_are_there_are_told_by_their_partitions() -> None:
    assert required("b", "a") == {"b": 1, "a": 4}
    assert required() == {}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a", "x"), "topic does not exist: x; run `modpulse topics create`"),
        (("x", "a", "y"), "topics do not exist: x, y; run `modpulse topics create`"),
        (("a", "secret"), "the broker does not let us see secret; grant DESCRIBE on it"),
        (("secret", "private"), "the broker does not let us see secret, private; grant DESCRIBE on it"),
    ],
)
def test_a_missing_topic_is_named_with_the_remedy(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        required(*names)
    assert str(caught.value) == said


def test_a_topic_that_may_not_be_seen_is_not_called_missing() -> None:
    """To create it would fail, and the command would say so only then."""
    with pytest.raises(ConfigError, match="does not let us see secret;"):
        required("x", "secret")
