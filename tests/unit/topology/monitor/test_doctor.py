"""What `doctor` makes of what a cluster says, without one: each finding with its remedy."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition, codec

from topology.kafka.broker_protocol import OPERATION_BITS, ClusterState, TopicState
from topology.kafka.topic_admin import TopicReport
from topology.kafka.wanted_topics import desired_topics
from topology.monitor.doctor import _brokers, _codecs, _copies, _lag_of, _permissions, _timeouts, _topic
from topology.settings import Settings, load_settings


def cluster_without(settings: Settings, topic: str, *operations: str) -> ClusterState:
    """Every topic is there, and everything is allowed but this."""
    everything = frozenset(OPERATION_BITS)
    names = [spec.name for spec in desired_topics(settings)]
    allowed = {name: everything - set(operations if name == topic else ()) for name in names}
    return ClusterState((), {name: TopicState(name, "", 1, 1, (), "", allowed[name]) for name in names})


def test_what_the_worker_cannot_do_without_is_a_failure() -> None:
    settings = Settings()
    (found,) = _permissions(settings, cluster_without(settings, settings.topics.dlq, "WRITE"))
    assert (found.status, found.text) == ("fail", f"not allowed: WRITE on {settings.topics.dlq}")


def test_records_that_may_not_be_deleted_are_a_warning_with_the_way_out() -> None:
    settings = Settings()
    (found,) = _permissions(settings, cluster_without(settings, settings.repartition_topic, "DELETE"))
    assert found.status == "warn"
    assert f"DELETE on {settings.repartition_topic}" in found.text
    assert "retention.ms" in found.remedy
    (fine,) = _permissions(settings, cluster_without(settings, settings.topics.dlq, "DELETE"))
    assert fine.status == "ok"


def topic(name: str, copies: int = 3, partitions: int = 4, error: str = "") -> TopicState:
    return TopicState(name, "", partitions, copies, (), error, frozenset(OPERATION_BITS))


@pytest.mark.parametrize(
    ("report", "status", "text", "remedy"),
    [
        (TopicReport("a", "exists", 4), "ok", "a: partitions 4", ""),
        (TopicReport("a", "missing", 4), "fail", "a does not exist", "run `modpulse topics create`"),
        (
            TopicReport("a", "differs", 4, ("x is 1, not 2",)),
            "warn",
            "a: x is 1, not 2",
            "change it with kafka-configs",
        ),
        (TopicReport("a", "failed", 3, ("has 3, not 4; grow it",)), "fail", "a: has 3, not 4", "grow it"),
        (TopicReport("a", "differs", 4, ("hidden; grant it",), unreadable=True), "warn", "a: hidden", "grant it"),
    ],
)
def test_a_topic_is_a_failure_only_where_no_worker_could_use_it(
    report: TopicReport, status: str, text: str, remedy: str
) -> None:
    found = _topic(report)
    assert (found.status, found.text) == (status, text)
    assert found.remedy.startswith(remedy)
    assert bool(found.remedy) == (status != "ok")


@pytest.mark.parametrize(
    ("brokers", "copies", "wanted"), [(2, 1, []), (3, 3, ["ok"]), (3, 2, ["warn"]), (5, 1, ["warn"])]
)
def test_too_few_copies_are_named_where_there_are_brokers_for_more(
    brokers: int, copies: int, wanted: list[str]
) -> None:
    cluster = ClusterState(
        tuple(("h", n) for n in range(brokers)),
        {"a": topic("a", copies), "b": topic("b"), "absent": topic("absent", 0, 0, "UnknownTopicOrPartitionError")},
    )
    found = _copies(load_settings(overrides={"topics.replication_factor": "3"}, environ={}), cluster)
    assert [one.status for one in found] == wanted
    assert all(one.text == "fewer than three copies: a" for one in found if one.status == "warn")


def test_topics_that_are_yet_to_be_made_would_have_as_many_copies_as_are_asked_for() -> None:
    absent = topic("absent", 0, 0, "UnknownTopicOrPartitionError")
    cluster = ClusterState(tuple(("h", n) for n in range(3)), {"absent": absent})
    (found,) = _copies(load_settings(environ={}), cluster)
    assert (found.status, found.remedy[:34]) == ("warn", "set topics.replication_factor = 3 ")
    assert _copies(load_settings(overrides={"topics.replication_factor": "3"}, environ={}), cluster) == []


@pytest.mark.parametrize(
    ("committed", "ends", "status", "text"),
    [
        ({0: 3, 1: 10}, {0: 5, 1: 10}, "ok", "t: 2 records behind (0:2 1:0)"),
        ({0: 3}, {0: 5, 1: 10}, "ok", "t: 12 records behind (0:2 1:10)"),
        ({0: -1, 1: -1}, {0: 5, 1: 10}, "warn", "t: group g has not committed yet, 15 records in all"),
        ({}, {0: 0, 1: 0}, "warn", "t: group g has not committed yet, 0 records in all"),
        (
            {0: 6, 1: 10},
            {0: 5, 1: 10},
            "fail",
            "t: group g is ahead of the log on partitions 0: the topic was made anew",
        ),
    ],
)
def test_lag_is_told_by_partition_and_a_group_ahead_of_its_topic_is_a_failure(
    committed: dict[int, int], ends: dict[int, int], status: str, text: str
) -> None:
    marks = {TopicPartition("t", number): mark for number, mark in committed.items()}
    logs = {TopicPartition("t", number): end for number, end in ends.items()} | {TopicPartition("other", 0): 99}
    found = _lag_of(topic("t"), "g", marks, logs)
    assert (found.status, found.text) == (status, text)
    assert bool(found.remedy) == (status != "ok")


def test_a_codec_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _codecs().status == "ok"
    for name in ("lz4", "zstd"):
        monkeypatch.setattr(codec, f"has_{name}", lambda: False)
    found = _codecs()
    assert (found.status, found.text) == ("fail", "cannot read batches compressed with lz4, zstd")


class Admin:
    """Stands for an admin client of brokers with these addresses, of which some cannot be reached, and these settings."""

    def __init__(
        self, addresses: Sequence[str], away: Sequence[int] = (), configs: Mapping[str, str] | None = None
    ) -> None:
        self._client = self.cluster = self
        self._away = away
        self._configs = configs or {}
        self._brokers = [
            SimpleNamespace(nodeId=str(number), host=address.split(":")[0], port=int(address.split(":")[1]))
            for number, address in enumerate(addresses)
        ]

    def brokers(self) -> list[SimpleNamespace]:
        return self._brokers[::-1]

    async def ready(self, node_id: str) -> bool:
        return int(node_id) not in self._away

    async def describe_configs(self, resources: Sequence[object]) -> list[SimpleNamespace]:
        entries = list(self._configs.items())
        return [SimpleNamespace(resources=[(0, "", 4, "0", entries), (29, "denied", 4, "1", [("never", "1")])])]


@pytest.mark.parametrize(
    ("given", "advertised", "away", "wanted"),
    [
        ("a:1", ["a:1"], [], ["ok"]),
        ("a:1", ["a:2"], [], ["ok"]),
        ("a:1", ["b:1"], [], ["warn"]),
        ("a:1", ["b:1"], [0], ["fail"]),
        ("a:1", ["b:1", "c:1", "d:1"], [1], ["ok", "fail", "ok"]),
        ("a:1,b:1", ["b:1", "c:1"], [], ["ok", "warn"]),
    ],
)
def test_each_broker_must_be_reached_where_it_says_it_is(
    given: str, advertised: list[str], away: list[int], wanted: list[str]
) -> None:
    settings = load_settings(overrides={"kafka.bootstrap_servers": given}, environ={})
    first, *found = asyncio.run(_brokers(Admin(advertised, away), settings, 12.4))
    assert first.text == f"{given} answers in 12 ms"
    assert [one.status for one in found] == wanted
    assert all(address in one.text for one, address in zip(found, advertised, strict=True))


def test_a_timeout_is_compared_with_what_the_broker_grants_bounds_included() -> None:
    limits = {"group.min.session.timeout.ms": "6000", "group.max.session.timeout.ms": "45000"}
    for asked, statuses in (("6s", "ok"), ("45s", "ok"), ("5999ms", "fail"), ("45001ms", "fail")):
        settings = load_settings(overrides={"kafka.session_timeout": asked}, environ={})
        session, transaction = asyncio.run(_timeouts(Admin(["a:1"], configs=limits), settings))
        assert session.status == statuses, asked
        if statuses == "fail":
            theirs = "group.min.session.timeout.ms" if asked == "5999ms" else "group.max.session.timeout.ms"
            assert session.remedy == f"correct kafka.session_timeout, or the broker's {theirs}"
        assert transaction.status == "ok", "a broker that does not tell its limit is believed"
