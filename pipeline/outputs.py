"""What a task wants written: plain values, collected by `cut` and put into one transaction by the shell."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Self

from pipeline.arrays import I8, Bytes
from schemas.state import Ledger, Position

Role = Literal["module_metrics", "system_metrics", "module_alerts", "health_status"]
Header = tuple[str, bytes | None]


class RawName(str):
    """The name of a header that is not UTF-8. As text its odd bytes are escaped; `raw` are the bytes, to be written again."""

    __slots__ = ("raw",)
    raw: bytes

    def __new__(cls, raw: bytes) -> Self:
        """The name of these bytes."""
        name = super().__new__(cls, raw.decode(errors="backslashreplace"))
        name.raw = raw
        return name


def name_bytes(name: str) -> bytes:
    """The name of a header as it is on the wire."""
    return name.raw if isinstance(name, RawName) else name.encode()


def headers_bytes(headers: Sequence[Header]) -> int:
    """Names and values together."""
    return sum(len(name_bytes(name)) + len(value or b"") for name, value in headers)


class Emitted(NamedTuple):
    """One output record. `revision` and `time_ms` (when it was made) go into its CloudEvents headers.

    An empty value stands for a tombstone: there is nothing to say of the key any more. Only `health_status` has them.
    """

    role: Role
    key: bytes
    value: bytes
    revision: int
    time_ms: int


class WholeBatch(NamedTuple):
    """A record batch of the input that cannot be taken apart, so that one letter stands for all its records.

    Attributes:
        first_offset, last_offset: which offsets it has.
        records: how many of them hold a record, as its header says.
        reason, message: why.
    """

    first_offset: int
    last_offset: int
    records: int
    reason: str
    message: str


class Rejected(NamedTuple):
    """One input record for the dead letters or the late topic, untouched, with what is known of it.

    With `whole` it stands for a batch: `value` holds the bytes of the batch as they were fetched, `offset` its first one.
    """

    reason: str
    message: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    whole: WholeBatch | None = None

    @property
    def records(self) -> int:
        """How many records of the input it stands for."""
        return 1 if self.whole is None else self.whole.records


class Forwarded(NamedTuple):
    """One input record on its way to the partition of its module. `timestamp_ms` is the Kafka timestamp it came with."""

    module_id: str
    value: bytes
    timestamp_ms: int
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PackedRecords:
    """Many input records on their way to one partition, encoded already; `pipeline.ingest.packed` makes them and reads them.

    Attributes:
        home: their key.
        tails: one after the other, what each record has behind its place in a batch: key, value, headers.
        sizes: of the tails, bytes.
    """

    home: str
    tails: Bytes
    sizes: I8

    def __len__(self) -> int:
        return self.sizes.size

    @property
    def held_bytes(self) -> int:
        """What they cost until they are written: with them there are the batches that are made of them."""
        return 2 * self.tails.size + PACKED_BYTES * len(self)

    def part(self, low: int, high: int) -> "PackedRecords":
        """Records [low, high)."""
        if (low, high) == (0, len(self)):
            return self
        begin = int(self.sizes[:low].sum())
        return PackedRecords(
            self.home, self.tails[begin : begin + int(self.sizes[low:high].sum())], self.sizes[low:high].copy()
        )


class StateRecord(NamedTuple):
    """One changelog record; a value of None is a tombstone."""

    key: bytes
    value: bytes | None


class Partial(NamedTuple):
    """One record for the second stage (system aggregate)."""

    key: bytes
    value: bytes


# What a record costs besides its key and value until it is written: its object, headers of ours, and its encoded copy.
RECORD_BYTES = 600
# What a packed record costs besides its tails: their sizes, room that was not used, and what stands in front of it in its batch.
PACKED_BYTES = 40
# What one of its own headers costs besides name and value: three objects and a place in two lists.
HEADER_BYTES = 200


@dataclass(slots=True)
class Outbox:
    """Outputs since the last cut. `size_bytes` lets the shell flush early."""

    emitted: list[Emitted] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    forwarded: list[Forwarded | PackedRecords] = field(default_factory=list)
    size_bytes: int = 0

    def emit(self, record: Emitted) -> None:
        """Add an output record."""
        self.emitted.append(record)
        self.size_bytes += len(record.value) + len(record.key) + RECORD_BYTES

    def reject(self, record: Rejected) -> None:
        """Add a late or dead letter."""
        self.rejected.append(record)
        self.size_bytes += _held_bytes(record.key, record.value, record.headers)

    def forward(self, record: Forwarded) -> None:
        """Add a record to repartition."""
        self.forwarded.append(record)
        self.size_bytes += _held_bytes(None, record.value, record.headers)


def _held_bytes(key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> int:
    size = len(key or b"") + len(value or b"") + RECORD_BYTES
    return size + headers_bytes(headers) + HEADER_BYTES * len(headers) if headers else size


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
        sent_on = sum(len(one) if isinstance(one, PackedRecords) else 1 for one in box.forwarded)
        return len(box.emitted) + len(box.rejected) + sent_on + len(self.partials) + len(self.state) + 1


def total_ledger(ledgers: dict[str, Ledger]) -> Ledger:
    """The sum over the sources of a task."""
    total = Ledger()
    for ledger in ledgers.values():
        for name in Ledger.__struct_fields__:
            setattr(total, name, getattr(total, name) + getattr(ledger, name))
    return total
