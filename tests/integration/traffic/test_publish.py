"""`publish` and `generate` on a real broker: keys, partitions and order as promised, nothing lost."""

import asyncio
import io
from collections import Counter

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic

from schemas.errors import BrokerUnavailable, ConfigError
from tests.support.broker.names import new_name
from tests.truth import partition_of
from topology.devbroker import Broker
from topology.kafka.client import admin_client, client_options
from topology.kafka.existing_topics import delete_topics, require_topics
from topology.producer.event_key import key_of
from topology.runtime.progress import Progress
from topology.settings import Settings, load_settings
from topology.traffic.events import TrafficPlan, events
from topology.traffic.generate import Job, generate
from topology.traffic.publish import Published, publish

pytestmark = pytest.mark.broker

PARTITIONS = 5
START_MS = 1_780_315_200_000
Records = dict[int, list[tuple[bytes | None, bytes]]]


def settings_for(broker: Broker) -> Settings:
    names = {"topics.module_log_events": new_name("publish")}
    return load_settings(overrides={"kafka.bootstrap_servers": broker.bootstrap_servers, **names}, environ={})


async def make_input(settings: Settings) -> None:
    async with admin_client(settings) as admin:
        await admin.create_topics([NewTopic(settings.topics.module_log_events, PARTITIONS, 1)])


async def read_all(settings: Settings) -> Records:
    """Every record of the input topic, by partition in offset order."""
    partitions = [TopicPartition(settings.topics.module_log_events, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        found: Records = {number: [] for number in range(PARTITIONS)}
        while any(len(found[partition.partition]) < end for partition, end in ends.items()):
            for partition, records in (await consumer.getmany(timeout_ms=1_000)).items():
                found[partition.partition] += [(record.key, record.value) for record in records]
        return found
    finally:
        await consumer.stop()


async def round_trip(settings: Settings, lines: list[bytes]) -> tuple[Published, Records]:
    await make_input(settings)
    done = await publish(settings, enumerate(lines, 1), Progress("published", io.StringIO()))
    return done, await read_all(settings)


def test_every_line_arrives_once_in_its_order_where_its_module_belongs(broker: Broker) -> None:
    plan = TrafficPlan(modules=30, bad=0.05, duplicates=0.05)
    traffic = events(plan, START_MS)
    lines = [next(traffic).value for _ in range(20_000)]
    done, found = asyncio.run(round_trip(settings_for(broker), lines))
    expected: Records = {number: [] for number in range(PARTITIONS)}
    for line in lines:
        key = key_of(line)
        expected[0 if key is None else partition_of(key.decode(), PARTITIONS)].append((key, line))
    assert found == expected
    assert sum(map(len, found.values())) == done.records == 20_000
    assert done.keyless == sum(key is None for records in found.values() for key, _ in records) > 0


def test_a_line_that_fits_in_no_batch_is_left_out_and_counted(broker: Broker) -> None:
    large = b'{"module_id":"a","x":"' + b"x" * 600_000 + b'"}'
    fits = b'{"module_id":"a","x":"' + b"x" * 100_000 + b'"}'
    done, found = asyncio.run(round_trip(settings_for(broker), [fits, large, fits, b"{}"]))
    assert (done.records, done.too_large) == (3, 1)
    assert sorted(value for records in found.values() for _, value in records) == sorted([fits, fits, b"{}"])


def test_generated_records_arrive_keyed_by_module_and_are_counted_by_kind(broker: Broker) -> None:
    settings = settings_for(broker)
    plan = TrafficPlan(rate=20_000, modules=20, duplicates=0.05, bad=0.05, disorder_ms=100)

    async def run(paced: bool) -> tuple[Counter[str], float]:
        done = await generate(settings, Job(plan, START_MS, 10_000, paced), Progress("generated", io.StringIO()))
        return done.kinds, done.seconds

    asyncio.run(make_input(settings))
    kinds, seconds = asyncio.run(run(paced=True))
    assert seconds >= 0.49  # the last of 10,000 records is due after half a second
    assert asyncio.run(run(paced=False))[0] == kinds
    assert kinds.total() == 10_000
    traffic = events(plan, START_MS)
    sent = Counter((record.key, record.value) for record in (next(traffic) for _ in range(10_000)))
    found = asyncio.run(read_all(settings))
    assert Counter(record for records in found.values() for record in records) == sent + sent
    for number, records in found.items():
        assert {partition_of((key or b"").decode(), PARTITIONS) for key, _ in records} <= {number}


def test_a_missing_topic_is_a_usage_error_with_the_remedy(broker: Broker) -> None:
    settings = settings_for(broker)
    with pytest.raises(ConfigError, match="run `modpulse topics create`"):
        asyncio.run(publish(settings, [(1, b"{}")], Progress("published", io.StringIO())))


def test_topics_that_were_deleted_are_missing_again(broker: Broker) -> None:
    settings = settings_for(broker)
    name = settings.topics.module_log_events

    async def make_and_delete() -> None:
        await make_input(settings)
        assert await require_topics(settings, [name]) == {name: PARTITIONS}
        await delete_topics(settings, [name])
        async with asyncio.timeout(10):
            while True:  # the controller tells the broker in a moment
                await require_topics(settings, [name])

    with pytest.raises(ConfigError, match=name):
        asyncio.run(make_and_delete())


def test_a_broker_that_is_away_is_said_to_be_unreachable() -> None:
    settings = load_settings(overrides={"kafka.bootstrap_servers": "127.0.0.1:1"}, environ={})
    with pytest.raises(BrokerUnavailable):
        asyncio.run(publish(settings, [(1, b"{}")], Progress("published", io.StringIO())))
