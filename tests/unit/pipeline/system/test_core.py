"""The system task against an independent truth over all events, in any interleaving, and across restarts."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alerts.rules import Rule
from pipeline.config import CoreConfig, HealthProfile, Limits, WindowConfig
from pipeline.cores.module_core import ModuleCore
from pipeline.cores.task_core import TaskCore
from pipeline.ingest.batch import NoHeaders, RecordBatch
from pipeline.outputs import Cut
from pipeline.sketch.mapping import bins_of
from pipeline.system.core import SystemCore
from pipeline.system.health import health_score, overall_health
from schemas.errors import StateIncompatible
from schemas.partials import PartialRecord, PartitionReport, SystemPartial, encode_partial
from schemas.state import Ledger, pack_position

SIZES = (("10s", 10_000), ("30s", 30_000), ("1m", 60_000))
NAMES = {size_ms: name for name, size_ms in SIZES}
GRACE, CORRECTIONS = 5_000, 600_000
CONFIG = CoreConfig(WindowConfig(SIZES, GRACE, CORRECTIONS, emit_interval_ms=3_000))
BASE = 1_700_000_040_000  # a whole minute
NOW = BASE + 86_400_000
PER_MILLE = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p999": 999}
GAUGES = {
    "memory_bytes": "total_memory_bytes",
    "goroutines": "total_goroutines",
    "db_connections": "db_connections",
    "cpu_percent": "average_cpu_percent",
}
PROFILE = HealthProfile()


# ---------------------------------------------------------------- running cores


@dataclass
class Run:
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


@dataclass(frozen=True)
class Event:
    module: int
    at_ms: int
    success: bool
    took: float
    gauges: dict[str, float]


def partition_tasks(
    events: Sequence[Event], partitions: int, chunk: int
) -> tuple[list[list[list[bytes]]], dict[bytes, dict[str, Any]]]:
    """For each partition the partials of each of its cuts, and the last module record of each key."""
    cores = [ModuleCore(CONFIG, partition=p, partitions=partitions) for p in range(partitions)]
    sent: list[list[list[bytes]]] = [[] for _ in cores]
    modules: dict[bytes, dict[str, Any]] = {}
    for number, core in enumerate(cores):
        mine = [e for e in events if e.module % partitions == number]
        for low in [*range(0, len(mine), chunk), None]:
            now_ms = NOW + len(sent[number]) * 1_000
            if low is not None:
                core.apply(batch_of(mine[low : low + chunk], low), now_ms)
            cut = core.cut(now_ms, everything=low is None)
            sent[number].append([partial.value for partial in cut.partials])
            modules |= {e.key: json.loads(e.value) for e in cut.outbox.emitted if e.role == "module_metrics"}
        assert core.ledgers.get("t", Ledger()).late == 0
    return sent, modules


def batch_of(events: Sequence[Event], first: int) -> RecordBatch:
    values: list[bytes | None] = [
        json.dumps(
            {"module_id": f"m{e.module}", "timestamp": e.at_ms, "success": e.success, "response_time_ms": e.took}
            | e.gauges
        ).encode()
        for e in events
    ]
    keys: list[bytes | None] = [f"m{e.module}".encode() for e in events]
    size = len(events)
    return RecordBatch("t", 0, list(range(first, first + size)), [0] * size, keys, values, NoHeaders())


def interleaved(sent: list[list[list[bytes]]], turns: Iterable[int]) -> list[list[bytes]]:
    """The transactions of all partitions in some order that keeps the order of each."""
    left = [list(cuts) for cuts in sent]
    out = []
    for turn in turns:
        waiting = [cuts for cuts in left if cuts]
        if waiting:
            out.append(waiting[turn % len(waiting)].pop(0))
    return out + [values for cuts in left for values in cuts]


def run_over(transactions: list[list[bytes]], cut_every: int) -> Run:
    run = Run()
    for number, values in enumerate(transactions, 1):
        run.feed(*values)
        if number % cut_every == 0:
            run.cut()
    run.cut(everything=True)
    return run


event_lists = st.lists(
    st.builds(
        Event,
        module=st.integers(0, 5),
        at_ms=st.integers(BASE, BASE + 150_000),
        success=st.sampled_from([True, True, True, False]),
        took=st.one_of(st.floats(0, 20_000), st.sampled_from([0.0, 1e-9, 0.1, 3.0, 1e12])),
        gauges=st.fixed_dictionaries(
            {},
            optional={
                "memory_bytes": st.integers(0, 2**40),
                "goroutines": st.integers(0, 10**5),
                "db_connections": st.integers(0, 100),
                "cpu_percent": st.floats(0, 100),
            },
        ),
    ),
    min_size=1,
    max_size=120,
)
turn_lists = st.lists(st.integers(0, 11), max_size=60)


# ---------------------------------------------------------------- truth


def truth(events: list[Event], size_ms: int) -> dict[str, Any]:
    """Every figure of one system window that follows from the events alone."""
    values = np.sort(np.array([e.took for e in events]))
    total, good = len(events), sum(e.success for e in events)
    last: dict[str, dict[int, float]] = defaultdict(dict)
    for event in sorted(events, key=lambda e: e.at_ms):  # stable: of equal times the later one stays
        for name, value in event.gauges.items():
            last[name][event.module] = value
    exact: dict[str, Any] = {
        "module_count": len({e.module for e in events}),
        "total_requests": total,
        "successful_requests": good,
        "failed_requests": total - good,
        "min": float(values[0]),
        "max": float(values[-1]),
    }
    for name, field_name in GAUGES.items():
        sent = list(last[name].values())
        exact[field_name] = sum(sent) if sent else None
    near: dict[str, float | None] = {
        "avg": math.fsum(values) / total,
        "overall_success_rate": good / total,
        "overall_error_rate": (total - good) / total,
        "overall_throughput": total * 1000 / size_ms,
    }
    cpu = exact.pop("average_cpu_percent")
    near["average_cpu_percent"] = (
        None if cpu is None else math.fsum(last["cpu_percent"].values()) / len(last["cpu_percent"])
    )
    near |= {name: float(values[q * (total - 1) // 1000]) for name, q in PER_MILLE.items()}
    near["stddev"] = float(np.std(values))
    return {"exact": exact, "near": near}


def tolerance(name: str, largest: float) -> dict[str, float]:
    if name in PER_MILLE:
        return {"rel_tol": 0.01 + 1e-9}
    if name == "stddev":
        return {"rel_tol": 1e-6, "abs_tol": max(1e-6, largest * 1e-7)}
    return {"rel_tol": 1e-9, "abs_tol": 1e-9}


@settings(max_examples=40, deadline=None)
@given(events=event_lists, partitions=st.integers(1, 4), chunk=st.integers(3, 60), turns=turn_lists)
def test_the_system_records_are_the_truth_of_all_events(
    events: list[Event], partitions: int, chunk: int, turns: list[int]
) -> None:
    sent, modules = partition_tasks(events, partitions, chunk)
    run = run_over(interleaved(sent, turns), cut_every=2)
    last = run.last()
    windows: dict[bytes, list[Event]] = defaultdict(list)
    for name, size_ms in SIZES:
        for event in events:
            windows[f"{name}|{event.at_ms - event.at_ms % size_ms}".encode()].append(event)
    empty = {key: record for key, record in last.items() if key not in windows}
    assert all(record["total_requests"] == 0 and record["overall_error_rate"] is None for record in empty.values())
    assert last.keys() - empty.keys() == windows.keys()
    for key, record in last.items():
        if key in empty:
            continue
        found = record | record["response_time_ms"]
        true = truth(windows[key], record["window_end"] - record["window_start"])
        assert {name: found[name] for name in true["exact"]} == true["exact"]
        for name, value in true["near"].items():
            if value is None:
                assert found[name] is None
            else:
                assert math.isclose(found[name], value, **tolerance(name, found["max"])), (key, name)
        assert_health(record, [r for k, r in modules.items() if k.endswith(b"|" + key)])


def assert_health(record: dict[str, Any], modules: list[dict[str, Any]]) -> None:
    """The system's health follows from the published health of its modules."""
    served = dict.fromkeys(("healthy", "degraded", "critical"), 0)
    members = dict(served)
    for module in modules:
        served[module["health"]["status"]] += module["total_requests"]
        members[module["health"]["status"]] += 1
    total = record["total_requests"]
    score = sum(m["health"]["score"] * m["total_requests"] for m in modules) / total
    assert record["health_score"] == pytest.approx(score, abs=0.005001)
    assert (record["degraded_modules"], record["critical_modules"]) == (members["degraded"], members["critical"])
    if served["critical"] * 2 >= total or record["health_score"] < 50:
        assert record["overall_health"] == "critical"
    elif members["critical"] or (served["critical"] + served["degraded"]) * 10 >= total or record["health_score"] < 80:
        assert record["overall_health"] == "degraded"
    else:
        assert record["overall_health"] == "healthy"


