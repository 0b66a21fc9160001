"""What can be known to be wrong before a worker starts: one finding per question, each with its remedy.

Every question only reads. Nothing is produced, committed, created or fenced, so this may be asked of a cluster in use.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition, codec, errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.native import load_native
from schemas.errors import BrokerUnavailable, ModpulseError
from topology.kafka.broker_protocol import ClusterState, TopicState, describe_topics, quorum_time
from topology.kafka.client import admin_client, client_options
from topology.kafka.topic_admin import TopicReport, inspect_topics
from topology.monitor.at_work import at_work
from topology.monitor.finding import Finding, Status
from topology.runtime.native_build import REMEDY
from topology.settings import Settings, split_host_port

# Half the default grace: beyond it an event on time here may be late, or from the future, there.
_MAX_SKEW_MS = 5_000
_SAFE_COPIES = 3
_OFFSETS_TOPIC = "__consumer_offsets"
_TOPIC_STATUS: dict[str, Status] = {"exists": "ok", "differs": "warn", "missing": "fail", "failed": "fail"}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, and the error that ended the examination early, if one did."""

    findings: tuple[Finding, ...]
    error: ModpulseError | None = None


async def examine(settings: Settings) -> Diagnosis:
    """Ask everything; a broker that cannot be reached ends it with what was found until then."""
    findings = [_codecs(), _native(settings)]
    try:
        started = time.monotonic()
        async with admin_client(settings) as admin:
            elapsed_ms = (time.monotonic() - started) * 1_000
            findings += await _brokers(admin, settings, elapsed_ms)
            findings.append(await _clock(admin))
            findings += await _timeouts(admin, settings)
            reports, cluster = await inspect_topics(admin, settings)
            findings += [_topic(report) for report in reports]
            findings += _copies(settings, cluster)
            findings += _permissions(settings, cluster)
            findings += await _lag(admin, settings, cluster)
            findings += await at_work(admin, settings, cluster)
    except ModpulseError as error:
        text, _, remedy = str(error).rpartition("; ")
        check = "broker" if isinstance(error, BrokerUnavailable) else "access"
        return Diagnosis((*findings, Finding(check, "fail", text, remedy)), error)
    return Diagnosis(tuple(findings))


def _native(settings: Settings) -> Finding:
    if settings.native == "off":
        return Finding("native", "warn", "the compiled part is switched off", 'set native = "auto"')
    if load_native() is not None:
        return Finding("native", "ok", "the compiled part is in use")
    return Finding(
        "native",
        "fail" if settings.native == "require" else "warn",
        "the compiled part was not built (or from other sources): a fraction of the throughput",
        REMEDY,
    )


def _codecs() -> Finding:
    present = {"lz4": codec.has_lz4(), "snappy": codec.has_snappy(), "zstd": codec.has_zstd()}
    absent = [name for name, there in present.items() if not there]
    if absent:
        return Finding(
            "codecs",
            "fail",
            f"cannot read batches compressed with {', '.join(absent)}",
            "install aiokafka[lz4,snappy,zstd] from requirements.lock",
        )
    return Finding("codecs", "ok", "gzip, lz4, snappy and zstd can be read")


async def _timeouts(admin: AIOKafkaAdminClient, settings: Settings) -> list[Finding]:
    """Whether the broker grants the timeouts that are asked of it; it would refuse the worker for good."""
    node_id = next(iter(sorted(int(broker.nodeId) for broker in admin._client.cluster.brokers())))
    found: dict[str, str] = {}
    for response in await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, str(node_id))]):
        for code, _message, _type, _name, entries in response.resources:
            if not code:
                found |= {entry[0]: entry[1] for entry in entries}
    kafka = settings.kafka
    limits = (
        (
            "kafka.session_timeout",
            kafka.session_timeout,
            "group.min.session.timeout.ms",
            "group.max.session.timeout.ms",
        ),
        ("kafka.transaction_timeout", kafka.transaction_timeout, None, "transaction.max.timeout.ms"),
    )
    findings = []
    for name, asked_ms, least, most in limits:
        low_ms, high_ms = int(found.get(least or "", 0)), int(found.get(most, asked_ms))
        if low_ms <= asked_ms <= high_ms:
            findings.append(Finding(name, "ok", f"{asked_ms} ms is within what the broker grants"))
        else:
            text = f"{asked_ms} ms is outside what the broker grants, {low_ms} to {high_ms} ms"
            theirs = least if asked_ms < low_ms else most
            findings.append(Finding(name, "fail", text, f"correct {name}, or the broker's {theirs}"))
    return findings


