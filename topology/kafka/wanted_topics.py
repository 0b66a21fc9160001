"""The topics this application wants, as data. Creating them is `topology.kafka.topic_admin`'s business.

| topic | cleanup | why |
|---|---|---|
| input, late, dead letters | delete | each record is an event of its own |
| repartition | delete, but not by time | the worker deletes what it has processed (`topology.worker.repartition_trim`) |
| outputs with a window in their key | compact,delete | the newest revision of a key is enough; old windows end with retention |
| health-status, changelogs, replayed letters | compact | the newest record of every key must stay for ever |
"""

from dataclasses import dataclass, field, replace

from topology.settings import Settings

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

# A weekend and the Monday after it: what a reader that was down may still want to see.
_EVENT_RETENTION_MS = 7 * _DAY_MS
# Somebody has to look at these by hand.
_DEAD_LETTER_RETENTION_MS = 14 * _DAY_MS
_ALERT_RETENTION_MS = 30 * _DAY_MS

# One batch of the input. What it may hold is bounded by `limits.max_batch_bytes`; this bounds what is fetched for it.
_INPUT_BATCH_BYTES = 1 << 20
# A batch of the input may come out as one letter, and so may a record that was compressed well.
_FORWARDED_BATCH_BYTES = 8 << 20
# Retention counts from when a letter or a forwarded record was written, not from when its event came in; nor may the broker
# refuse a record because the clock of its sender was wrong.
_WHEN_WRITTEN = {"message.timestamp.type": "LogAppendTime"}
_FOR_EVER = -1
# What was deleted by offset frees its disk only with its whole segment; Kafka's own are 1 GiB.
_TRIMMED = {"segment.bytes": str(64 << 20)}
# One record carries a merged sketch; a flush sends large batches.
_STATE_BATCH_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it should be.

    Attributes:
        name: the topic.
        partitions: how many.
        config: topic settings other than the broker's defaults.
        exact: whether another partition count is wrong (internal topics) or merely different (everybody else's).
        per_partition: it has a partition for each of the input, which `modpulse state repartition` keeps so.
    """

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)
    exact: bool = False
    per_partition: bool = False


def desired_topics(settings: Settings, input_partitions: int | None = None) -> tuple[TopicSpec, ...]:
    """Every topic of the contract and every internal one.

    Args:
        settings: names, partitions, replication and windows.
        input_partitions: how many partitions the input has, when it exists; `topics.partitions` otherwise.
    """
    topics = settings.topics
    partitions = topics.partitions
    tasks = input_partitions or partitions
    window_ms = _window_retention_ms(settings)
    events = _deleted(_EVENT_RETENTION_MS, **{"max.message.bytes": str(_INPUT_BATCH_BYTES)})
    forwarded = {"max.message.bytes": str(_FORWARDED_BATCH_BYTES)} | _WHEN_WRITTEN
    outputs = _compacted_and_deleted(max(window_ms, _EVENT_RETENTION_MS))
    wanted = (
        TopicSpec(topics.module_log_events, tasks, events),
        TopicSpec(topics.metric_samples, partitions, events),
        TopicSpec(topics.module_metrics, partitions, outputs),
        # A handful of records a second: one partition keeps them in order for every reader.
        TopicSpec(topics.system_metrics, 1, outputs),
        TopicSpec(topics.metric_aggregates, partitions, outputs),
        TopicSpec(topics.module_alerts, partitions, _compacted_and_deleted(_ALERT_RETENTION_MS)),
        TopicSpec(topics.health_status, partitions, _compacted()),
        TopicSpec(topics.late, partitions, _deleted(_EVENT_RETENTION_MS, **forwarded)),
        TopicSpec(topics.dlq, partitions, _deleted(_DEAD_LETTER_RETENTION_MS, **forwarded)),
        TopicSpec(settings.changelog_topic, tasks, _changelog(), exact=True, per_partition=True),
        TopicSpec(
            settings.repartition_topic,
            tasks,
            _deleted(_FOR_EVER, **forwarded, **_TRIMMED),
            exact=True,
            per_partition=True,
        ),
        TopicSpec(settings.partials_topic, 1, _compacted_and_deleted(window_ms), exact=True),
        TopicSpec(settings.system_changelog_topic, 1, _changelog(), exact=True),
        # Written by hand now and then, and read whole each time: one partition is one reader.
        TopicSpec(settings.replayed_topic, 1, _changelog(), exact=True),
    )
    if topics.replication_factor < 3:
        return wanted
    # A write is acknowledged by two of three copies: one broker may be lost without losing a record.
    safe = {"min.insync.replicas": "2"}
    return tuple(replace(spec, config=spec.config | safe) for spec in wanted)


def _window_retention_ms(settings: Settings) -> int:
    """How long a record about a window may still be read or corrected: its size, its lateness, and a day."""
    windows = settings.windows
    return windows.sizes[-1][1] + windows.grace + windows.corrections + _DAY_MS


def _deleted(retention_ms: int, **more: str) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(retention_ms), **more}


def _compacted(**more: str) -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        # The active segment is never compacted: an hour bounds what a new reader reads in vain.
        "segment.ms": str(_HOUR_MS),
        **more,
    }


def _compacted_and_deleted(retention_ms: int) -> dict[str, str]:
    return _compacted() | {"cleanup.policy": "compact,delete", "retention.ms": str(retention_ms)}


def _changelog() -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        # A restore reads everything that is not compacted yet: at most 64 MiB or 10 minutes in the active segment ...
        "segment.bytes": str(64 << 20),
        "segment.ms": str(600_000),
        # ... and a tenth of the rest.
        "min.cleanable.dirty.ratio": "0.1",
        # Longer than the longest restore, so that a reader on its way never misses a deletion.
        "delete.retention.ms": str(_HOUR_MS),
        "max.message.bytes": str(_STATE_BATCH_BYTES),
    }