@settings(max_examples=40, deadline=None)
@given(
    events=event_lists,
    partitions=st.integers(2, 4),
    chunk=st.integers(3, 60),
    orders=st.tuples(turn_lists, turn_lists),
    cuts=st.tuples(st.integers(1, 3), st.integers(4, 90)),
)
def test_the_last_records_do_not_depend_on_the_interleaving_or_the_cuts(
    events: list[Event], partitions: int, chunk: int, orders: tuple[list[int], list[int]], cuts: tuple[int, int]
) -> None:
    sent, _ = partition_tasks(events, partitions, chunk)
    first, second = (run_over(interleaved(sent, order), every) for order, every in zip(orders, cuts, strict=True))
    assert first.last() == second.last()


# ---------------------------------------------------------------- any records at all


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


def outcome(cut: Cut) -> Any:
    return cut.outbox.emitted, cut.state, cut.position


@settings(max_examples=150, deadline=None)
@given(records=record_lists, every=st.integers(1, 7), stops=st.sets(st.integers(1, 20)))
def test_a_restart_at_any_cut_changes_nothing(records: list[PartialRecord], every: int, stops: set[int]) -> None:
    straight, stopped = Run(SystemCore(HASTY, RULES)), Run(SystemCore(HASTY, RULES))
    for number, low in enumerate(range(0, len(records), every), 1):
        now_ms = NOW + number * 800
        outcomes = []
        for run in (straight, stopped):
            run.now_ms = now_ms
            run.feed(*records[low : low + every])
            cut = run.core.cut(now_ms)
            run.store(cut)
            outcomes.append(outcome(cut))
        assert outcomes[0] == outcomes[1]
        assert straight.core.owes == stopped.core.owes
        if number in stops:
            stopped.core = stopped.restarted(HASTY, RULES)
            assert stopped.core.open_windows == straight.core.open_windows
            assert stopped.core.owes == straight.core.owes
    for everything in (False, True):
        now_ms += 800
        assert outcome(straight.core.cut(now_ms, everything=everything)) == outcome(
            stopped.core.cut(now_ms, everything=everything)
        )


