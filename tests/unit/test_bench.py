"""What the benchmark computes: progress lines, tables, the workload, what a run is void for."""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import orjson
import pytest

from bench.catalog import PROGRAMS, chosen
from bench.charts import Series, chart
from bench.fleet import Steady, Written, text
from bench.latency import quantiles
from bench.measure import Outcome, VoidError, measure
from bench.progress import Progress, Task, heard
from bench.tables import Row, summary, throughput, write_section
from bench.workload import Loaded, Workload, records
from schemas.events import ModuleLogEvent

_TASK = Task("127.0.0.1:1", "input", 4, 1000, "run", 30_000, 10_000)


def _lines(output: str) -> list[int]:
    return [int(values["events"]) for line in output.splitlines() if (values := heard(line)) is not None]


def test_the_first_the_last_and_the_first_event_too_many_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    progress = Progress(1000)
    for _ in range(1000):
        progress.add()
    told = _lines(capfd.readouterr().out)
    assert told[0] == 1
    assert told[-1] == 1000
    assert progress.done
    assert len(told) <= 202
    progress.add()
    assert _lines(capfd.readouterr().out) == [1001]


def test_other_lines_are_not_taken_for_progress() -> None:
    assert heard("anything else") is None


def test_the_task_survives_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _TASK.environment().items():
        monkeypatch.setenv(name, value)
    assert Task.from_environment() == _TASK


def test_the_workload_is_seeded_keyed_and_valid() -> None:
    workload = Workload(events=2_000, modules=7, span_s=60)
    first = [record for chunk in records(workload, 10_000_000) for record in chunk]
    assert first == [record for chunk in records(workload, 10_000_000) for record in chunk]
    events = [orjson.loads(value) for _, value in first]
    assert len({event["event_id"] for event in events}) == len(events) == 2_000
    assert all(key.decode() == event["module_id"] for (key, _), event in zip(first, events, strict=True))
    times = [event["timestamp"] for event in events]
    assert max(times) <= 10_000_000
    assert min(times) >= 10_000_000 - 62_000
    assert set(events[0]) < set(ModuleLogEvent.__struct_fields__)
    padded = next(records(Workload(events=1, padding=300), 10_000_000))
    assert len(padded[0][1]) > len(first[0][1]) + 300


def _run(program: str, tmp_path: Path, *, whole: bool = True, verifies: bool = False) -> Outcome:
    log = tmp_path / "run" / "log"
    return measure([sys.executable, "-c", program], _TASK, {}, log, whole=whole, verifies=verifies, deadline_s=20)


def _program(*values: str) -> str:
    return "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + "\n".join(
        f"print('BENCH {value}', flush=True); time.sleep(0.2)" for value in values
    )


def test_a_run_counts_from_the_first_processed_event_to_the_last(tmp_path: Path) -> None:
    outcome = _run(
        _program('{"t": 10.0, "events": 100}', '{"t": 12.0, "events": 600}', '{"t": 13.0, "events": 1000}'), tmp_path
    )
    assert outcome.processed == 1000
    assert outcome.rate == pytest.approx(300.0)
    assert outcome.warm_rate == pytest.approx(400.0)
    assert outcome.peak_mib > 1


def test_a_run_that_ends_before_the_last_event_is_void(tmp_path: Path) -> None:
    with pytest.raises(VoidError, match="999 of 1,000"):
        _run(_program('{"t": 1.0, "events": 1}', '{"t": 2.0, "events": 999}'), tmp_path)


def test_a_run_of_the_whole_topic_that_processes_an_event_twice_is_void(tmp_path: Path) -> None:
    twice = _program('{"t": 1.0, "events": 1}', '{"t": 2.0, "events": 1001}')
    with pytest.raises(VoidError, match="1,001 of 1,000"):
        _run(twice, tmp_path)
    assert _run(twice, tmp_path, whole=False).processed == 1001


def test_a_run_whose_own_books_hold_less_is_void(tmp_path: Path) -> None:
    lines = ('{"t": 1.0, "events": 1}', '{"t": 2.0, "events": 1000}')
    with pytest.raises(VoidError, match="999"):
        _run(_program(*lines, '{"verified": 999}'), tmp_path, verifies=True)
    _run(_program(*lines, '{"verified": 1000}'), tmp_path, verifies=True)


def _row(name: str, *rates: float, problem: str | None = None) -> Row:
    program = next(program for program in PROGRAMS if program.name == name)
    return Row(program, [Outcome(1000, 1000, 1000 / rate, 0.002, 50.0, rate) for rate in rates], problem)


def test_the_table_shows_medians_ratios_and_why_a_program_is_missing() -> None:
    rows = [_row("modpulse", 300.0, 100.0, 200.0), _row("Flink, heap", 50.0), _row("Bytewax", problem="no wheel")]
    text = throughput(rows)
    assert "100 .. 300" in text
    assert "4.00 x" in text
    assert "**Not measured:** no wheel" in text
    assert [values["events_per_second"] for values in summary(rows)] == [200.0, 50.0, None]


def test_programs_are_chosen_by_the_beginning_of_their_name() -> None:
    assert [program.name for program in chosen(["modpulse", "FLINK"])] == [
        "modpulse",
        "modpulse, dedup off",
        "modpulse, no compiled part",
        "Flink, heap",
    ]
    assert chosen([]) == list(PROGRAMS)
    with pytest.raises(ValueError, match="no program"):
        chosen(["nothing"])


def test_a_section_is_replaced_between_its_markers_and_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("a\n<!-- x: written by the benchmark -->\nold\n<!-- end of x -->\nb\n")
    write_section("x", "new\n", file)
    assert file.read_text() == "a\n<!-- x: written by the benchmark -->\nnew\n<!-- end of x -->\nb\n"
    with pytest.raises(ValueError, match="no section"):
        write_section("y", "new", file)


def test_a_chart_is_well_formed_and_escapes_its_texts() -> None:
    drawn = ET.fromstring(chart("a < b", ["1", "2"], (Series("events/s", [1.0, 2.0]), Series("MiB", [0.0, 0.0]))))
    assert len(drawn.findall("{http://www.w3.org/2000/svg}rect")) == 4
    with pytest.raises(ValueError, match="one value per label"):
        chart("x", ["1"], (Series("y", []),))


def test_what_a_fleet_needs_follows_from_the_measured_costs() -> None:
    loaded = Loaded("input", Workload(modules=500), 200.0, 1.0)
    steady = Steady(Written(60 << 20, 1), Written(120 << 20, 16 << 20, 60 << 20, 6 << 20), cores=0.09)
    said = text(200_000, 4.0, loaded, steady)
    assert "are 4.0 cores of events and 1.0 of records" in said
    assert "**10 workers**" in said
    assert "**20 partitions**" in said
    assert "**10 to 20 GiB** of memory" in said
    assert "**20.0 MiB/s** of outputs" in said
    assert "**20.0 MiB/s** of window state" in said
    assert "**100.0 MiB/s** of remembered ids" in said
    assert "is 200 MiB for all modules" in said
    assert "is too little" in said


def test_quantiles_are_milliseconds() -> None:
    assert quantiles([0.001 * n for n in range(1, 101)]) == "50 / 99 / 100"
    assert quantiles([]) == "no sample"
