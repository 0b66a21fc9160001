"""Which records of a cut go to which topic and partition."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from pipeline.ingest.packed import pack_one
from pipeline.outputs import Cut, Emitted, Forwarded, Header, PackedRecords, Role
from pipeline.partitioner import partition_of
from schemas.state import POSITION_KEY, pack_position
from topology.records.outgoing import Builder, Record, batches_of
from topology.records.packed_batches import packed_batches
from topology.settings import Settings


class Parcel(NamedTuple):
    """Records for one partition of a topic, in order."""

    topic: str
    partition: int
    records: Iterable[Record]

    def batches(self, most_bytes: int) -> Iterator[Builder]:
        """Closed batches of at most so many bytes."""
        return batches_of(self.records, most_bytes)


class PackedParcel(NamedTuple):
    """Encoded records for one partition of a topic, in order."""

    topic: str
    partition: int
    records: Sequence[PackedRecords]

    def batches(self, most_bytes: int) -> Iterator[Builder]:
        """Closed batches of at most so many bytes."""
        return packed_batches(self.records, most_bytes)


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

    def forwarded(self, cut: Cut, partitions: int) -> Iterator[Parcel | PackedParcel]:
        """Events on their way to the partition of their module, of so many."""
        by_partition: dict[int, list[Forwarded | PackedRecords]] = {}
        for one in cut.outbox.forwarded:
            home = one.home if isinstance(one, PackedRecords) else one.module_id
            by_partition.setdefault(partition_of(home.encode(), partitions), []).append(one)
        for partition, found in by_partition.items():
            singles = [one for one in found if not isinstance(one, PackedRecords)]
            if len(singles) == len(found):
                records = [Record(one.module_id.encode(), one.value, one.headers) for one in singles]
                yield Parcel(self.repartition, partition, records)
            else:
                # In one order and in full batches, so those that went one by one are encoded here, too.
                packed = [one if isinstance(one, PackedRecords) else pack_one(one) for one in found]
                yield PackedParcel(self.repartition, partition, packed)

    def state(self, cut: Cut, partition: int, changelog: str) -> Iterator[Parcel]:
        """What the system task is told, and what the next owner restores; the position comes last."""
        yield Parcel(self._partials, 0, [Record(key, value) for key, value in cut.partials])
        position = Record(POSITION_KEY, pack_position(cut.position))
        yield Parcel(changelog, partition, [*(Record(key, value) for key, value in cut.state), position])

    def _emitted(self, role: Role, emitted: list[Emitted]) -> Iterator[Record]:
        topic, fixed = self._topics[role].encode(), self._fixed_headers[role]
        for record in emitted:
            identity = b"%s/%s/%d" % (topic, record.key, record.revision)
            yield Record(
                record.key, record.value or None, [*fixed, ("ce_id", identity), ("ce_time", _rfc3339(record.time_ms))]
            )