@settings(max_examples=150, deadline=None)
@given(records=record_lists, every=st.integers(1, 7))
def test_records_and_state_keep_their_rules_whatever_comes(records: list[PartialRecord], every: int) -> None:
    run = Run(SystemCore(HASTY, RULES))
    for low in range(0, len(records), every):
        run.feed(*records[low : low + every])
        run.cut()
    run.cut(everything=True)
    history: dict[bytes, list[dict[str, Any]]] = defaultdict(list)
    for key, record in zip(run.keys, run.records, strict=True):
        history[key].append(record)
    for records_of_key in history.values():
        statuses = [r["status"] for r in records_of_key]
        assert statuses == sorted(statuses, key=["provisional", "final", "corrected"].index)
        assert statuses.count("final") <= 1
        assert [r["revision"] for r in records_of_key] == list(range(1, len(statuses) + 1))
        for record in records_of_key:
            assert record["completeness"]["partitions_seen"] <= record["completeness"]["partitions_expected"]
    finals = [(r["window_end"], r["window"]) for r in run.records if r["status"] == "final"]
    for name, _ in SIZES:
        ends = [end for end, window in finals if window == name]
        assert ends == sorted(ends)
    assert run.core.open_windows <= HASTY.limits.max_open_windows
    held = {key.removeprefix(b"window|") for key in run.log if key.startswith(b"window|")}
    parts = {key.rsplit(b"|", 1)[0].removeprefix(b"partial|") for key in run.log if key.startswith(b"partial|")}
    assert held == parts
    assert len(held) == run.core.open_windows
    ledger = run.core.ledgers["partials"]
    assert (ledger.consumed, ledger.applied, ledger.balanced) == (len(records), len(records), True)
    assert run.core.offsets == {"partials": len(records)}


