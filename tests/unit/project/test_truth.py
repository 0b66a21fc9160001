"""The truth script sees what is wrong: a checker never seen red proves nothing."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests import truth
from tests.support.paths import DATA
from tests.truth import Event, Lateness, compare, event_of, figures, keep, main, murmur2, partition_of, windows_of

GAMMA = 1.01 / 0.99
SIZES = ["30s", "1m"]
SPANS = DATA / "real-spans.jsonl.gz"


def estimate(value: float) -> float:
    """Answer as a log-bucket histogram of 1 % would."""
    return 2 * GAMMA ** math.ceil(math.log(value, GAMMA)) / (GAMMA + 1) if value else 0.0


def published(events: list[Event], sizes: list[str]) -> list[dict[str, Any]]:
    """Make correct records of events, the percentiles rounded to bins."""
    records = []
    for (module, size, start), members in windows_of(events, sizes):
        flat = figures(members, truth.duration_ms(size), start)
        times = {name: flat.pop(name) for name in ("min", "max", "avg", "stddev", "p50", "p90", "p95", "p99", "p999")}
        times = {name: estimate(value) if name.startswith("p") else value for name, value in times.items()}
        records.append({"module_id": module, "window": size, "window_start": start, "response_time_ms": times} | flat)
    return records


def event(at_ms: int, module: str = "m", event_id: str | None = None, took: float = 1.0) -> Event:
    return Event(module, at_ms, True, took, event_id, (None, None, None, None))


EVENTS = [event(1000 * i, f"m{i % 3}", took=0.5 + i * i) for i in range(200)]


def test_correct_records_pass() -> None:
    result = compare(EVENTS, published(EVENTS, SIZES), SIZES)
    assert result.mismatches == []
    assert result.windows == 3 * 7 + 3 * 4
    assert 0 < result.worst_percentile_error <= 0.01


@pytest.mark.parametrize("name", ["total_requests", "failed_requests", "window_end", "success_rate", "goroutines"])
def test_one_wrong_figure_is_found(name: str) -> None:
    records = published(EVENTS, SIZES)
    records[5] |= {name: 1_000_003}
    assert len(compare(EVENTS, records, SIZES).mismatches) == 1


@pytest.mark.parametrize(
    ("name", "factor"),
    [("avg", 1 + 1e-8), ("min", 1 + 1e-15), ("max", 1 - 1e-15), ("p50", 1.03), ("p999", 0.97), ("stddev", 1.001)],
)
def test_one_slightly_wrong_time_is_found(name: str, factor: float) -> None:
    records = published(EVENTS, SIZES)
    records[5]["response_time_ms"][name] *= factor
    found = compare(EVENTS, records, SIZES).mismatches
    assert len(found) == 1
    assert f": {name} is " in found[0]


def test_not_a_number_is_no_percentile() -> None:
    records = published(EVENTS, SIZES)
    records[5]["response_time_ms"]["p50"] = math.nan
    assert len(compare(EVENTS, records, SIZES).mismatches) == 1


def test_a_missing_and_a_superfluous_window_are_found() -> None:
    records = published(EVENTS, SIZES)
    assert "no record" in compare(EVENTS, records[1:], SIZES).mismatches[0]
    assert "without events" in compare(EVENTS, [*records, records[0] | {"module_id": "x"}], SIZES).mismatches[0]


def test_the_last_record_of_a_key_counts() -> None:
    records = published(EVENTS, SIZES)
    wrong = records[0] | {"total_requests": 0}
    assert compare(EVENTS, [wrong, *records], SIZES).mismatches == []
    assert len(compare(EVENTS, [*records, wrong], SIZES).mismatches) == 1


def test_a_gauge_is_the_last_by_time_and_of_equal_times_the_later_in_the_file() -> None:
    gauges = [(20, 1.0), (30, 2.0), (30, 3.0), (10, 4.0)]
    members = [Event("m", at, True, 1.0, None, (value, None, None, None)) for at, value in gauges]
    assert figures(members, 30_000, 0)["memory_bytes"] == 3.0


def test_the_first_of_a_repeated_id_stays() -> None:
    kept = keep(
        [event(1, "a", "x", 1.0), event(2, "a", "x", 2.0), event(3, "b", "x", 3.0), event(4, "a"), event(4, "a")]
    )
    assert ([e.response_time_ms for e in kept.events], kept.duplicates) == ([1.0, 3.0, 1.0, 1.0], 1)


def test_an_event_is_late_from_the_allowance_on() -> None:
    lateness = Lateness(partitions=1, pane_ms=30_000, allowance_ms=10_000)
    assert keep([event(39_999), event(0)], lateness).late == 0
    assert keep([event(40_000), event(0)], lateness).late == 1
    assert keep([event(40_000), event(30_000)], lateness).late == 0


def test_stream_time_is_the_partitions_own() -> None:
    other = next(name for name in "bcdefgh" if partition_of(name, 2) != partition_of("a", 2))
    lateness = Lateness(partitions=2, pane_ms=30_000, allowance_ms=10_000)
    assert keep([event(40_000, "a"), event(0, other), event(0, "a")], lateness).late == 1


def test_the_hash_is_kafkas() -> None:
    """Values of Apache Kafka's own UtilsTest."""
    java = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    java |= {b"a-little-bit-longer-string": -1486304829, b"abc": 479470107}
    assert {data: murmur2(data) for data in java} == {data: value & 0xFFFFFFFF for data, value in java.items()}


def test_text_times_are_read() -> None:
    record = {"module_id": "m", "success": True, "response_time_ms": 1}
    assert event_of(record | {"timestamp": "2026-06-01t17:45:00.250+05:45"}).timestamp == 1_780_315_200_250


def test_the_command_compares_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with gzip.open(SPANS, "rt", encoding="utf-8") as file:
        lines = [line for line, _ in zip(file, range(3000), strict=False)]
    (tmp_path / "events.jsonl").write_text("".join(lines), "utf-8")
    records = published(keep(event_of(json.loads(line)) for line in lines).events, truth.WINDOWS.split(","))
    with gzip.open(tmp_path / "metrics.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    files = [str(tmp_path / "events.jsonl"), str(tmp_path / "metrics.jsonl.gz")]
    assert main(files) == 0
    assert f"windows compared {len(records)}" in capsys.readouterr().out
    assert main([*files, "--windows", "30s,1m"]) == 1
    (tmp_path / "none.jsonl").write_text("", "utf-8")
    assert main([str(tmp_path / "none.jsonl"), str(tmp_path / "none.jsonl")]) == 1
