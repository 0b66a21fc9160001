"""Which records of a cut go to which topic and partition."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from pipeline.outputs import Cut, Emitted, Header, Role
from schemas.state import POSITION_KEY, pack_position
from topology.outgoing import Record
from topology.partitioner import partition_of
from topology.settings import Settings


class Parcel(NamedTuple):
    """Records for one partition of a topic, in order."""

    topic: str
    partition: int
    records: Iterable[Record]


@lru_cache(maxsize=4_096)
def _rfc3339(time_ms: int) -> bytes:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()


class Addresses:
    """The topics of one application, and how its records look on them."""

    def __init__(self, settings: Settings) -> None:
        """Read the names from the settings."""
        topics = settings.topics
        self._topics: dict[Role, str] = {
            "module_metrics": topics.module_metrics,
            "system_metrics": topics.system_metrics,
            "module_alerts": topics.module_alerts,
            "health_status": topics.health_status,
        }
        self._fixed_headers: dict[Role, list[Header]] = {
            role: [
                ("ce_specversion", b"1.0"),
                ("ce_type", f"modpulse.{role.replace('_', '-')}.v1".encode()),
                ("ce_source", f"/modpulse/{settings.application_id}".encode()),
            ]
            for role in self._topics
        }
        self._partials = settings.partials_topic
        self.repartition = settings.repartition_topic

    def outputs(self, cut: Cut, partition: int) -> Iterator[Parcel]:
        """What readers are told.

        Args:
            cut: everything of one flush.
            partition: the task's; a topic with fewer partitions takes it modulo their number.
        """
        by_role: dict[Role, list[Emitted]] = {}
        for record in cut.outbox.emitted:
            by_role.setdefault(record.role, []).append(record)
        for role, emitted in by_role.items():
            yield Parcel(self._topics[role], partition, self._emitted(role, emitted))

    def forwarded(self, cut: Cut, partitions: int) -> Iterator[Parcel]:
        """Events on their way to the partition of their module, of so many."""
        by_partition: dict[int, list[Record]] = {}
        for record in cut.outbox.forwarded:
            key = record.module_id.encode()
            by_partition.setdefault(partition_of(key, partitions), []).append(Record(key, record.value, record.headers))
        for partition, records in by_partition.items():
            yield Parcel(self.repartition, partition, records)

    def state(self, cut: Cut, partition: int, changelog: str) -> Iterator[Parcel]:
        """What the system task is told, and what the next owner restores; the position comes last."""
        yield Parcel(self._partials, 0, [Record(key, value) for key, value in cut.partials])
        position = Record(POSITION_KEY, pack_position(cut.position))
        yield Parcel(changelog, partition, [*(Record(key, value) for key, value in cut.state), position])

    def _emitted(self, role: Role, emitted: list[Emitted]) -> Iterator[Record]:
        topic, fixed = self._topics[role].encode(), self._fixed_headers[role]
        for record in emitted:
            identity = b"%s/%s/%d" % (topic, record.key, record.revision)
            yield Record(record.key, record.value, [*fixed, ("ce_id", identity), ("ce_time", _rfc3339(record.time_ms))])