@settings(max_examples=80, deadline=None)
@given(records=record_lists, every=st.tuples(st.integers(1, 3), st.integers(4, 60)))
def test_finals_and_alerts_do_not_depend_on_batches_and_cuts(
    records: list[PartialRecord], every: tuple[int, int]
) -> None:
    told = []
    for size in every:
        run = Run(SystemCore(HASTY, RULES))
        for low in range(0, len(records), size):
            run.feed(*records[low : low + size])
            run.cut()
        free = {"revision": 0, "last_updated": 0}
        finals = [r | free for r in run.records if r["status"] == "final"]
        told.append((finals, [a | {"updated_at": 0} for a in run.alerts]))
    assert told[0] == told[1]


# ---------------------------------------------------------------- finality


def test_a_window_is_final_when_every_partition_is_past_end_and_grace() -> None:
    run = Run()
    run.feed(partial(0), report(0, BASE + 15_000))
    assert [(r["status"], r["revision"]) for r in run.cut()] == [("provisional", 1)]
    run.feed(partial(1, requests=5), report(1, BASE + 14_999))
    assert [(r["status"], r["total_requests"]) for r in run.cut()] == [("provisional", 15)]
    run.feed(report(1, BASE + 15_000))
    assert [(r["status"], r["revision"], r["total_requests"]) for r in run.cut()] == [("final", 3, 15)]
    assert run.core.stream_ms == BASE + 15_000
    run.feed(report(1, BASE + 16_000), report(0, BASE + 16_000))
    assert run.cut() == []
    run.feed(partial(1, requests=6))
    assert [(r["status"], r["total_requests"]) for r in run.cut()] == [("corrected", 16)]


def test_a_partition_that_has_not_reported_holds_the_system_back() -> None:
    run = Run()
    run.feed(partial(0), report(0, BASE + 10_000_000))
    assert [r["status"] for r in run.cut()] == ["provisional"]
    assert (run.core.stream_ms, run.core.open_windows) == (None, 1)
    run.feed(report(1, None))
    assert run.cut() == []
    run.feed(report(1, None, idle=True))
    assert [r["status"] for r in run.cut()] == ["final"]
    assert run.core.open_windows == 0


def test_an_idle_partition_holds_back_by_the_grace_at_most_and_keeps_the_window_for_its_corrections() -> None:
    run = Run()
    run.feed(report(0, BASE, idle=True), partial(1), report(1, BASE + 15_000 + GRACE - 1))
    assert [r["status"] for r in run.cut()] == ["provisional"]
    run.feed(report(1, BASE + 15_000 + GRACE))
    assert [r["status"] for r in run.cut()] == ["final"]
    run.feed(report(1, BASE + 10_000_000))
    assert run.core.open_windows == 1
    run.feed(report(0, BASE), partial(0, requests=1))
    assert [(r["status"], r["total_requests"]) for r in run.cut()] == [("corrected", 11)]
    run.feed(report(0, BASE + 10_000 + GRACE + CORRECTIONS))
    assert run.core.open_windows == 0
    run.cut()
    assert sorted(run.log) == [b"position", b"report|0", b"report|1"]


def test_when_all_are_idle_windows_end_by_the_newest_stream_time_and_not_by_silence() -> None:
    run = Run()
    run.feed(partial(0), report(0, BASE + 3_000, idle=True), report(1, BASE + 1_000, idle=True))
    assert [r["status"] for r in run.cut()] == ["provisional"]
    run.feed(report(0, BASE + 15_000 + GRACE, idle=True))
    assert [r["status"] for r in run.cut()] == ["final"]


