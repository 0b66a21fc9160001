"""`topics create` and `doctor` on a real broker."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from schemas.errors import BrokerUnavailable
from tests.support.broker.names import new_name
from topology.devbroker import Broker
from topology.kafka.broker_protocol import quorum_time
from topology.kafka.client import admin_client, client_options
from topology.kafka.topic_admin import create_topics
from topology.monitor.doctor import examine
from topology.monitor.finding import Finding
from topology.settings import Settings, load_settings
from topology.settings.sections import TOPIC_FIELDS

pytestmark = pytest.mark.broker


def settings_for(broker: Broker, **more: str) -> Settings:
    """Settings whose every topic is this test's own, also on a broker that has seen the test before."""
    fleet = new_name("doctor")
    names = {f"topics.{field}": f"{fleet}.{field}" for field in TOPIC_FIELDS}
    flags = {"kafka.bootstrap_servers": broker.bootstrap_servers, "application_id": fleet, **names, **more}
    return load_settings(overrides=flags, environ={})


async def make(settings: Settings, topic: NewTopic) -> None:
    async with admin_client(settings) as admin:
        await admin.create_topics([topic])


def by_check(findings: tuple[Finding, ...], check: str) -> list[Finding]:
    return [finding for finding in findings if finding.check == check]


def test_creating_topics_twice_changes_nothing(broker: Broker) -> None:
    settings = settings_for(broker)
    dry = asyncio.run(create_topics(settings, dry_run=True))
    assert {report.status for report in dry} == {"missing"}
    first = asyncio.run(create_topics(settings, dry_run=False))
    assert {report.status for report in first} == {"created"}
    assert len(first) == len(TOPIC_FIELDS) + len(settings.internal_topics)
    second = asyncio.run(create_topics(settings, dry_run=False))
    assert {(report.status, report.details) for report in second} == {("exists", ())}
    assert [report.partitions for report in second] == [report.partitions for report in first]


def test_topics_of_a_former_build_are_told_how_they_differ(broker: Broker) -> None:
    """Nobody may change them but their operator: until then letters have the worker's clock, and retention counts from that."""
    settings = settings_for(broker)
    week = {"cleanup.policy": "delete", "retention.ms": "604800000", "max.message.bytes": str(8 << 20)}
    for name in (settings.topics.dlq, settings.repartition_topic):
        asyncio.run(make(settings, NewTopic(name, 4, 1, topic_configs=week)))
    reports = {report.name: report for report in asyncio.run(create_topics(settings, dry_run=False))}
    stamped = "message.timestamp.type is CreateTime, not LogAppendTime"
    assert reports[settings.topics.dlq].details == ("retention.ms is 604800000, not 1209600000", stamped)
    assert reports[settings.repartition_topic].details == (
        "retention.ms is 604800000, not -1",
        stamped,
        "segment.bytes is 1073741824, not 67108864",
    )
    said = [one.text for one in by_check(asyncio.run(examine(settings)).findings, "topic") if one.status == "warn"]
    assert sum(stamped in text for text in said) == 2


def test_internal_topics_follow_an_input_that_exists(broker: Broker) -> None:
    settings = settings_for(broker)
    asyncio.run(make(settings, NewTopic(settings.topics.module_log_events, 7, 1)))
    reports = {report.name: report for report in asyncio.run(create_topics(settings, dry_run=False))}
    assert reports[settings.changelog_topic].partitions == 7
    assert reports[settings.repartition_topic].partitions == 7
    given = reports[settings.topics.module_log_events]
    assert given.status == "differs"
    assert any(detail.startswith("max.message.bytes is ") for detail in given.details)
    assert not given.is_finding


