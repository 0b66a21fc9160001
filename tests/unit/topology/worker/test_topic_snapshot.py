"""The worker's topics: all of them there, fitting each other, and the same as when it began."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import ConfigError, PartitionsChanged
from topology.settings import Settings
from topology.worker import topic_snapshot
from topology.worker.topic_snapshot import TopicSnapshot, look_at_topics, refuse_other_count

SETTINGS = Settings()
INPUT = SETTINGS.topics.module_log_events
OUTPUTS = ("module_metrics", "system_metrics", "module_alerts", "health_status", "late", "dlq")
NEEDED = {INPUT, *SETTINGS.worker_topics, *(getattr(SETTINGS.topics, name) for name in OUTPUTS)}


def look(monkeypatch: pytest.MonkeyPatch, **partitions: int) -> TopicSnapshot:
    """What the worker makes of a broker whose topics have 6 partitions but for these; 0 is a topic that is not there."""

    @asynccontextmanager
    async def nobody(settings: Settings) -> AsyncIterator[None]:
        yield

    async def described(admin: None, names: Iterable[str]) -> Any:
        found = {name: SimpleNamespace(partitions=partitions.get(name, 6), topic_id=f"id of {name}") for name in names}
        return SimpleNamespace(topics=found)

    monkeypatch.setattr(topic_snapshot, "admin_client", nobody)
    monkeypatch.setattr(topic_snapshot, "describe_topics", described)
    return asyncio.run(look_at_topics(SETTINGS))


def test_the_count_is_the_inputs_and_every_topic_is_known_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(monkeypatch, **{SETTINGS.topics.dlq: 1, SETTINGS.partials_topic: 1})
    assert found.partitions == 6
    assert found.ids == {name: f"id of {name}" for name in NEEDED}
    assert (found.id_of(INPUT), found.id_of("another")) == (f"id of {INPUT}", "")


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_each_topic_that_is_missing_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"do not exist: {name}; run `modpulse topics create`"):
        look(monkeypatch, **{name: 0})


@pytest.mark.parametrize("name", [SETTINGS.changelog_topic, SETTINGS.repartition_topic])
@pytest.mark.parametrize("partitions", [5, 7])
def test_what_goes_with_the_input_partition_by_partition_has_as_many(
    monkeypatch: pytest.MonkeyPatch, name: str, partitions: int
) -> None:
    with pytest.raises(
        PartitionsChanged, match=rf"{INPUT} has 6 partitions, {name} has {partitions}, .*state repartition"
    ):
        look(monkeypatch, **{name: partitions})


def test_a_count_that_changes_while_the_worker_runs_is_refused_and_a_first_look_is_not() -> None:
    refuse_other_count(TopicSnapshot(), TopicSnapshot(6), INPUT)
    refuse_other_count(TopicSnapshot(6, {INPUT: "former"}), TopicSnapshot(6), INPUT)
    for now in (5, 7):
        with pytest.raises(PartitionsChanged, match=rf"{INPUT} had 6 partitions .* has {now} now"):
            refuse_other_count(TopicSnapshot(6), TopicSnapshot(now), INPUT)