def test_stream_time_never_goes_back_and_a_window_opened_behind_it_is_corrected() -> None:
    run = Run()
    run.feed(report(0, BASE + 60_000), report(1, None, idle=True), report(1, BASE))
    assert run.core.stream_ms == BASE + 60_000
    run.feed(partial(1))
    assert [(r["status"], r["revision"]) for r in run.cut()] == [("corrected", 1)]


def test_a_partial_that_only_says_final_makes_no_record() -> None:
    run = Run()
    run.feed(report(0, BASE), report(1, BASE), partial(0))
    assert len(run.cut()) == 1
    run.feed(partial(0, final=True))
    assert run.cut() == []


def test_a_window_is_kept_for_grace_and_corrections_then_its_partials_are_ignored_and_counted() -> None:
    run = Run()
    over = BASE + 10_000 + GRACE + CORRECTIONS
    run.feed(partial(0), report(0, over - 1), report(1, over))
    assert [r["status"] for r in run.cut()] == ["final"]
    run.feed(partial(1, requests=5))
    assert [(r["status"], r["total_requests"]) for r in run.cut()] == [("corrected", 15)]
    run.feed(partial(1, requests=6), report(0, over))
    assert [(r["status"], r["total_requests"]) for r in run.cut()] == [("corrected", 16)]
    assert run.core.open_windows == 0
    run.core = run.restarted(CONFIG, ())
    run.feed(partial(1), partial(1, BASE - 10_000), partial(1, BASE + 10_000))
    assert [(r["window_start"], r["status"]) for r in run.cut()] == [(BASE + 10_000, "corrected")]
    assert (run.core.open_windows, run.core.ignored_partials) == (1, 2)
    assert run.restarted(CONFIG, ()).ignored_partials == 2


def test_a_window_that_never_opened_is_over_like_the_others() -> None:
    run = Run()
    run.feed(*(report(p, BASE + 10_000 + GRACE + CORRECTIONS) for p in (0, 1)), partial(0))
    assert (run.cut(), run.core.ignored_partials) == ([], 1)


def test_windows_that_end_together_close_by_end_then_size() -> None:
    run = Run(SystemCore(CONFIG, [rule("A", "10s", 0), rule("B", "30s", 0)]))
    minute = BASE - BASE % 60_000
    small = [partial(0, minute + start) for start in (40_000, 50_000, 20_000)]
    run.feed(partial(0, minute, 10, 60_000), partial(0, minute + 30_000, 10, 30_000), *small)
    run.feed(report(0, minute + 100_000), report(1, None, idle=True))
    closed = [(r["window_end"] - minute, r["window"]) for r in run.cut()]
    assert closed == [(30_000, "10s"), (50_000, "10s"), (60_000, "10s"), (60_000, "30s"), (60_000, "1m")]
    assert [a["alertname"] for a in run.alerts[:1]] == ["A"]


def test_the_oldest_window_is_dropped_when_too_many_are_open() -> None:
    config = replace(CONFIG, limits=replace(Limits(), max_open_windows=2))
    run = Run(SystemCore(config))
    run.feed(report(0, BASE), report(1, BASE), *(partial(0, BASE + n * 10_000) for n in (1, 0, 2)))
    assert [(r["window_start"] - BASE, r["status"]) for r in run.cut()] == [
        (0, "provisional"),
        (10_000, "provisional"),
        (20_000, "provisional"),
    ]
    assert (run.core.open_windows, run.core.dropped_open) == (2, 1)
    run.feed(partial(1, BASE))
    assert (run.cut(), run.core.ignored_partials) == ([], 1)


# ---------------------------------------------------------------- completeness, pace


def test_completeness_counts_the_partitions_that_speak_for_the_window() -> None:
    run = Run()
    run.feed(report(0, BASE, of=4), partial(0))
    assert [r["completeness"] for r in run.cut()] == [{"partitions_expected": 4, "partitions_seen": 1}]
    run.feed(report(1, BASE + 9_999, of=4), report(2, None, idle=True, of=4))
    assert [r["completeness"]["partitions_seen"] for r in run.cut()] == [2]
    run.feed(report(1, BASE + 10_000, of=4))
    assert [(r["completeness"]["partitions_seen"], r["revision"]) for r in run.cut()] == [(3, 3)]
    run.feed(report(3, BASE + 10_000, of=4))
    assert [(r["completeness"]["partitions_seen"], r["status"]) for r in run.cut()] == [(4, "provisional")]


