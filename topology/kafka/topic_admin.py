"""Create the topics that are missing, and say how those that exist differ. Changes no existing topic."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.errors import BrokerUnavailable
from topology.kafka.broker_protocol import ClusterState, TopicState, describe_topics
from topology.kafka.client import admin_client
from topology.kafka.wanted_topics import TopicSpec, desired_topics
from topology.settings import Settings

TopicStatus = Literal["created", "missing", "exists", "differs", "failed"]

_VISIBLE_TIMEOUT_S = 15.0
_VISIBLE_POLL_S = 0.1

_REMEDIES = {
    errors.TopicAuthorizationFailedError: "grant CREATE and DESCRIBE on it",
    errors.ClusterAuthorizationFailedError: "grant CREATE on the cluster, or create the topic with the settings shown",
    errors.InvalidReplicationFactorError: "set topics.replication_factor to at most the number of brokers",
    errors.InvalidPartitionsError: "correct topics.partitions",
    errors.PolicyViolationError: "create it as your cluster's policy wants",
}


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What became of one topic, or how it stands.

    Attributes:
        name: the topic.
        status: `created`; `missing` (a dry run, or nobody asked to create it); `exists` as wanted; `differs` in a way
            that may be meant; `failed`: it cannot be created or must not be used as it is.
        partitions: how many it has, or would get.
        details: each difference or error with its remedy.
        unreadable: its settings may not be read, so only its partitions were compared.
    """

    name: str
    status: TopicStatus
    partitions: int
    details: tuple[str, ...] = ()
    unreadable: bool = False

    @property
    def is_finding(self) -> bool:
        """Whether somebody has to act before the worker can run."""
        return self.status == "failed"


async def create_topics(settings: Settings, dry_run: bool) -> list[TopicReport]:
    """Create every missing topic and compare the others; running it again changes nothing.

    A dry run lets the broker check each creation without performing it. The internal topics get the number of
    partitions the input really has.

    Raises:
        BrokerUnavailable: no broker answers, or new topics do not appear.
        ConfigError: the connection settings are refused.
    """
    async with admin_client(settings) as admin:
        # The input first: the internal topics must have as many partitions as it really gets.
        outcome = await _create_missing(admin, settings, desired_topics(settings)[:1], dry_run=dry_run)
        specs, _ = await _wanted_and_found(admin, settings)
        outcome |= await _create_missing(admin, settings, specs[1:], dry_run=dry_run)
        reports = await _compared(admin, specs, await describe_topics(admin, [spec.name for spec in specs]))
        return [outcome.get(report.name, report) for report in reports]


async def inspect_topics(admin: AIOKafkaAdminClient, settings: Settings) -> tuple[list[TopicReport], ClusterState]:
    """How every topic stands, and the cluster's own words. Changes nothing."""
    specs, cluster = await _wanted_and_found(admin, settings)
    return await _compared(admin, specs, cluster), cluster


async def _wanted_and_found(
    admin: AIOKafkaAdminClient, settings: Settings
) -> tuple[tuple[TopicSpec, ...], ClusterState]:
    cluster = await describe_topics(admin, [spec.name for spec in desired_topics(settings)])
    input_partitions = cluster.topics[settings.topics.module_log_events].partitions
    return desired_topics(settings, input_partitions or None), cluster


async def _create_missing(
    admin: AIOKafkaAdminClient, settings: Settings, specs: Sequence[TopicSpec], *, dry_run: bool
) -> dict[str, TopicReport]:
    """Create those that are not there and return once they can be used; a report for each that was tried.

    A topic that somebody else made meanwhile has no report: it is there, and has yet to be compared.
    """
    topics = (await describe_topics(admin, [spec.name for spec in specs])).topics
    missing = [spec for spec in specs if not topics[spec.name].exists]
    if not missing:
        return {}
    copies = settings.topics.replication_factor
    new = [NewTopic(spec.name, spec.partitions, copies, topic_configs=spec.config) for spec in missing]
    response = await admin.create_topics(new, validate_only=dry_run)
    answers = {name: (errors.for_code(code), message) for name, code, message, *_ in response.topic_errors}
    reports: dict[str, TopicReport] = {}
    for spec in missing:
        kind, message = answers[spec.name]
        if kind is errors.NoError:
            reports[spec.name] = TopicReport(spec.name, "missing" if dry_run else "created", spec.partitions)
        elif kind is not errors.TopicAlreadyExistsError:
            problem = f"{message or kind.description}; {_REMEDIES.get(kind, 'correct that')}"
            reports[spec.name] = TopicReport(spec.name, "failed", spec.partitions, (problem,))
    failed = {name for name, report in reports.items() if report.status == "failed"}
    if not dry_run:
        await wait_until_visible(admin, [spec.name for spec in missing if spec.name not in failed])
    return reports


async def wait_until_visible(admin: AIOKafkaAdminClient, names: Sequence[str], partitions: int = 1) -> None:
    """Return once every topic has so many partitions and their leaders: a producer must not meet an unknown one.

    Raises:
        BrokerUnavailable: they do not appear.
    """
    if not names:
        return
    try:
        async with asyncio.timeout(_VISIBLE_TIMEOUT_S):
            while True:
                topics = (await describe_topics(admin, names)).topics.values()
                if all(topic.partitions >= partitions and not topic.leaderless for topic in topics):
                    return
                await asyncio.sleep(_VISIBLE_POLL_S)
    except TimeoutError as error:
        raise BrokerUnavailable(
            f"new topics have no leader after {_VISIBLE_TIMEOUT_S:g} s: {', '.join(names)}; see the broker's log"
        ) from error


async def _compared(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], cluster: ClusterState) -> list[TopicReport]:
    configs = await _configs(admin, [spec.name for spec in specs if cluster.topics[spec.name].exists])
    return [_compare(spec, cluster.topics[spec.name], configs.get(spec.name)) for spec in specs]


async def _configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Topic -> its settings; a topic whose settings we may not read is left out."""
    if not names:
        return {}
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for code, _message, _type, name, entries in response.resources:
            if not code:
                found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _remedy_for_partitions(spec: TopicSpec, state: TopicState) -> str:
    if spec.per_partition and state.partitions < spec.partitions:
        return "stop the workers and run `modpulse state repartition`, which adds partitions and keeps the state"
    return "choose a new application_id; to delete it and run `modpulse topics create` would lose what it holds"


def _compare(spec: TopicSpec, state: TopicState, config: dict[str, str] | None) -> TopicReport:
    if state.forbidden:
        return TopicReport(spec.name, "failed", 0, ("we may not see it; grant DESCRIBE on it",))
    if not state.exists:
        return TopicReport(spec.name, "missing", spec.partitions, ("create it: `modpulse topics create`",))
    wrong = []
    notes = []
    if spec.partitions != state.partitions:
        text = f"has {state.partitions} partitions, not {spec.partitions}"
        if spec.exact:
            wrong.append(f"{text}; {_remedy_for_partitions(spec, state)}")
        else:
            notes.append(text)
    if config is None:
        notes.append("its settings cannot be read; grant DESCRIBE_CONFIGS on it")
    for key, want in spec.config.items():
        have = want if config is None else config.get(key, "")
        if key == "cleanup.policy" and set(have.split(",")) != set(want.split(",")):
            wrong.append(f"{key} is {have}, not {want}; set it with kafka-configs")
        elif key != "cleanup.policy" and have != want:
            notes.append(f"{key} is {have}, not {want}")
    status: TopicStatus = "failed" if wrong else "differs" if notes else "exists"
    return TopicReport(spec.name, status, state.partitions, (*wrong, *notes), unreadable=config is None)
