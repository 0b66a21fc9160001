"""Events as values, a core with its collected outputs and changelog, and what a reader is left with."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import msgspec
from hypothesis import HealthCheck, settings

from pipeline.alerts.rules import Rule
from pipeline.config import CoreConfig, HealthConfig, HealthProfile, Start, WindowConfig
from pipeline.cores.module_core import ModuleCore
from pipeline.ingest.batch import Headers, NoHeaders, RecordBatch
from pipeline.ingest.packed import each_forwarded
from pipeline.outputs import Cut, Emitted, Forwarded, Rejected, total_ledger
from schemas.metrics import ModuleMetrics
from schemas.state import POSITION_KEY, Ledger, pack_position
from tests.support.profiles import in_proportion

START_MS = 999_999_960_000  # a multiple of every window size the tests use
NOW_MS = START_MS + 3_600_000
TOPIC = "events"
T = TypeVar("T")
_decode = msgspec.json.Decoder(ModuleMetrics).decode


def fixed(examples: int) -> settings:
    """The same examples in every run, on any machine; in `make fuzz` others, and more in proportion (`support.profiles`)."""
    return settings(
        max_examples=in_proportion(examples),
        suppress_health_check=[HealthCheck.too_slow],
        report_multiple_bugs=False,
    )


@dataclass(frozen=True, slots=True)
class Event:
    """One event; None means the field is not sent."""

    module: str
    time: int
    ms: float = 1.0
    success: bool = True
    event_id: str | None = None
    memory: int | None = None
    goroutines: int | None = None
    connections: int | None = None
    cpu: float | None = None

    @property
    def value(self) -> bytes:
        """The record's bytes."""
        names = ("event_id", "memory_bytes", "goroutines", "db_connections", "cpu_percent")
        optional = (self.event_id, self.memory, self.goroutines, self.connections, self.cpu)
        required = {
            "module_id": self.module,
            "timestamp": self.time,
            "success": self.success,
            "response_time_ms": self.ms,
        }
        return json.dumps(required | {n: v for n, v in zip(names, optional, strict=True) if v is not None}).encode()


def batch_of(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None],
    *,
    first: int = 0,
    headers: Headers | None = None,
    topic: str = TOPIC,
    forwarded: bool = False,
) -> RecordBatch:
    """A batch with offsets that count up from `first`; each record's timestamp is its offset plus 7."""
    offsets = list(range(first, first + len(values)))
    stamps = [offset + 7 for offset in offsets]
    return RecordBatch(topic, 3, offsets, stamps, list(keys), list(values), headers or NoHeaders(), forwarded)


def config_of(
    sizes_s: Sequence[int],
    grace_ms: int,
    corrections_ms: int,
    *,
    emit_interval_ms: int = 0,
    profile: HealthProfile | None = None,
) -> CoreConfig:
    """Windows of whole seconds."""
    sizes = tuple((f"{size}s", size * 1000) for size in sizes_s)
    windows = WindowConfig(sizes, grace_ms, corrections_ms, emit_interval_ms=emit_interval_ms)
    return CoreConfig(windows, HealthConfig(profile or HealthProfile(min_requests=2, worsen_windows=2)))


@dataclass(slots=True)
class Run:
    """A core that is fed and cut, with everything it said."""

    config: CoreConfig
    rules: Sequence[Rule] = ()
    partition: int = 0
    partitions: int = 1
    start: Start | None = None
    core: ModuleCore = field(init=False)
    offset: int = 0
    cuts: list[Cut] = field(default_factory=list)
    log: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.core = self.fresh()

    def fresh(self) -> ModuleCore:
        """A core without state."""
        return ModuleCore(
            self.config, self.rules, partition=self.partition, partitions=self.partitions, start=self.start
        )

    def apply(self, events: Sequence[Event], now_ms: int = NOW_MS) -> None:
        """Take events in as one batch, keyed by their modules."""
        values, keys = [event.value for event in events], [event.module.encode() for event in events]
        self.core.apply(batch_of(values, keys, first=self.offset), now_ms)
        self.offset += len(events)

    def cut(self, now_ms: int = NOW_MS, *, everything: bool = False) -> list[Emitted]:
        """Collect; the changelog is compacted as the broker would."""
        cut = self.core.cut(now_ms, everything=everything)
        for key, value in cut.state:
            if value is None:
                self.log.pop(key, None)
            else:
                self.log[key] = value
        self.log[POSITION_KEY] = pack_position(cut.position)
        self.cuts.append(cut)
        assert self.ledger.balanced
        return cut.outbox.emitted

    def restart(self, seed: int = 0) -> None:
        """Go on with a fresh core from the changelog, read in some order."""
        self.core = self.fresh()
        keys = sorted(self.log)
        random.Random(seed).shuffle(keys)
        self.core.restore({key: self.log[key] for key in keys})

    @property
    def ledger(self) -> Ledger:
        """The sum over all sources."""
        return total_ledger(self.core.ledgers)

    @property
    def emitted(self) -> list[Emitted]:
        """All outputs so far."""
        return [record for cut in self.cuts for record in cut.outbox.emitted]

    @property
    def rejected(self) -> list[Rejected]:
        """All late and dead letters so far."""
        return [record for cut in self.cuts for record in cut.outbox.rejected]

    @property
    def forwarded(self) -> list[Forwarded]:
        """All records sent on so far."""
        return [record for cut in self.cuts for record in each_forwarded(cut.outbox)]

    @property
    def metrics(self) -> list[ModuleMetrics]:
        """All module records so far, in order; each must be filed under its own key."""
        records = []
        for emitted in self.emitted:
            if emitted.role == "module_metrics":
                record = _decode(emitted.value)
                assert emitted.key.decode() == f"{record.module_id}|{record.window}|{record.window_start}"
                assert (emitted.revision, emitted.time_ms) == (record.revision, record.last_updated)
                records.append(record)
        return records


Key = tuple[str, str, int]


def key_of(record: ModuleMetrics) -> Key:
    """Module, window and start."""
    return record.module_id, record.window, record.window_start


def by_key(records: Sequence[ModuleMetrics]) -> dict[Key, list[ModuleMetrics]]:
    """All records of each key, in order."""
    out: dict[Key, list[ModuleMetrics]] = {}
    for record in records:
        out.setdefault(key_of(record), []).append(record)
    return out


def last_of_each(records: Sequence[ModuleMetrics]) -> dict[Key, ModuleMetrics]:
    """What a reader of a compacted topic is left with, without what may differ between two runs."""
    replace = msgspec.structs.replace
    return {key_of(r): replace(r, last_updated=0, revision=1, status="provisional") for r in records}


def finals_of(records: Sequence[ModuleMetrics]) -> dict[Key, ModuleMetrics]:
    """The final records; at most one of each key may be among them."""
    finals = [msgspec.structs.replace(r, last_updated=0, revision=1) for r in records if r.status == "final"]
    assert len({key_of(final) for final in finals}) == len(finals)
    return {key_of(final): final for final in finals}


def split(items: Sequence[T], cuts: Sequence[int]) -> Iterator[Sequence[T]]:
    """The items in parts, cut at these places (taken modulo the length)."""
    places = sorted({0, len(items), *(cut % (len(items) + 1) for cut in cuts)})
    for low, high in pairwise(places):
        yield items[low:high]