def test_larger_windows_go_out_at_intervals_or_when_nothing_came_or_at_the_end() -> None:
    run = Run()
    run.feed(report(0, BASE), report(1, BASE), partial(0), partial(0, BASE - BASE % 60_000, size_ms=60_000))
    assert [r["window"] for r in run.cut()] == ["10s", "1m"]
    for requests, expected in ((11, ["10s"]), (12, ["10s"]), (13, ["10s", "1m"]), (14, ["10s"])):
        run.feed(partial(0, requests=requests), partial(0, BASE, requests, 60_000))
        assert [r["window"] for r in run.cut()] == expected
    owed = [run.core.owes]
    assert [(r["window"], r["total_requests"]) for r in run.cut()] == [("1m", 14)]
    assert [*owed, run.core.owes] == [True, False]
    run.feed(partial(0, BASE, 15, 60_000))
    assert [r["total_requests"] for r in run.cut(everything=True)] == [15]


def test_reports_alone_do_not_count_as_traffic() -> None:
    run = Run()
    run.feed(report(0, BASE), report(1, BASE), partial(0, BASE, 10, 60_000))
    run.cut()
    run.feed(partial(0, BASE, 11, 60_000))
    assert run.cut() == []
    run.feed(report(0, BASE + 1_000))
    assert [r["total_requests"] for r in run.cut()] == [11]


def test_alerts_follow_the_finals_and_resolve_when_windows_stay_empty() -> None:
    run = Run(SystemCore(CONFIG, RULES[:1]))
    run.feed(report(0, BASE), report(1, BASE), partial(0, requests=4), partial(1, requests=4))
    run.cut()
    assert run.alerts == []
    run.feed(report(0, BASE + 15_000), report(1, BASE + 15_000))
    run.cut()
    assert [(a["status"], a["value"], a["module_id"]) for a in run.alerts] == [("firing", 8, None)]
    run.feed(partial(0, requests=1), report(0, BASE + 25_000), report(1, BASE + 25_000))
    run.cut()
    assert [a["status"] for a in run.alerts] == ["firing", "resolved"]
    assert run.alerts[1]["ends_at"] == BASE + 20_000


# ---------------------------------------------------------------- weights and health


def test_the_score_weighs_modules_by_their_requests() -> None:
    run = Run()
    run.feed(
        report(0, BASE),
        report(1, BASE),
        partial(0, requests=90, weighted_score=90 * 100.0),
        partial(1, requests=10, weighted_score=10 * 33.33, degraded=1, degraded_requests=10),
    )
    (record,) = run.cut()
    assert (record["health_score"], record["overall_health"]) == (93.33, "degraded")
    assert (record["module_count"], record["degraded_modules"], record["critical_modules"]) == (2, 1, 0)


@pytest.mark.parametrize(
    ("score", "degraded", "critical", "critical_modules", "expected"),
    [
        (100.0, 0, 0, 0, "healthy"),
        (80.0, 99, 0, 0, "healthy"),
        (79.99, 0, 0, 0, "degraded"),
        (100.0, 100, 0, 0, "degraded"),
        (100.0, 60, 40, 1, "degraded"),
        (100.0, 0, 1, 1, "degraded"),
        (90.0, 0, 499, 1, "degraded"),
        (90.0, 0, 500, 1, "critical"),
        (50.0, 1000, 0, 0, "degraded"),
        (49.99, 0, 0, 0, "critical"),
    ],
)
def test_overall_health(score: float, degraded: int, critical: int, critical_modules: int, expected: str) -> None:
    assert overall_health(score, 1000, degraded, critical, critical_modules, PROFILE) == expected


def test_the_score_stays_in_its_range() -> None:
    assert health_score(math.nextafter(300.0, 400.0), 3) == 100.0
    assert health_score(0.0, 3) == 0.0