async def _brokers(admin: AIOKafkaAdminClient, settings: Settings, elapsed_ms: float) -> list[Finding]:
    """Whether each broker can be reached where it says it is; that is where every later connection goes."""
    brokers = admin._client.cluster.brokers()
    findings = [Finding("broker", "ok", f"{settings.kafka.bootstrap_servers} answers in {elapsed_ms:.0f} ms")]
    given = {split_host_port(server) for server in settings.kafka.servers}
    for broker in sorted(brokers, key=lambda one: int(one.nodeId)):
        address = f"{broker.host}:{broker.port}"
        if not await admin._client.ready(broker.nodeId):
            findings.append(
                Finding(
                    "advertised",
                    "fail",
                    f"broker {broker.nodeId} advertises {address}, which cannot be reached from here",
                    "correct advertised.listeners of that broker, or make the name resolve here",
                )
            )
        elif broker.host in {host for host, _ in given} or len(brokers) > len(given):
            findings.append(Finding("advertised", "ok", f"broker {broker.nodeId} is reached at {address}"))
        else:
            findings.append(
                Finding(
                    "advertised",
                    "warn",
                    f"broker {broker.nodeId} advertises {address}, not {settings.kafka.bootstrap_servers}",
                    "if other machines cannot connect, correct advertised.listeners",
                )
            )
    return findings


async def _clock(admin: AIOKafkaAdminClient) -> Finding:
    reading = await quorum_time(admin)
    if reading is None:
        return Finding(
            "clock",
            "warn",
            "the cluster does not tell its time (it needs KRaft, Kafka 3.3, and DESCRIBE on the cluster)",
            "compare the clocks yourself; run NTP on every machine",
        )
    text = f"the controller's clock is within {abs(reading.skew_ms)} ms of this machine's"
    if abs(reading.skew_ms) <= _MAX_SKEW_MS:
        return Finding("clock", "ok", text)
    side = "ahead of" if reading.skew_ms > 0 else "behind"
    text = f"the controller's clock is {abs(reading.skew_ms)} ms {side} this machine's"
    return Finding("clock", "warn", text, "run NTP on both machines")


def _topic(report: TopicReport) -> Finding:
    status = _TOPIC_STATUS[report.status]
    if status == "ok":
        return Finding("topic", "ok", f"{report.name}: partitions {report.partitions}")
    text = "; ".join(report.details)
    if report.status == "missing":
        return Finding("topic", "fail", f"{report.name} does not exist", "run `modpulse topics create`")
    if status == "warn" and not report.unreadable:
        return Finding(
            "topic", "warn", f"{report.name}: {text}", "change it with kafka-configs, or leave it if it is meant"
        )
    problem, _, remedy = text.rpartition("; ")
    return Finding("topic", status, f"{report.name}: {problem}", remedy)


def _copies(settings: Settings, cluster: ClusterState) -> list[Finding]:
    if len(cluster.brokers) < _SAFE_COPIES:
        return []
    there = [topic for topic in cluster.topics.values() if topic.exists]
    few = [topic.name for topic in there if topic.replication_factor < _SAFE_COPIES]
    asked = settings.topics.replication_factor
    if len(there) < len(cluster.topics) and asked < _SAFE_COPIES:
        return [
            Finding(
                "copies",
                "warn",
                f"topics that are made have {asked} {'copy' if asked == 1 else 'copies'}: topics.replication_factor = {asked}",
                "set topics.replication_factor = 3 before `modpulse topics create`",
            )
        ]
    if not there:
        return []
    if not few:
        return [Finding("copies", "ok", "every topic has at least three copies")]
    return [
        Finding(
            "copies",
            "warn",
            f"fewer than three copies: {', '.join(few)}",
            "reassign them with kafka-reassign-partitions; set topics.replication_factor = 3 for new ones",
        )
    ]


