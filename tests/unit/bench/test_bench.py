"""What the benchmark computes: progress lines, tables, the workload, what a run is void for."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import orjson
import pytest

from bench.against import programs, report
from bench.latency import quantiles
from bench.report.catalog import PROGRAMS, chosen
from bench.report.charts import Series, chart
from bench.report.progress import Progress, Task, heard
from bench.report.tables import Row, summary, throughput, write_section
from bench.report.verdict import Figures, figures, judge, read_reference, write_reference
from bench.rig.builds import ROOT
from bench.rig.fleet import Steady, Written, text
from bench.rig.measure import Outcome, Running, VoidError, measure
from bench.rig.turns import Turn, pause, turn
from bench.rig.workload import Loaded, Workload, records
from schemas.events import ModuleLogEvent

pytestmark = pytest.mark.slow

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


# --- the guard on speed ---------------------------------------------------------------------------------------------


def test_a_round_is_told_in_units_of_the_yardstick() -> None:
    worker, yardstick = Turn(1_000_000, 2.0, 4.0, 1.0), Turn(500_000, 9.0, 0.5, 7.0)
    assert figures(worker, yardstick) == Figures(speed=0.5, thrift=0.25, crowded=0.25)
    slower_machine = figures(Turn(1_000_000, 3.0, 6.0, 1.5), Turn(500_000, 1.0, 0.75, 0.0))
    assert slower_machine == Figures(speed=0.5, thrift=0.25, crowded=0.25), (
        "what makes everything slower changes nothing"
    )


@pytest.mark.parametrize(
    ("speed", "thrift", "ok"), [(1.0, 1.0, True), (0.76, 0.76, True), (0.74, 1.0, False), (1.0, 0.74, False)]
)
def test_the_guard_is_red_when_a_quarter_of_either_figure_is_lost(speed: float, thrift: float, ok: bool) -> None:
    rounds = [Figures(0.6 * speed * noise, 0.5 * thrift * noise) for noise in (0.9, 0.95, 1.0, 1.0, 1.0, 1.3, 1.4)]
    verdicts = judge(rounds, Figures(0.6, 0.5))
    assert [verdict.share for verdict in verdicts] == pytest.approx([speed, thrift])
    assert all(verdict.ok for verdict in verdicts) == ok


def test_speed_is_judged_by_rounds_in_which_others_left_processors() -> None:
    def judged(crowded: int, calm: int) -> dict[str, float]:
        rounds = [Figures(0.1, 0.4, crowded=1.1)] * crowded + [Figures(0.5, 0.4, crowded=0.9)] * calm
        return {verdict.name: verdict.share for verdict in judge(rounds, Figures(0.5, 0.4))}

    assert judged(crowded=5, calm=3) == {"speed": 1.0, "thrift": 1.0}
    assert judged(crowded=6, calm=2) == {"thrift": 1.0}


def test_a_busy_machine_makes_no_reference(tmp_path: Path) -> None:
    with pytest.raises(VoidError, match="in 7 of 9 rounds"):
        write_reference([Figures(0.6, 0.4, crowded=1.1)] * 7 + [Figures(0.6, 0.4)] * 2, tmp_path / "kept.json")


def test_the_interval_leaves_the_true_median_out_in_one_run_of_ten_at_most() -> None:
    def interval(values: int) -> tuple[float, float]:
        verdict = judge([Figures(1.0, float(n)) for n in range(values)], Figures(1.0, 1.0))[-1]
        return verdict.low, verdict.high

    assert interval(3) == (0, 2)
    assert interval(7) == (0, 6)  # without the outermost two values it would be left out in one run of eight
    assert interval(8) == (1, 6)
    assert interval(10) == (1, 8)


def test_the_reference_was_measured_with_this_yardstick_on_a_named_machine() -> None:
    found = read_reference()
    assert 0 < found.thrift < found.speed
    kept = orjson.loads((ROOT / "bench" / "reference.json").read_bytes())
    assert {"processor", "date", "versions"} <= set(kept["measured_on"])


def test_a_calibration_keeps_the_medians(tmp_path: Path) -> None:
    write_reference([Figures(0.5, 0.4), Figures(0.9, 0.3), Figures(0.6, 0.45)], tmp_path / "kept.json")
    assert read_reference(tmp_path / "kept.json") == Figures(0.6, 0.4)


def test_a_reference_of_another_yardstick_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_reference([Figures(0.6, 0.4)] * 3, tmp_path / "kept.json")
    (tmp_path / "yardstick.py").write_text("pass\n")
    monkeypatch.setattr("bench.report.verdict.YARDSTICK", tmp_path / "yardstick.py")
    with pytest.raises(VoidError, match="--calibrate"):
        read_reference(tmp_path / "kept.json")


COUNTING = """
import itertools, json, sys
for n in itertools.count(1):
    sum(range(20_000))
    print("BENCH " + json.dumps({"t": 0.0, "events": n}), flush=True)
"""


def test_a_program_works_in_its_turn_alone(tmp_path: Path) -> None:
    program = Running([sys.executable, "-c", COUNTING], {}, tmp_path / "log")
    try:
        deadline = time.monotonic() + 30
        while not program.count():
            assert program.alive
            assert time.monotonic() < deadline
        pause(program)
        enough = program.count() + 100
        first = turn(program, lambda _: program.count() > enough, 30)
        assert first.events > 0
        assert first.cpu_s > 0
        assert first.seconds > 0
        deadline = time.monotonic() + 30
        while ") T " not in Path(f"/proc/{program.pid}/stat").read_text(encoding="utf-8"):
            assert time.monotonic() < deadline, "it goes on after its turn"
        with pytest.raises(VoidError, match="did not end"):
            turn(program, lambda _: False, 0.05)
    finally:
        program.kill()
    with pytest.raises(OSError, match="No such file"):
        turn(program, lambda _: True, 1)


BENCHMARK = """
import sys
from dataclasses import replace
from pathlib import Path
from bench.rig.measure import Running
from bench.rig.turns import pause
program = Running([sys.executable, "-c", sys.argv[1]], {}, Path(sys.argv[2]))
while not program.count():
    assert program.alive
pause(program)
print(program.pid, flush=True)
sys.stdin.read()
"""


def test_a_paused_program_ends_with_a_benchmark_that_is_killed(tmp_path: Path) -> None:
    benchmark = subprocess.Popen(
        [sys.executable, "-c", BENCHMARK, COUNTING, str(tmp_path / "log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with benchmark:
        assert benchmark.stdout is not None
        state = Path(f"/proc/{int(benchmark.stdout.readline())}/stat")
        assert state.exists()
        benchmark.kill()
    deadline = time.monotonic() + 30
    while state.exists() and ") Z " not in state.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline, "it outlived the benchmark"


def test_two_builds_are_compared_pair_by_pair_with_an_interval() -> None:
    there = Outcome(1_000, 1_000, 2.0, 1.0, 100.0, 500.0)
    pairs = [
        (replace(there, seconds=2.0 / share), there) for share in (0.9, 1.0, 1.1, 1.0, 0.95, 1.05, 1.0, 0.5, 1.0, 2.0)
    ]
    said = report(pairs).splitlines()
    assert said[0] == "throughput: 1.000 of the other's (0.900 to 1.100, 10 pairs)"
    assert said[2] == "peak memory: 1.000 of the other's (1.000 to 1.000, 10 pairs)"
    with pytest.raises(FileNotFoundError, match="run `make env`"):
        programs(Path("/nowhere"))
