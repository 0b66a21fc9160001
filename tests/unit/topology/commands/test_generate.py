"""`modpulse generate`: flags become a plan that ends, and the same flags the same bytes."""

import time
from pathlib import Path

import orjson
import pytest

from schemas.errors import ConfigError
from tests.support.shell.command import Run
from topology.commands.generate import _burst, _duration, _extent, _job, _moment, _shift
from topology.traffic.events import ErrorBurst, LatencyShift, TrafficPlan

START = "2026-06-01T12:00:00Z"
START_MS = 1_780_315_200_000


def test_generated_files_are_reproducible(run: Run) -> None:
    options = ["--count", "3000", "--rate", "100", "--start-time", START, "--bad-ratio", "0.05", "--duplicates", "0.05"]
    code, out, _ = run("generate", *options, "--out", "a.jsonl", "--json")
    made = orjson.loads(out)
    assert (code, made["records"]) == (0, 3_000)
    assert made["events"] + made["duplicates"] + made["bad"] == 3_000
    run("generate", *options, "--out", "b.jsonl")
    assert Path("a.jsonl").read_bytes() == Path("b.jsonl").read_bytes()


def test_on_standard_output_is_nothing_but_records(run: Run) -> None:
    options = ["generate", "--count", "30", "--start-time", START, "--out"]
    assert run(*options, "c.jsonl")[0] == 0
    code, out, err = run(*options, "-", "--json")
    assert (code, out, err) == (0, Path("c.jsonl").read_text("utf-8"), "30 records written\n")


def test_traffic_to_a_file_ends_now_unless_it_is_told_when_to_begin(run: Run) -> None:
    run("generate", "--seconds", "60", "--rate", "10", "--out", "now.jsonl")
    times = [orjson.loads(line)["timestamp"] for line in Path("now.jsonl").read_bytes().splitlines()]
    assert len(times) == 600
    assert 0 <= time.time() * 1_000 - times[-1] < 60_000
    assert times[-1] - times[0] == 59_900


@pytest.mark.parametrize(
    ("rate", "seconds", "count", "unpaced", "wanted"),
    [
        (100.0, None, None, False, (None, 100.0)),
        (100.0, 2.5, None, True, (250, 100.0)),
        (100.0, 2.5, 200, False, (200, 100.0)),
        (100.0, 2.5, 300, True, (250, 100.0)),
        (100.0, None, 7, True, (7, 100.0)),
        (0.0, 10.0, 200, True, (200, 20.0)),
        (0.0, None, 200, False, (200, 5_000.0)),
        (0.0, 2.0, None, True, (10_000, 5_000.0)),
        (0.0, 0.0, 5, True, (0, 5_000.0)),
    ],
)
def test_seconds_are_event_time_and_what_ends_first_counts(
    rate: float, seconds: float | None, count: int | None, unpaced: bool, wanted: tuple[int | None, float]
) -> None:
    assert _extent(rate, seconds, count, unpaced=unpaced) == wanted


def test_what_would_never_end_is_refused_where_nothing_slows_it_down() -> None:
    with pytest.raises(ConfigError, match="--rate 0 has no end of its own; add --count N or --seconds N"):
        _extent(0.0, None, None, unpaced=False)
    with pytest.raises(ConfigError, match="a file must end; add --count N or --seconds N"):
        _extent(10.0, None, None, unpaced=True)


def test_traffic_is_dated_back_unless_it_is_paced_or_told_when_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: START_MS * 1_000_000)
    plan = TrafficPlan(rate=10.0)
    assert _job(plan, 600, None, paced=False).start_ms == START_MS - 60_000
    assert _job(plan, 600, None, paced=True).start_ms == START_MS
    assert _job(plan, 600, "5", paced=False).start_ms == 5
    assert _moment(START) == _moment(str(START_MS)) == START_MS
    with pytest.raises(ConfigError, match=r"--start-time: .+; or write epoch milliseconds"):
        _moment("yesterday")


def test_an_incident_is_a_row_of_numbers() -> None:
    assert (_burst(None), _shift(None)) == (None, None)
    assert _burst("1,2,0.5,0.25") == ErrorBurst(1.0, 2.0, 0.5, 0.25)
    assert _shift("1, 2, 30") == LatencyShift(1.0, 2.0, 30.0)
    assert _shift("1,2,30,0.5") == LatencyShift(1.0, 2.0, 30.0, 0.5)
    for text in ("1,2,3", "1,2,0.5,nan", "1,2,-1,0", "1,2,inf,0", "1,2,,0", "1,2,3,4,5"):
        with pytest.raises(ConfigError, match=f"--error-burst {text}: write 4 numbers"):
            _burst(text)
    with pytest.raises(ConfigError, match=r"--disorder soon is not a duration"):
        _duration("--disorder", "soon")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rate", "0"],
        ["--out", "x"],
        ["--count", "1", "--out", "absent/x"],
        ["--count", "1", "--out", "x", "--error-burst", "1,2,3"],
        ["--count", "1", "--out", "x", "--latency-shift", "a,b,c"],
        ["--count", "1", "--out", "x", "--disorder", "soon"],
        ["--count", "1", "--out", "x", "--start-time", "yesterday"],
    ],
)
def test_what_makes_no_sense_ends_with_2_and_a_sentence(run: Run, arguments: list[str]) -> None:
    code, out, err = run("generate", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("modpulse: ")


def test_a_broker_that_is_away_ends_with_3(run: Run) -> None:
    code, out, err = run("--set", "kafka.bootstrap_servers=127.0.0.1:1", "generate", "--count", "1")
    assert (code, out) == (3, "")
    assert err.startswith("modpulse: no broker at kafka.bootstrap_servers = 127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--rate", "1e-300", "--count", "1"), "--rate 1e-300 is less than 0.001 records a second"),
        (("--count", "1", "--start-time", "9" * 20), "--start-time"),
    ],
)
def test_a_time_beyond_the_calendar_ends_with_2_and_a_sentence(run: Run, arguments: tuple[str, ...], says: str) -> None:
    code, _, err = run("generate", *arguments, "--out", "x.jsonl")
    assert code == 2
    assert says in err