def test_gauges_are_sums_and_none_when_nobody_sent_any() -> None:
    run = Run()
    run.feed(
        report(0, BASE),
        report(1, BASE),
        partial(0, memory_bytes=2**63 - 1, goroutines=0, cpu_percent=120.0, cpu_modules=2),
        partial(1, memory_bytes=5, cpu_percent=30.0, cpu_modules=1),
    )
    (record,) = run.cut()
    assert record["total_memory_bytes"] == 2**63 - 1  # the largest number records carry
    assert (record["total_goroutines"], record["db_connections"]) == (0, None)
    assert record["average_cpu_percent"] == 50.0


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00",
        b"{}",
        b"\x81\xa4type\xa6rep\xffrt",
        b"\x82\xa4type\xa6report\xa1x" + b"\x91" * 5_000,
        encode_partial(partial(v=2)),
        encode_partial(partial(size_ms=10_000))[:-1],
    ],
)
def test_a_record_that_is_not_ours_stops_the_task(value: bytes) -> None:
    with pytest.raises(StateIncompatible):
        Run().feed(value)


def test_a_tombstone_on_the_topic_stops_the_task() -> None:
    batch = RecordBatch("partials", 0, [0], [0], [b"k"], [None], NoHeaders())
    with pytest.raises(StateIncompatible, match="partials-0 at offset 0"):
        SystemCore(CONFIG).apply(batch, NOW)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"sums|1|2|3", b""),
        (b"partial|10000|0|0", b"\x00"),
        (b"window|10000|0", b"\x00"),
        (b"window|20000|0", b"\x00"),
        (b"alert|abc", b"\x00"),
    ],
)
def test_foreign_state_is_refused(key: bytes, value: bytes) -> None:
    with pytest.raises(StateIncompatible):
        SystemCore(CONFIG).restore({key: value})


def test_a_partial_of_a_size_that_is_not_configured_is_ignored_and_counted() -> None:
    run = Run()
    run.feed(report(0, BASE), report(1, BASE), msgspec.structs.replace(partial(), size_ms=20_000), partial())
    assert [r["window"] for r in run.cut()] == ["10s"]
    assert (run.core.ignored_partials, run.core.open_windows) == (1, 1)


def test_windows_of_a_size_that_is_not_configured_any_more_are_dropped_with_all_their_records() -> None:
    run = Run()
    minute = BASE - BASE % 60_000
    run.feed(report(0, BASE), report(1, BASE), partial(), partial(0, minute, 10, 60_000), partial(1, minute, 5, 60_000))
    run.cut(everything=True)
    run.core = run.restarted(CoreConfig(WindowConfig(SIZES[:2], GRACE, CORRECTIONS)), ())
    assert (run.core.removed_ms, run.core.open_windows) == ((60_000,), 1)
    run.feed(partial(1, requests=7))
    assert [(r["window"], r["total_requests"]) for r in run.cut()] == [("10s", 17)]
    assert {key.split(b"|")[1] for key in run.log if key.startswith((b"window", b"partial"))} == {b"10000"}


def test_the_state_of_a_module_task_is_no_state_of_the_system_task() -> None:
    core = ModuleCore(CONFIG)
    core.apply(batch_of([Event(0, BASE, True, 1.0, {})], 0), NOW)
    position = pack_position(core.cut(NOW).position)
    with pytest.raises(StateIncompatible, match="mixed up"):
        SystemCore(CONFIG).restore({b"position": position})
    run = Run()
    run.feed(report(0, BASE))
    run.cut()
    with pytest.raises(StateIncompatible, match="mixed up"):
        ModuleCore(CONFIG).restore({b"position": run.log[b"position"]})


def test_both_cores_fit_the_same_task() -> None:
    cores: list[TaskCore] = [ModuleCore(CONFIG), SystemCore(CONFIG)]
    for core in cores:
        core.restore({})
        core.idle_until(NOW, NOW)
        core.apply(RecordBatch("t", 0, [], [], [], [], NoHeaders()), NOW)
        assert core.cut(NOW).position.stream_ms is None
        assert (core.open_windows, core.buffered_bytes) == (0, 0)
    assert not cores[1].idle
