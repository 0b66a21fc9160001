"""The published record of a module: every figure in its place, and the words of its health."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import HealthProfile, Threshold, default_thresholds
from pipeline.publish.render import WindowText, encode, response_time
from pipeline.windows.moments import FRACTION_BITS
from schemas.metrics import ModuleMetrics
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, config_of, fixed

FIVE = [1.0, 2.0, 3.0, 4.0, 5.0]


def sums(values: list[float]) -> tuple[int, int]:
    """Exact sums of whole milliseconds, as `response_time` takes them."""
    whole = [int(value) for value in values]
    return sum(whole) << FRACTION_BITS, sum(value * value for value in whole) << 2 * FRACTION_BITS


def test_equal_times_have_exactly_that_average_and_no_deviation() -> None:
    total = round(3 * 0.1 * 2**FRACTION_BITS) - 7  # as if terms had been cut
    found = response_time(3, total, 1 << 130, 0.1, 0.1, FIVE)
    assert (found.avg, found.min, found.max, found.stddev) == (0.1, 0.1, 0.1, 0.0)


@pytest.mark.parametrize(("minimum", "maximum", "average"), [(1.0, 3.0, 2.0), (2.5, 3.0, 2.5), (1.0, 1.5, 1.5)])
def test_an_average_lies_between_the_least_and_the_largest(minimum: float, maximum: float, average: float) -> None:
    assert response_time(2, *sums([1.0, 3.0]), minimum, maximum, FIVE).avg == average


@fixed(100)
@given(st.lists(st.integers(0, 10**6).map(float), min_size=2, max_size=6))
def test_average_and_deviation_are_those_of_the_times_and_percentiles_keep_their_places(values: list[float]) -> None:
    found = response_time(len(values), *sums(values), min(values), max(values), FIVE)
    assert found.avg == pytest.approx(float(np.mean(values)), rel=1e-12)
    assert found.stddev == pytest.approx(float(np.std(values)), rel=1e-9, abs=1e-9)
    assert [found.p50, found.p90, found.p95, found.p99, found.p999] == FIVE


def test_every_figure_of_a_module_stands_under_its_own_name() -> None:
    """Records are built by position: two columns that change places would change nothing else."""
    run = Run(config_of((10,), 0, 0))
    run.apply([
        Event("m", START_MS, 10.0, memory=100, goroutines=3, connections=5, cpu=1.0),
        Event("m", START_MS + 1, 30.0, success=False, memory=400, goroutines=1, connections=2, cpu=4.0),
        Event("m", START_MS + 2, 20.0, memory=200, goroutines=2, connections=8, cpu=2.0),
        Event("m", START_MS + 3, 20.0),
    ])  # fmt: skip
    run.cut(NOW_MS + 9)
    (record,) = run.metrics
    times = record.response_time_ms
    assert (times.avg, times.min, times.max) == (20.0, 10.0, 30.0)
    assert times.stddev == pytest.approx(50**0.5)
    found = msgspec.to_builtins(record)
    for name in ("response_time_ms", "health", "sketch"):
        del found[name]
    assert found == {
        "module_id": "m", "window": "10s", "window_start": START_MS, "window_end": START_MS + 10_000,
        "status": "provisional", "revision": 1, "last_updated": NOW_MS + 9,
        "total_requests": 4, "successful_requests": 3, "failed_requests": 1, "success_rate": 0.75, "error_rate": 0.25,
        "throughput_rps": 0.4, "percentile_relative_error": 0.01,
        "memory_bytes": 200, "memory_bytes_avg": 700 / 3, "memory_bytes_max": 400,
        "goroutines": 2, "goroutines_avg": 2.0, "goroutines_max": 3,
        "db_connections": 8, "db_connections_avg": 5.0, "db_connections_max": 8,
        "cpu_percent": 2.0, "cpu_percent_avg": 7 / 3, "cpu_percent_max": 4.0,
    }  # fmt: skip


def test_the_times_of_modules_are_never_mixed_up() -> None:
    run = Run(config_of((10,), 0, 0))
    run.apply([Event(f"m{number}", START_MS, float(number), event_id="1") for number in range(200)])
    run.cut()
    assert len(run.metrics) == 200
    for record in run.metrics:
        assert record.response_time_ms.avg == record.response_time_ms.p50 == float(record.module_id[1:])


def healths(*successes: bool, worsen: int, improve: int) -> list[tuple[str, int | None, list[str]]]:
    """One window of a second for each: class, since which window, and reasons; failures make a window critical."""
    off = dict.fromkeys(default_thresholds(), Threshold(None, None, 1.0))
    thresholds = off | {"success_rate": Threshold(0.9, 0.5, 99.0)}
    profile = HealthProfile(thresholds, min_requests=1, worsen_windows=worsen, improve_windows=improve)
    run = Run(config_of((1,), 0, 0, profile=profile))
    for second, success in enumerate(successes):
        run.apply([Event("m", START_MS + second * 1_000, success=success)])
    run.cut(everything=True)
    records = {record.window_start: record.health for record in run.metrics}
    return [
        (health.status, None if health.since is None else (health.since - START_MS) // 1_000, health.reasons)
        for _, health in sorted(records.items())
    ]


def test_a_class_that_waits_for_more_windows_says_which_it_would_be_and_how_far_it_is() -> None:
    lost = "success_rate 0 is below 0.5 (critical, -95.19 points)"
    alone = "this window alone is {}; {} of the {} windows a change takes"
    assert healths(True, False, False, False, True, True, worsen=3, improve=2) == [
        ("healthy", 0, []),
        ("healthy", 0, [lost, alone.format("critical", 1, 3)]),
        ("healthy", 0, [lost, alone.format("critical", 2, 3)]),
        ("critical", 3, [lost]),
        ("critical", 3, [alone.format("healthy", 1, 2)]),
        ("healthy", 5, []),
    ]


def test_the_text_of_a_window_ends_where_its_size_says_and_counts_in_seconds() -> None:
    text = WindowText("1m", 120_000, 60_000, "final", 7)
    assert (text.end_ms, text.seconds, text.status, text.now_ms) == (180_000, 60.0, "final", 7)


def test_a_record_is_written_as_the_json_that_its_type_reads() -> None:
    run = Run(config_of((10,), 0, 0))
    run.apply([Event("süß|1\u2028", START_MS)])
    run.cut()
    (record,), (emitted,) = run.metrics, run.emitted
    assert msgspec.json.decode(encode(record), type=ModuleMetrics) == record
    assert emitted.value == encode(record)
