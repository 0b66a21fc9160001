"""An input topic from which compaction has taken most records: gaps everywhere, empty batches, offsets that never come back."""

import itertools
import random
import time
from typing import Any

import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.faults.crew import Application
from tests.faults.judge.reader import read
from tests.faults.traffic import wall_ms

MODULES, ROUNDS = 2_000, 20
PADDING = "x" * 300
LEAST_REMOVED, LEAST_GAPS = 10_000, 300
DEADLINE_S = 120.0
POLL_S = 0.5
# Between two looks that must agree: longer than a cleaning of this log takes to show.
SETTLE_S = 2.0
COMPACT = {
    "cleanup.policy": "compact",
    # The least there is: the segment that is written to is never compacted.
    "segment.bytes": "1048576",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "86400000",
}


def prepare(application: Application, seed: int) -> list[str]:
    """Fill the input, wait until the broker has removed records, and let it remove no more: what is left is the input.

    Every module's later events replace its earlier ones; every tenth module ends with a tombstone, which is a dead letter.
    """
    admin = AdminClient({"bootstrap.servers": application.servers, "log_level": 0})
    _alter(admin, application.input, COMPACT)
    # Idempotent: compaction keeps a producer's last batch for its sequence number, as an empty one.
    producer: Any = Producer(
        {
            "bootstrap.servers": application.servers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "queue.buffering.max.messages": 200_000,
            "log_level": 0,
        }
    )
    start = wall_ms() - 2_000
    # At random, so that what is left stands here and there.
    rng = random.Random(seed)
    for number in range(MODULES * ROUNDS):
        chosen = rng.randrange(MODULES)
        module = f"key-{chosen}"
        event = {
            "module_id": module,
            "timestamp": start + number // ROUNDS,
            "success": number % 50 != 0,
            "response_time_ms": 1.0 + number % 97,
            "padding": PADDING,
        }
        gone = chosen % 10 == 0 and number >= MODULES * (ROUNDS - 2)
        producer.produce(application.input, None if gone else orjson.dumps(event), module.encode())
        if number % 500 == 0 and producer.flush(DEADLINE_S):
            raise RuntimeError("the backlog was not delivered")
    producer.flush(DEADLINE_S)
    end = time.monotonic() + DEADLINE_S
    while (removed := MODULES * ROUNDS - len(read(application.servers, application.input))) < LEAST_REMOVED:
        if time.monotonic() > end:
            raise TimeoutError(f"compaction has removed {removed} records, {LEAST_REMOVED} were waited for")
        time.sleep(POLL_S)
    # Settings are looked at when a cleaning begins, so one may be under way: what counts is what is there when nothing moves.
    _alter(admin, application.input, {"cleanup.policy": "delete"})
    left = _settled(application)
    gaps = sum(one[0] == other[0] and other[1] - one[1] > 1 for one, other in itertools.pairwise(left))
    if gaps < LEAST_GAPS:
        raise RuntimeError(f"compaction left {gaps} gaps")
    total = MODULES * ROUNDS
    return [f"Compaction removed {total - len(left):,} of {total:,} records and left {gaps:,} gaps"]


def _settled(application: Application) -> list[tuple[int, int]]:
    """Partition and offset of what is there, once it is the same two times.

    Raises:
        TimeoutError: it kept changing.
    """
    before: list[tuple[int, int]] = []
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        now = [(record.partition, record.offset) for record in read(application.servers, application.input)]
        if now == before:
            return now
        before = now
        time.sleep(SETTLE_S)
    raise TimeoutError(f"compaction did not come to rest within {DEADLINE_S:g} s")


def _alter(admin: Any, topic: str, config: dict[str, str]) -> None:
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in config.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)
