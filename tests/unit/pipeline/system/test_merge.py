"""The merged record against an independent truth over all events, in any interleaving of the partitions."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import HealthProfile
from pipeline.cores.module_core import ModuleCore
from pipeline.ingest.batch import NoHeaders, RecordBatch
from pipeline.publish.render import WindowText
from pipeline.system.health import health_of
from pipeline.system.merge import aggregate
from schemas.metrics import AggregatedMetrics, Completeness
from schemas.partials import SystemPartial
from schemas.state import Ledger
from tests.support.core.cores import fixed
from tests.support.core.system_tasks import BASE, CONFIG, NOW, SIZES, SystemRun, any_partial, partial, report

PER_MILLE = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p999": 999}
GAUGES = {
    "memory_bytes": "total_memory_bytes",
    "goroutines": "total_goroutines",
    "db_connections": "db_connections",
    "cpu_percent": "average_cpu_percent",
}


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


def run_over(transactions: list[list[bytes]], cut_every: int) -> SystemRun:
    run = SystemRun()
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


@fixed(40)
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


@fixed(40)
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


def test_gauges_are_sums_and_none_when_nobody_sent_any() -> None:
    run = SystemRun()
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


def merged(partials: Sequence[SystemPartial]) -> AggregatedMetrics:
    text = WindowText("10s", BASE, 10_000, "final", NOW)
    return aggregate(partials, text, 3, Completeness(4, 2), health_of(partials, HealthProfile()), BASE)


@fixed(60)
@given(st.lists(any_partial, min_size=1, max_size=6), st.randoms())
def test_the_order_of_the_partials_is_of_no_account(partials: list[SystemPartial], random: Random) -> None:
    shuffled = list(partials)
    random.shuffle(shuffled)
    assert merged(shuffled) == merged(partials)


def test_a_mean_of_percentages_whose_sum_is_no_double_is_still_their_mean() -> None:
    huge: dict[str, Any] = {"cpu_percent": 1.5e308, "cpu_modules": 1}
    scaled: dict[str, Any] = {"cpu_percent": math.ldexp(1.5e308, -63), "cpu_scale": 64, "cpu_modules": 2}
    assert merged([partial(0, **huge), partial(1, **huge)]).average_cpu_percent == 1.5e308
    assert merged([partial(0, **scaled), partial(1, **huge)]).average_cpu_percent == pytest.approx(1.5e308, rel=1e-15)


def test_the_spread_of_times_whose_squares_lie_below_the_first_64_fraction_bits_is_not_lost() -> None:
    """One request of 2^-40 ms and one of three times that: their deviation is 2^-40."""
    tiny = 2.0**-40
    parts = [
        partial(
            number, requests=1, took=times * tiny, sum=hex(times << 24), squares="0x0", squares_rest=hex(times**2 << 48)
        )
        for number, times in enumerate((1, 3))
    ]
    times_of = merged(parts).response_time_ms
    assert times_of is not None
    assert (times_of.avg, times_of.stddev) == (2 * tiny, tiny)


def test_rates_are_of_the_requests_of_all_partitions_and_of_the_seconds_of_the_window() -> None:
    record = merged([partial(0, requests=30), partial(1, requests=10, successes=2)])
    assert (record.overall_success_rate, record.overall_error_rate, record.overall_throughput) == (0.8, 0.2, 4.0)
    assert (record.window_end, record.revision, record.completeness) == (BASE + 10_000, 3, Completeness(4, 2))
