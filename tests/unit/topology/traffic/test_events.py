"""Synthetic traffic: reproducible, at the rate that was asked for, and bad only where it says so."""

from collections import Counter
from itertools import islice

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import export
from schemas.errors import ConfigError
from topology.traffic.events import ErrorBurst, LatencyShift, Traffic, TrafficPlan, events, module_names

START_MS = 1_780_315_200_000


def take(plan: TrafficPlan, count: int, start_ms: int = START_MS) -> list[Traffic]:
    return list(islice(events(plan, start_ms), count))


@given(
    rate=st.floats(0.5, 100_000),
    modules=st.integers(1, 300),
    seed=st.integers(0, 2**40),
    duplicates=st.floats(0, 0.5),
    bad=st.floats(0, 0.5),
)
def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(
    rate: float, modules: int, seed: int, duplicates: float, bad: float
) -> None:
    plan = TrafficPlan(rate=rate, modules=modules, seed=seed, duplicates=duplicates, bad=bad)
    assert take(plan, 300) == take(plan, 300)
    other = TrafficPlan(rate=rate, modules=modules, seed=seed + 1, duplicates=duplicates, bad=bad)
    assert take(plan, 300) != take(other, 300)


def test_records_are_due_at_the_rate_over_chunks_without_drift() -> None:
    due = [record.due_ms for record in take(TrafficPlan(rate=3_000), 30_001)]
    assert due[0] == START_MS
    assert due[-1] == START_MS + 10_000
    assert due == sorted(due)


@given(disorder_ms=st.integers(0, 5_000), duplicates=st.sampled_from([0.0, 0.2]))
def test_an_events_time_lies_at_most_the_disorder_before_its_due_time(disorder_ms: int, duplicates: float) -> None:
    records = take(TrafficPlan(rate=1_000, disorder_ms=disorder_ms, duplicates=duplicates), 1_000)
    delays = [r.due_ms - orjson.loads(r.value)["timestamp"] for r in records if r.kind == "event"]
    assert min(delays) >= 0
    assert max(delays) <= disorder_ms
    assert max(delays) >= disorder_ms * 0.9


def test_duplicates_and_bad_records_come_in_the_share_that_was_asked_for() -> None:
    plan = TrafficPlan(duplicates=0.05, bad=0.03)
    counts = Counter(record.kind.partition("/")[0] for record in take(plan, 40_000))
    assert counts["duplicate"] == pytest.approx(2_000, rel=0.15)
    assert counts["bad"] == pytest.approx(1_200, rel=0.15)
    assert counts.total() == 40_000


def test_a_duplicate_repeats_an_earlier_good_event_byte_for_byte_and_nothing_else_repeats() -> None:
    seen: set[bytes] = set()
    for record in take(TrafficPlan(duplicates=0.2, bad=0.1), 20_000):
        if record.kind == "duplicate":
            assert record.value in seen
        elif record.kind == "event":
            assert record.value not in seen
            seen.add(record.value)


def test_good_events_keep_the_contract_and_carry_their_module_as_key() -> None:
    plan = TrafficPlan(modules=200, gauges=1.0)
    names = set(module_names(200))
    for record in take(plan, 10_000):
        assert export.validate("module-log-events", record.value) is None
        event = orjson.loads(record.value)
        assert event["module_id"].encode() == record.key
        assert event["module_id"] in names
        assert 0 <= event["cpu_percent"] <= 100


def test_a_burst_and_a_shift_hit_their_modules_for_their_time_only() -> None:
    plan = TrafficPlan(
        rate=1_000, modules=10, error_burst=ErrorBurst(10, 5, 0.2, 1.0), latency_shift=LatencyShift(20, 5, 50, 0.2)
    )
    calm = take(TrafficPlan(rate=1_000, modules=10), 30_000)
    hit = set(module_names(10)[:2])
    for record, usual in zip(take(plan, 30_000), calm, strict=True):
        second = (record.due_ms - START_MS) / 1_000
        event, before = orjson.loads(record.value), orjson.loads(usual.value)
        ours = event["module_id"] in hit
        assert event["success"] == (before["success"] and not (ours and 10 <= second < 15))
        factor = 50 if ours and 20 <= second < 25 else 1
        assert event["response_time_ms"] == pytest.approx(before["response_time_ms"] * factor, abs=0.1)


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 0.0}, {"rate": float("nan")}, {"modules": 0}, {"bad": 0.6, "duplicates": 0.6}, {"disorder_ms": -1}],
)
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        TrafficPlan(**wrong)  # type: ignore[arg-type]