def test_an_internal_topic_that_cannot_be_used_is_a_finding(broker: Broker) -> None:
    settings = settings_for(broker)
    asyncio.run(make(settings, NewTopic(settings.changelog_topic, 3, 1)))
    reports = {report.name: report for report in asyncio.run(create_topics(settings, dry_run=False))}
    changelog = reports[settings.changelog_topic]
    assert changelog.is_finding
    assert any("has 3 partitions, not 4" in detail for detail in changelog.details)
    assert any("cleanup.policy is delete, not compact" in detail for detail in changelog.details)


def test_too_many_copies_for_the_cluster_is_a_finding_with_the_setting(broker: Broker) -> None:
    settings = settings_for(broker, **{"topics.replication_factor": "9"})
    reports = asyncio.run(create_topics(settings, dry_run=False))
    assert {report.status for report in reports} == {"failed"}
    assert all("topics.replication_factor" in report.details[0] for report in reports)


def test_the_doctor_names_what_is_missing_and_then_is_content(broker: Broker) -> None:
    settings = settings_for(broker)
    before = asyncio.run(examine(settings))
    missing = by_check(before.findings, "topic")
    assert {finding.remedy for finding in missing} == {"run `modpulse topics create`"}
    assert len(missing) == len(TOPIC_FIELDS) + len(settings.internal_topics)
    asyncio.run(create_topics(settings, dry_run=False))
    after = asyncio.run(examine(settings))
    assert after.error is None
    assert [finding for finding in after.findings if finding.status == "fail"] == []
    timeouts = ("kafka.session_timeout", "kafka.transaction_timeout")
    for check in ("codecs", "broker", "advertised", "clock", "permissions", *timeouts):
        assert {finding.status for finding in by_check(after.findings, check)} == {"ok"}, check


@pytest.mark.parametrize(
    ("name", "asked", "limit"),
    [
        ("kafka.session_timeout", "5s", "group.min.session.timeout.ms"),
        ("kafka.session_timeout", "1h", "group.max.session.timeout.ms"),
        ("kafka.transaction_timeout", "20m", "transaction.max.timeout.ms"),
    ],
)
def test_the_doctor_finds_a_timeout_that_the_broker_would_refuse(
    broker: Broker, name: str, asked: str, limit: str
) -> None:
    diagnosis = asyncio.run(examine(settings_for(broker, **{name: asked})))
    (finding,) = by_check(diagnosis.findings, name)
    assert finding.status == "fail"
    assert limit in finding.remedy


def test_the_doctor_tells_the_lag_of_each_partition(broker: Broker) -> None:
    settings = settings_for(broker)
    topic = settings.topics.module_log_events

    async def produce_three_and_commit_one() -> None:
        await create_topics(settings, dry_run=False)
        producer = AIOKafkaProducer(**client_options(settings))
        await producer.start()
        try:
            for _ in range(3):
                await producer.send_and_wait(topic, b"x", partition=2)
        finally:
            await producer.stop()
        consumer = AIOKafkaConsumer(
            **client_options(settings), group_id=settings.application_id, enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, 2)])
            await consumer.commit({TopicPartition(topic, 2): 1})
        finally:
            await consumer.stop()

    asyncio.run(produce_three_and_commit_one())
    lag = by_check(asyncio.run(examine(settings)).findings, "lag")
    assert lag[0] == Finding("lag", "ok", f"{topic}: 2 records behind (0:0 1:0 2:2 3:0)")
    assert lag[1].status == "warn"


def test_the_controllers_clock_is_read_between_two_readings_of_ours(broker: Broker) -> None:
    async def read() -> int | None:
        async with admin_client(settings_for(broker)) as admin:
            reading = await quorum_time(admin)
            return None if reading is None else reading.skew_ms

    skew_ms = asyncio.run(read())
    assert skew_ms is not None
    assert abs(skew_ms) < 1_000


def test_a_listener_that_does_not_speak_tls_is_named(broker: Broker) -> None:
    settings = settings_for(broker, **{"kafka.security_protocol": "SSL"})
    with pytest.raises(BrokerUnavailable, match="check that it speaks SSL"):
        asyncio.run(create_topics(settings, dry_run=True))
