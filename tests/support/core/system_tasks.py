"""A system core fed record by record, with all it put out, and partials, reports and rules to feed it with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from hypothesis import strategies as st

from pipeline.alerts.rules import Rule
from pipeline.config import CoreConfig, Limits, WindowConfig
from pipeline.ingest.batch import NoHeaders, RecordBatch
from pipeline.outputs import Cut
from pipeline.sketch.mapping import bins_of
from pipeline.system.core import SystemCore
from schemas.partials import PartialRecord, PartitionReport, SystemPartial, encode_partial
from schemas.state import pack_position

SIZES = (("10s", 10_000), ("30s", 30_000), ("1m", 60_000))
NAMES = {size_ms: name for name, size_ms in SIZES}
GRACE, CORRECTIONS = 5_000, 600_000
CONFIG = CoreConfig(WindowConfig(SIZES, GRACE, CORRECTIONS, emit_interval_ms=3_000))
BASE = 1_700_000_040_000  # a whole minute
NOW = BASE + 86_400_000


@dataclass
class SystemRun:
    """A system core fed record by record, with all it put out."""

    core: SystemCore = field(default_factory=lambda: SystemCore(CONFIG))
    now_ms: int = NOW
    offset: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    log: dict[bytes, bytes] = field(default_factory=dict)

    def feed(self, *values: PartialRecord | bytes) -> None:
        raw: list[bytes | None] = [v if isinstance(v, bytes) else encode_partial(v) for v in values]
        offsets = list(range(self.offset, self.offset + len(raw)))
        batch = RecordBatch("partials", 0, offsets, [0] * len(raw), [None] * len(raw), raw, NoHeaders())
        self.core.apply(batch, self.now_ms)
        self.offset += len(raw)

    def cut(self, *, everything: bool = False) -> list[dict[str, Any]]:
        cut = self.core.cut(self.now_ms, everything=everything)
        self.now_ms += 1_000
        self.store(cut)
        fresh = [(e.key, json.loads(e.value)) for e in cut.outbox.emitted if e.role == "system_metrics"]
        self.alerts += [json.loads(e.value) for e in cut.outbox.emitted if e.role == "module_alerts"]
        self.keys += [key for key, _ in fresh]
        self.records += [record for _, record in fresh]
        return [record for _, record in fresh]

    def store(self, cut: Cut) -> None:
        for key, value in cut.state:
            if value is None:
                self.log.pop(key, None)
            else:
                self.log[key] = value
        self.log[b"position"] = pack_position(cut.position)

    def restarted(self, config: CoreConfig, rules: Sequence[Rule]) -> SystemCore:
        core = SystemCore(config, rules)
        core.restore(dict(reversed(self.log.items())))
        return core

    def last(self) -> dict[bytes, dict[str, Any]]:
        """The last record of every key, without what may differ between runs of the same events."""
        free = ("revision", "last_updated", "status")
        return {k: {f: v for f, v in r.items() if f not in free} for k, r in zip(self.keys, self.records, strict=True)}


def partial(
    partition: int = 0,
    start: int = BASE,
    requests: int = 10,
    size_ms: int = 10_000,
    *,
    final: bool = False,
    took: float = 7.0,
    **changes: Any,
) -> SystemPartial:
    """A partial of one healthy module whose requests all took the same."""
    bins = bins_of(np.array([took]))
    record = SystemPartial(
        v=1,
        partition=partition,
        window=NAMES[size_ms],
        size_ms=size_ms,
        start_ms=start,
        final=final,
        modules=1,
        degraded=0,
        critical=0,
        requests=requests,
        successes=requests,
        degraded_requests=0,
        critical_requests=0,
        weighted_score=100.0 * requests,
        sum=hex(int(took * requests) << 64),
        squares=hex(int(took * took * requests) << 64),
        minimum=took,
        maximum=took,
        bins=bins.astype("<i4").tobytes(),
        counts=np.array([requests], "<i8").tobytes(),
        memory_bytes=None,
        goroutines=None,
        db_connections=None,
        cpu_percent=0.0,
        cpu_modules=0,
    )
    return msgspec.structs.replace(record, **changes)


def report(partition: int, stream_ms: int | None, *, idle: bool = False, of: int = 2) -> PartitionReport:
    return PartitionReport(1, partition, of, stream_ms, idle)


def rule(name: str, window: str, for_ms: int) -> Rule:
    return Rule(
        name=name,
        scope="system",
        window=window,
        expression="total_requests >= threshold",
        threshold=6,
        value="total_requests",
        for_ms=for_ms,
        severity="warning",
        labels={},
        annotations={},
        no_data="ok",
        line=1,
    )


RULES = (rule("Busy", "10s", 0), rule("StillBusy", "30s", 30_000))
HASTY = CoreConfig(
    WindowConfig(SIZES, GRACE, 20_000, emit_interval_ms=3_000), limits=replace(Limits(), max_open_windows=9)
)
any_partial = st.builds(
    lambda partition, slot, level, requests, took, final: partial(
        partition,
        BASE + slot * 10_000 - (BASE + slot * 10_000) % SIZES[level][1],
        requests,
        SIZES[level][1],
        took=took,
        final=final,
    ),
    st.integers(0, 2),
    st.integers(0, 14),
    st.integers(0, 2),
    st.integers(1, 9),
    st.sampled_from([1.0, 7.0, 300.0]),
    st.booleans(),
)
any_report = st.builds(
    lambda partition, stream, idle: report(partition, stream, idle=idle, of=3),
    st.integers(0, 2),
    st.none() | st.integers(BASE, BASE + 100_000) | st.integers(BASE + 100_000, BASE + 300_000),
    st.booleans(),
)
record_lists = st.lists(st.one_of(any_partial, any_report), min_size=1, max_size=60)
