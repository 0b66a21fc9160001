"""The events of a run: seeded, about 200 bytes of JSON each, loaded once and read by every program."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import orjson
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from topology.kafka.topic_admin import create_topics
from topology.settings import Settings
from topology.traffic.batch_sender import batch_sender

COMPRESSION = "lz4"
_CHUNK = 20_000
# Below limits.max_label_value_chars.
_LABEL = 200


@dataclass(frozen=True, slots=True)
class Workload:
    """What the input holds.

    Attributes:
        events: how many.
        modules: spread evenly over the events.
        partitions: of the input topic.
        span_s: event time covered; it ends when the load begins.
        disorder_ms: an event may be that much older than one before it.
        padding: bytes of text in labels, to make events larger.
        seed: of everything random.
    """

    events: int = 1_500_000
    modules: int = 500
    partitions: int = 4
    span_s: int = 300
    disorder_ms: int = 2_000
    padding: int = 0
    seed: int = 1

    def sized(self, events: int) -> "Workload":
        """The same with another number of events."""
        return replace(self, events=events)


def module_name(number: int) -> str:
    """The id of a module."""
    return f"module-{number:05d}"


def records(workload: Workload, end_ms: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """Chunks of (key, value), in order of sending; the same workload and end give the same bytes."""
    random = np.random.default_rng(workload.seed)
    span_ms = workload.span_s * 1_000
    keys = [module_name(number).encode() for number in range(workload.modules)]
    names = [key.decode() for key in keys]
    notes = {f"note-{n}": "x" * min(_LABEL, workload.padding - n) for n in range(0, workload.padding, _LABEL)}
    labels = {"labels": notes} if notes else {}
    for low in range(0, workload.events, _CHUNK):
        size = min(_CHUNK, workload.events - low)
        due = end_ms - span_ms + np.arange(low, low + size) * span_ms // workload.events
        times = (due - random.integers(0, workload.disorder_ms, size)).tolist()
        modules = random.integers(0, workload.modules, size).tolist()
        times_ms = np.round(random.lognormal(3.0, 1.0, size), 3).tolist()
        failed = (random.random(size) < 0.02).tolist()
        gauges = random.integers(1, 100, (size, 3)).tolist()
        yield [
            (
                keys[module],
                orjson.dumps(
                    {
                        "module_id": names[module],
                        "timestamp": time_ms,
                        "success": not bad,
                        "response_time_ms": took_ms,
                        "event_id": f"{number:012x}-{module:05d}",
                        "memory_bytes": 1_000_000 + number,
                        "cpu_percent": cpu + 0.5,
                        "goroutines": routines,
                        "db_connections": connections,
                        **labels,
                    }
                ),
            )
            for number, (module, time_ms, took_ms, bad, (cpu, routines, connections)) in enumerate(
                zip(modules, times, times_ms, failed, gauges, strict=True), low
            )
        ]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A preloaded topic."""

    topic: str
    workload: Workload
    bytes_per_event: float
    seconds: float


def load(settings: Settings, workload: Workload, compression: str | None = COMPRESSION) -> Loaded:
    """Create the input topic of these settings and fill it; everything is acknowledged at the end."""
    return asyncio.run(_load(settings, workload, compression))


async def _load(settings: Settings, workload: Workload, compression: str | None) -> Loaded:
    await create_topics(settings, dry_run=False)
    topic = settings.topics.module_log_events
    began, size = time.monotonic(), 0
    async with batch_sender(settings, topic, compression) as sender:
        for chunk in records(workload, time.time_ns() // 1_000_000):
            await sender.send(chunk)
            size += sum(len(value) for _, value in chunk)
            await asyncio.sleep(0)
    return Loaded(topic, workload, size / max(workload.events, 1), time.monotonic() - began)


async def make_topic(bootstrap_servers: str, name: str, partitions: int) -> None:
    """A plain topic for a peer's output."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()


async def remove_topics(bootstrap_servers: str, begin: str) -> None:
    """Delete every topic whose name begins so: what a run left behind."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(begin)]
        if names:
            await admin.delete_topics(names)
    finally:
        await admin.close()
