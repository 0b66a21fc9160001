"""What a task wants written: plain values, collected by `cut` and put into one transaction by the shell."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from schemas.state import Ledger, Position

Role = Literal["module_metrics", "system_metrics", "module_alerts", "health_status"]
Header = tuple[str, bytes | None]


class Emitted(NamedTuple):
    """One output record. `revision` and `time_ms` (window end or event time) go into its CloudEvents headers."""

    role: Role
    key: bytes
    value: bytes
    revision: int
    time_ms: int


class Rejected(NamedTuple):
    """One input record for the dead letters or the late topic, untouched, with what is known of it."""

    reason: str
    message: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


class Forwarded(NamedTuple):
    """One input record on its way to the partition of its module."""

    module_id: str
    value: bytes
    timestamp_ms: int
    headers: tuple[Header, ...]


class StateRecord(NamedTuple):
    """One changelog record; a value of None is a tombstone."""

    key: bytes
    value: bytes | None


class Partial(NamedTuple):
    """One record for the second stage (system aggregate)."""

    key: bytes
    value: bytes


# What a record costs besides its value until it is written: its object, its headers, and its encoded copy.
RECORD_BYTES = 600


@dataclass(slots=True)
class Outbox:
    """Outputs since the last cut. `size_bytes` lets the shell flush early."""

    emitted: list[Emitted] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    forwarded: list[Forwarded] = field(default_factory=list)
    size_bytes: int = 0

    def emit(self, record: Emitted) -> None:
        """Add an output record."""
        self.emitted.append(record)
        self.size_bytes += len(record.value) + len(record.key) + RECORD_BYTES

    def reject(self, record: Rejected) -> None:
        """Add a late or dead letter."""
        self.rejected.append(record)
        self.size_bytes += len(record.value or b"") + RECORD_BYTES

    def forward(self, record: Forwarded) -> None:
        """Add a record to repartition."""
        self.forwarded.append(record)
        self.size_bytes += len(record.value) + RECORD_BYTES


@dataclass(frozen=True, slots=True)
class Cut:
    """Everything of one flush: it is written whole or not at all."""

    outbox: Outbox
    partials: list[Partial]
    state: list[StateRecord]
    position: Position

    @property
    def records(self) -> int:
        """How many records the transaction carries."""
        box = self.outbox
        return len(box.emitted) + len(box.rejected) + len(box.forwarded) + len(self.partials) + len(self.state) + 1


def total_ledger(ledgers: dict[str, Ledger]) -> Ledger:
    """The sum over the sources of a task."""
    total = Ledger()
    for ledger in ledgers.values():
        for name in Ledger.__struct_fields__:
            setattr(total, name, getattr(total, name) + getattr(ledger, name))
    return total
