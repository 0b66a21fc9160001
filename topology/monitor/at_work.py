"""Is anybody working: members of the group, when the state was written last, and how old what waits is."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient

from topology.kafka.broker_protocol import ClusterState
from topology.kafka.client import client_options
from topology.monitor.finding import Finding
from topology.monitor.freshness import age, wall_ms
from topology.settings import Settings

# The steps in which the time of the last commit is looked for.
_STEPS_MS = (60_000, 600_000, 3_600_000, 86_400_000)
# A worker with something to do commits far more often than that.
_RECENT_MS = 60_000
_GOOD_STATES = ("Stable", "PreparingRebalance", "CompletingRebalance")


@dataclass(frozen=True, slots=True)
class Work:
    """What can be seen of workers from outside.

    Attributes:
        members: of the group; None where the broker does not tell.
        state: of the group, in Kafka's words.
        committed_within_ms: the newest transaction is at most this old; None: older than all that was looked for.
        ever: the state holds anything at all.
        waiting: records of the input that were not processed yet.
    """

    members: int | None
    state: str
    committed_within_ms: int | None
    ever: bool
    waiting: int


def verdict(work: Work, group: str) -> Finding:
    """What to make of it."""
    if work.members is None:
        return Finding(
            "worker", "warn", f"the members of group {group} cannot be asked", "grant DESCRIBE on that group"
        )
    last = "nothing was ever committed"
    if work.ever:
        within = work.committed_within_ms
        last = f"the last commit is less than {age(within)} old" if within else "the last commit is more than 1 d old"
    if work.members == 0:
        waiting = f", {work.waiting} records wait" if work.waiting else ""
        text = f"nobody works: group {group} has no member{waiting}; {last}"
        return Finding("worker", "fail" if work.ever else "warn", text, "start a worker: `modpulse run`")
    who = f"{work.members} {'member' if work.members == 1 else 'members'} in group {group} ({work.state})"
    recent = work.committed_within_ms is not None and work.committed_within_ms <= _RECENT_MS
    if work.waiting and not recent:
        remedy = "look at /readyz and the log of the workers: a task may be parked, or restoring"
        return Finding("worker", "fail", f"{who}, and {work.waiting} records wait; {last}", remedy)
    return Finding("worker", "ok", f"{who}; {last}")


async def at_work(admin: AIOKafkaAdminClient, settings: Settings, cluster: ClusterState) -> list[Finding]:
    """One finding, once the topics are there."""
    state, source = settings.changelog_topic, settings.topics.module_log_events
    if not (cluster.topics[state].exists and cluster.topics[source].exists):
        return []
    members, group_state = await _members(admin, settings.application_id)
    consumer = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        logs = [TopicPartition(state, number) for number in range(cluster.topics[state].partitions)]
        within, ever = await _last_commit(consumer, logs)
        sources = [TopicPartition(source, number) for number in range(cluster.topics[source].partitions)]
        waiting = await _waiting(admin, consumer, settings.application_id, sources)
    finally:
        await consumer.stop()
    return [verdict(Work(members, group_state, within, ever, waiting), settings.application_id)]


async def _members(admin: AIOKafkaAdminClient, group: str) -> tuple[int | None, str]:
    try:
        (answer,) = await admin.describe_consumer_groups([group])
        code, _group, state, _kind, _protocol, members, *_ = answer.groups[0]
    except (errors.KafkaError, ValueError, IndexError):
        return None, ""
    return (len(members) if state in _GOOD_STATES else 0, state) if not code else (None, "")


async def _last_commit(consumer: AIOKafkaConsumer, logs: Sequence[TopicPartition]) -> tuple[int | None, bool]:
    """How old the newest record of the state is at most, and whether there is any."""
    now_ms = wall_ms()
    firsts, ends = await consumer.beginning_offsets(logs), await consumer.end_offsets(logs)
    ever = any(ends[log] > firsts[log] for log in logs)
    for step_ms in _STEPS_MS:
        found = await consumer.offsets_for_times(dict.fromkeys(logs, now_ms - step_ms))
        if any(mark is not None for mark in found.values()):
            return step_ms, ever
    return None, ever


async def _waiting(
    admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, group: str, sources: Sequence[TopicPartition]
) -> int:
    try:
        marks = await admin.list_consumer_group_offsets(group, partitions=list(sources))
    except errors.KafkaError:
        return 0
    firsts, ends = await consumer.beginning_offsets(sources), await consumer.end_offsets(sources)
    done = {part: marks[part].offset if part in marks and marks[part].offset >= 0 else firsts[part] for part in sources}
    return sum(max(0, ends[part] - done[part]) for part in sources)
