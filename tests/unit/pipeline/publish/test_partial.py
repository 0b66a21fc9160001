"""One partial for all modules of a window: it says of the whole what the records of the modules say one by one."""

import math
import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import HealthProfile, Limits
from pipeline.publish.partial import empty_partial, partial_of
from pipeline.publish.scaled import ScaledSum
from pipeline.sketch.mapping import bins_of
from schemas.events import MAX_GAUGE
from schemas.partials import SystemPartial, decode_partial
from tests.support.core.cores import START_MS, Event, Run, config_of, fixed

CONFIG = config_of((10,), 0, 0, profile=HealthProfile(min_requests=1))


def partial_after(run: Run) -> SystemPartial:
    """The partial of the one window, of the newest cut."""
    run.cut(everything=True)
    told = [decode_partial(partial.value, "test") for partial in run.cuts[-1].partials]
    (found,) = [one for one in told if isinstance(one, SystemPartial)]
    return found


def told_of(*events: Event) -> SystemPartial:
    run = Run(CONFIG)
    run.apply(events)
    return partial_after(run)


def at(module: str, ms: float = 1.0, *, success: bool = True) -> Event:
    return Event(module, START_MS, ms, success)


EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from("abc"),
        st.integers(START_MS, START_MS + 9_999),
        st.sampled_from([0.0, 0.25, 1.5, 2_000.0, 30_000.0]),
        st.booleans(),
        memory=st.sampled_from([None, 0, 7, MAX_GAUGE]),
        cpu=st.sampled_from([None, 0.0, 99.0, 1.5e308]),
    ),
    min_size=1,
    max_size=15,
)


@fixed(60)
@given(EVENTS)
def test_a_partial_is_the_sum_of_the_records_of_its_modules(events: list[Event]) -> None:
    run = Run(CONFIG)
    run.apply(events)
    found = partial_after(run)
    records = run.metrics
    requests = {
        level: [r.total_requests for r in records if r.health.status == level] for level in ("degraded", "critical")
    }
    assert (found.modules, found.requests) == (len(records), len(events))
    assert found.successes == sum(event.success for event in events)
    assert (found.degraded, found.critical) == (len(requests["degraded"]), len(requests["critical"]))
    assert (found.degraded_requests, found.critical_requests) == (sum(requests["degraded"]), sum(requests["critical"]))
    assert found.weighted_score == math.fsum(r.health.score * r.total_requests for r in records)
    times = [Fraction(event.ms) for event in events]
    assert int(found.sum, 16) == sum(times) * 2**64
    assert (int(found.squares, 16) << 64) + int(found.squares_rest, 16) == sum(ms * ms for ms in times) * 2**128
    assert (found.minimum, found.maximum) == (min(event.ms for event in events), max(event.ms for event in events))
    bins, counts = np.unique(bins_of(np.array([event.ms for event in events])), return_counts=True)
    assert np.frombuffer(found.bins, "<i4").tolist() == bins.tolist()
    assert np.frombuffer(found.counts, "<i8").tolist() == counts.tolist()
    sent = [r.memory_bytes for r in records if r.memory_bytes is not None]
    assert found.memory_bytes == (min(sum(sent), MAX_GAUGE) if sent else None)
    cpu = [r.cpu_percent for r in records if r.cpu_percent is not None]
    assert (ScaledSum(found.cpu_percent, found.cpu_scale), found.cpu_modules) == (ScaledSum.of(cpu), len(cpu))


def test_a_gauge_that_nobody_sent_is_missing_and_one_that_somebody_sent_as_zero_is_zero() -> None:
    found = told_of(Event("a", START_MS, goroutines=0), at("b"))
    assert (found.memory_bytes, found.goroutines, found.db_connections) == (None, 0, None)


def test_gauges_beyond_the_largest_integer_are_the_largest_integer() -> None:
    found = told_of(
        Event("a", START_MS, connections=MAX_GAUGE, memory=MAX_GAUGE - 1),
        Event("b", START_MS, connections=1, memory=1),
    )
    assert (found.db_connections, found.memory_bytes) == (MAX_GAUGE, MAX_GAUGE)


def test_the_order_in_which_modules_came_changes_nothing() -> None:
    events = [at(f"m{number}", 0.1 + 137 * number, success=number % 3 > 0) for number in range(40)]
    first = told_of(*events)
    for seed in range(5):
        assert told_of(*random.Random(seed).sample(events, len(events))) == first


def test_what_found_no_place_counts_as_one_module() -> None:
    run = Run(replace(CONFIG, limits=Limits(max_modules=1)))
    run.apply([at("a"), at("b"), at("c")])
    found = partial_after(run)
    assert (found.modules, found.requests) == (2, 3)


def test_a_module_whose_first_record_is_still_owed_is_in_no_figure_yet() -> None:
    run = Run(CONFIG)
    run.apply([at("a", 5.0)])
    state = run.core._state
    (block,) = state.tree
    assert partial_of(0, "10s", block, state.sums_of(block), state.profiles, 0) is None, "not even one record is out"
    run.cut()
    run.apply([Event("b", START_MS, 70.0, success=False, memory=9)])
    found = partial_of(0, "10s", block, state.sums_of(block), state.profiles, 4)
    assert found is not None
    assert (found.modules, found.requests, found.successes, found.maximum, found.silent) == (1, 1, 1, 5.0, 4)
    assert np.frombuffer(found.bins, "<i4").tolist() == bins_of(np.array([5.0])).tolist()
    assert found.memory_bytes is None


@pytest.mark.parametrize("final", [False, True])
def test_a_withdrawn_partial_is_of_the_same_window_and_counts_nothing(final: bool) -> None:
    empty = empty_partial(3, "20s", 20_000, 40_000, final=final)
    assert (empty.partition, empty.window, empty.start_ms, empty.size_ms, empty.final) == (
        3,
        "20s",
        40_000,
        20_000,
        final,
    )
    assert not any((empty.modules, empty.requests, empty.weighted_score, empty.bins, empty.cpu_modules, empty.silent))
    assert (int(empty.sum, 16), int(empty.squares, 16), empty.memory_bytes) == (0, 0, None)
