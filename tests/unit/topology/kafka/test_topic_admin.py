"""How topics stand against what is wanted: what is created, what only differs, and what must not be used."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors
from aiokafka.admin import NewTopic

from schemas.errors import BrokerUnavailable
from topology.kafka import topic_admin as module
from topology.kafka.broker_protocol import ClusterState, TopicState
from topology.kafka.topic_admin import TopicReport, create_topics, inspect_topics, wait_until_visible
from topology.kafka.wanted_topics import TopicSpec, desired_topics
from topology.settings import Settings

SETTINGS = Settings()
INPUT, CHANGELOG = SETTINGS.topics.module_log_events, SETTINGS.changelog_topic


class Cluster:
    """Topics with their partitions and settings.

    Attributes:
        refuses: the error that creating a topic gets. secret: topics whose settings may not be read.
        created: in this order. leaderless: topics that have no leader yet.
    """

    def __init__(self, specs: Iterable[TopicSpec] = ()) -> None:
        self.topics = {spec.name: (spec.partitions, dict(spec.config)) for spec in specs}
        self.hidden: set[str] = set()
        self.secret: set[str] = set()
        self.leaderless: set[str] = set()
        self.refuses: dict[str, type[errors.BrokerResponseError]] = {}
        self.created: list[tuple[str, int]] = []

    async def describe(self, admin: Any, names: Iterable[str]) -> ClusterState:
        return ClusterState((), {name: self.state(name) for name in names})

    def state(self, name: str) -> TopicState:
        if name in self.hidden:
            return TopicState(name, "", 0, 0, (), "TopicAuthorizationFailedError", frozenset())
        partitions = self.topics.get(name, (0, {}))[0]
        return TopicState(name, "", partitions, 1, (0,) if name in self.leaderless else (), "", frozenset())

    async def create_topics(self, new: Sequence[NewTopic], *, validate_only: bool) -> Any:
        answers = []
        for topic in new:
            kind = self.refuses.get(topic.name, errors.NoError)
            if kind is errors.NoError and not validate_only:
                self.created.append((topic.name, topic.num_partitions))
            if (kind is errors.NoError and not validate_only) or kind is errors.TopicAlreadyExistsError:
                self.topics[topic.name] = (topic.num_partitions, dict(topic.topic_configs))
            answers.append((topic.name, kind.errno, None))
        return SimpleNamespace(topic_errors=answers)

    async def describe_configs(self, resources: list[Any]) -> list[Any]:
        found = [
            (29, "no", 2, one.name, [])
            if one.name in self.secret
            else (0, "", 2, one.name, [(key, value, False) for key, value in self.topics[one.name][1].items()])
            for one in resources
        ]
        return [SimpleNamespace(resources=found)]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """With every topic as it is wanted."""
    made = Cluster(desired_topics(SETTINGS))

    @asynccontextmanager
    async def admin_client(settings: Settings) -> AsyncIterator[Cluster]:
        yield made

    monkeypatch.setattr(module, "describe_topics", made.describe)
    monkeypatch.setattr(module, "admin_client", admin_client)
    return made


def inspected(cluster: Any) -> dict[str, TopicReport]:
    reports, _ = asyncio.run(inspect_topics(cluster, SETTINGS))
    return {report.name: report for report in reports if report.status != "exists"}


def created(*, dry_run: bool = False) -> dict[str, TopicReport]:
    reports = asyncio.run(create_topics(SETTINGS, dry_run))
    assert [report.name for report in reports] == [spec.name for spec in desired_topics(SETTINGS)]
    return {report.name: report for report in reports if report.status != "exists"}


def test_topics_that_are_as_wanted_need_nothing(cluster: Cluster) -> None:
    assert inspected(cluster) == {}
    assert created() == {}
    assert cluster.created == []


def test_missing_topics_are_created_with_as_many_partitions_as_the_input_really_has(cluster: Cluster) -> None:
    cluster.topics = {INPUT: (12, cluster.topics[INPUT][1])}
    reports = created()
    assert {report.status for report in reports.values()} == {"created"}
    assert (cluster.topics[CHANGELOG][0], cluster.topics[SETTINGS.repartition_topic][0]) == (12, 12)
    assert INPUT not in dict(cluster.created) | reports
    assert len(cluster.created) == len(desired_topics(SETTINGS)) - 1


def test_a_dry_run_creates_nothing_and_says_what_is_missing(cluster: Cluster) -> None:
    cluster.topics = {}
    reports = created(dry_run=True)
    assert {report.status for report in reports.values()} == {"missing"}
    assert len(reports) == len(desired_topics(SETTINGS))
    assert (cluster.created, cluster.topics) == ([], {})


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        (errors.TopicAuthorizationFailedError, "grant CREATE and DESCRIBE on it"),
        (errors.InvalidReplicationFactorError, "set topics.replication_factor to at most the number of brokers"),
        (errors.PolicyViolationError, "create it as your cluster's policy wants"),
        (errors.InvalidTopicError, "correct that"),
    ],
)
def test_a_topic_the_broker_does_not_create_is_a_finding_with_its_remedy_and_the_others_are_created(
    cluster: Cluster, kind: type[errors.BrokerResponseError], remedy: str
) -> None:
    del cluster.topics[CHANGELOG], cluster.topics["health-status"]
    cluster.refuses = {CHANGELOG: kind}
    reports = created()
    assert reports.keys() == {CHANGELOG, "health-status"}
    assert reports[CHANGELOG].is_finding
    assert reports[CHANGELOG].details[0].endswith(f"; {remedy}")
    assert (reports["health-status"].status, reports["health-status"].is_finding) == ("created", False)


def test_a_topic_that_somebody_else_made_meanwhile_is_compared_and_not_called_created(cluster: Cluster) -> None:
    del cluster.topics[CHANGELOG]
    cluster.refuses = {CHANGELOG: errors.TopicAlreadyExistsError}
    assert created() == {}


@pytest.mark.parametrize(
    ("name", "change", "status", "said"),
    [
        ("module-metrics", 7, "differs", "has 7 partitions, not 4"),
        (CHANGELOG, 3, "failed", "has 3 partitions, not 4; stop the workers and run `modpulse state repartition`"),
        (CHANGELOG, 5, "failed", "has 5 partitions, not 4; choose a new application_id"),
        ("modpulse-system-partials", 2, "failed", "has 2 partitions, not 1; choose a new application_id"),
        (CHANGELOG, {"cleanup.policy": "compact,delete"}, "failed", "cleanup.policy is compact,delete, not compact;"),
        ("module-metrics", {"cleanup.policy": "delete,compact"}, None, ""),
        ("module-metrics", {"cleanup.policy": "delete"}, "failed", "cleanup.policy is delete, not compact,delete;"),
        ("health-status", {"segment.ms": "1"}, "differs", "segment.ms is 1, not 3600000"),
        ("health-status", {"unclean.leader.election.enable": "true"}, None, ""),
    ],
)
def test_a_topic_that_loses_records_must_not_be_used_and_other_differences_may_be_meant(
    cluster: Cluster, name: str, change: int | dict[str, str], status: str | None, said: str
) -> None:
    partitions, config = cluster.topics[name]
    cluster.topics[name] = (change, config) if isinstance(change, int) else (partitions, config | change)
    found = inspected(cluster)
    if status is None:
        assert found == {}
        return
    assert list(found) == [name]
    assert (found[name].status, found[name].is_finding) == (status, status == "failed")
    assert found[name].details[0].startswith(said)


def test_what_is_wrong_is_said_before_what_only_differs(cluster: Cluster) -> None:
    partitions, config = cluster.topics[CHANGELOG]
    cluster.topics[CHANGELOG] = (partitions, config | {"segment.ms": "1", "cleanup.policy": "delete"})
    details = inspected(cluster)[CHANGELOG].details
    assert [detail.split(" ")[0] for detail in details] == ["cleanup.policy", "segment.ms"]


def test_topics_that_may_not_be_seen_or_read_are_told_with_the_grant(cluster: Cluster) -> None:
    cluster.hidden, cluster.secret = {"module-metrics"}, {CHANGELOG}
    found = inspected(cluster)
    assert found["module-metrics"] == TopicReport(
        "module-metrics", "failed", 0, ("we may not see it; grant DESCRIBE on it",)
    )
    assert found[CHANGELOG].status == "differs", "its partitions are right, and nothing else is known to be wrong"
    assert found[CHANGELOG].unreadable
    assert found[CHANGELOG].details == ("its settings cannot be read; grant DESCRIBE_CONFIGS on it",)


@pytest.mark.parametrize("visible", [True, False])
def test_a_new_topic_is_waited_for_until_it_has_its_partitions_and_their_leaders(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, visible: bool
) -> None:
    monkeypatch.setattr(module, "_VISIBLE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(module, "_VISIBLE_POLL_S", 0.001)
    looks = []
    describe = cluster.describe

    async def described(admin: Any, names: Iterable[str]) -> ClusterState:
        looks.append(1)
        if visible and len(looks) == 2:
            cluster.leaderless.clear()
        if visible and len(looks) == 3:
            cluster.topics[INPUT] = (8, {})
        return await describe(admin, names)

    monkeypatch.setattr(module, "describe_topics", described)
    cluster.leaderless = {INPUT}
    if visible:
        asyncio.run(wait_until_visible(cluster, [INPUT], 8))
        assert len(looks) == 3
    else:
        with pytest.raises(BrokerUnavailable, match=f"no leader after 0.5 s: {INPUT}; see the broker's log"):
            asyncio.run(wait_until_visible(cluster, [INPUT]))
    asyncio.run(wait_until_visible(cluster, []))