def _permissions(settings: Settings, cluster: ClusterState) -> list[Finding]:
    if not any(topic.exists for topic in cluster.topics.values()):
        return []
    lacking = [
        f"{operation} on {topic.name}"
        for topic in cluster.topics.values()
        if topic.exists
        for operation in _needed(settings, topic)
        if operation not in topic.allowed
    ]
    if lacking:
        return [Finding("permissions", "fail", f"not allowed: {', '.join(lacking)}", "grant these ACLs")]
    repartition = cluster.topics[settings.repartition_topic]
    if repartition.exists and "DELETE" not in repartition.allowed:
        return [
            Finding(
                "permissions",
                "warn",
                f"not allowed: DELETE on {repartition.name}, so processed records stay there",
                "grant that ACL, or give it a retention.ms beyond the longest backlog",
            )
        ]
    return [Finding("permissions", "ok", "READ and WRITE are granted where needed (transactional ids cannot be asked)")]


def _needed(settings: Settings, topic: TopicState) -> tuple[str, ...]:
    if topic.name in settings.internal_topics:
        return ("READ", "WRITE")
    if topic.name in {settings.topics.module_log_events, settings.topics.metric_samples}:
        return ("READ",)
    return ("WRITE",)


async def _lag(admin: AIOKafkaAdminClient, settings: Settings, cluster: ClusterState) -> list[Finding]:
    """How many records each partition of what the worker reads is behind; the group is the application id."""
    names = (settings.topics.module_log_events, settings.repartition_topic)
    topics = [cluster.topics[name] for name in names if cluster.topics[name].exists]
    if not topics:
        return []
    group = settings.application_id
    partitions = [TopicPartition(topic.name, index) for topic in topics for index in range(topic.partitions)]
    try:
        committed = await _committed(admin, group, partitions)
    except errors.GroupAuthorizationFailedError:
        return [Finding("lag", "fail", f"not allowed: READ on group {group}", "grant that ACL")]
    except (errors.GroupCoordinatorNotAvailableError, errors.GroupLoadInProgressError):
        return [Finding("lag", "warn", f"the coordinator of group {group} is not ready", "ask again in a minute")]
    ends = await _ends(settings, partitions)
    return [_lag_of(topic, group, committed, ends) for topic in topics]


async def _committed(
    admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """What the group committed; asked only where a group ever did, for the question itself makes the offsets topic."""
    offsets = (await describe_topics(admin, [_OFFSETS_TOPIC])).topics[_OFFSETS_TOPIC]
    if not offsets.exists and not offsets.forbidden:
        return {}
    found = await admin.list_consumer_group_offsets(group, partitions=partitions)
    return {partition: mark.offset for partition, mark in found.items()}


async def _ends(settings: Settings, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
    try:
        await consumer.start()
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        return ends
    finally:
        await consumer.stop()


def _lag_of(
    topic: TopicState, group: str, committed: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> Finding:
    marks = [(committed.get(part, -1), ends[part]) for part in sorted(ends) if part.topic == topic.name]
    if all(mark < 0 for mark, _ in marks):
        text = f"{topic.name}: group {group} has not committed yet, {sum(end for _, end in marks)} records in all"
        return Finding("lag", "warn", text, "start a worker: `modpulse run`")
    if any(mark > end for mark, end in marks):
        ahead = ", ".join(str(index) for index, (mark, end) in enumerate(marks) if mark > end)
        return Finding(
            "lag",
            "fail",
            f"{topic.name}: group {group} is ahead of the log on partitions {ahead}: the topic was made anew",
            "choose a new application_id, or reset the group and delete the internal topics",
        )
    behind = [end - max(mark, 0) for mark, end in marks]
    each = " ".join(f"{index}:{lag}" for index, lag in enumerate(behind))
    return Finding("lag", "ok", f"{topic.name}: {sum(behind)} records behind ({each})")
