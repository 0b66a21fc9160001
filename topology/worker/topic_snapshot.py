"""The topics a worker needs, as the broker has them: how many partitions, and which topics they really are."""

from dataclasses import dataclass, field

from schemas.errors import ConfigError, PartitionsChanged
from topology.kafka.broker_protocol import describe_topics
from topology.kafka.client import admin_client
from topology.settings import Settings


@dataclass(frozen=True, slots=True)
class TopicSnapshot:
    """The worker's topics at one moment.

    Attributes:
        partitions: of the input; the repartition topic and the changelog have as many.
        ids: the broker's id by topic; empty texts where it does not tell.
    """

    partitions: int = 0
    ids: dict[str, str] = field(default_factory=dict)

    def id_of(self, topic: str) -> str:
        """The broker's id of a topic; empty when it does not tell."""
        return self.ids.get(topic, "")


async def look_at_topics(settings: Settings) -> TopicSnapshot:
    """The topics the worker reads or writes, all of them there and fitting each other.

    Raises:
        ConfigError: one is missing.
        PartitionsChanged: the input, the repartition topic and the changelog differ in their partitions.
        BrokerUnavailable: no broker answers.
    """
    topics = settings.topics
    outputs = (topics.module_metrics, topics.system_metrics, topics.module_alerts, topics.health_status)
    names = (topics.module_log_events, *settings.worker_topics, *outputs, topics.late, topics.dlq)
    async with admin_client(settings) as admin:
        found = (await describe_topics(admin, names)).topics
    missing = [name for name in names if name not in found or not found[name].partitions]
    if missing:
        raise ConfigError(f"these topics do not exist: {', '.join(missing)}; run `modpulse topics create`")
    count = found[topics.module_log_events].partitions
    for name in (settings.changelog_topic, settings.repartition_topic):
        if found[name].partitions != count:
            raise PartitionsChanged(
                f"{topics.module_log_events} has {count} partitions, {name} has {found[name].partitions}, so modules may have"
                " moved to other partitions. Stop all workers and run `modpulse state repartition`, which moves the state of each"
                " module to its new partition; or choose a new application_id"
            )
    return TopicSnapshot(count, {name: found[name].topic_id for name in names})


def refuse_other_count(former: TopicSnapshot, now: TopicSnapshot, topic: str) -> None:
    """A worker whose tasks were made for one partition count must not go on with another.

    Raises:
        PartitionsChanged: the count has changed.
    """
    if former.partitions and former.partitions != now.partitions:
        raise PartitionsChanged(
            f"{topic} had {former.partitions} partitions when this worker began and has {now.partitions} now, so modules move to"
            " other partitions. Stop all workers and run `modpulse state repartition`, which moves the state of each module to"
            " its new partition"
        )
