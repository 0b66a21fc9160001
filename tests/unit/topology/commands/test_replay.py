"""`modpulse replay`: the records of a file of events on standard output, and an account of every line beside it."""

from pathlib import Path

import orjson
import pytest

from schemas.state import Ledger
from tests.support.shell.command import Run
from topology.commands.replay import _report
from topology.traffic.rejects import Rejects

START = "2026-06-01T12:00:00Z"


def test_generated_files_can_be_replayed_to_the_event(run: Run) -> None:
    options = ["--count", "3000", "--rate", "100", "--start-time", START, "--bad-ratio", "0.05", "--duplicates", "0.05"]
    code, out, _ = run("generate", *options, "--out", "a.jsonl", "--json")
    made = orjson.loads(out)
    code, out, err = run("replay", "a.jsonl", "--partitions", "3", "--drain", "--json", "--alerts", "alerts.jsonl")
    told = orjson.loads(err)
    ledger = told["ledger"]
    assert code == 0
    assert len(told["partitions"]) == 3
    assert (ledger["applied"], ledger["duplicate"]) == (made["events"], made["duplicates"])
    assert ledger["invalid"] + ledger["future"] == made["bad"]
    records = [orjson.loads(line) for line in out.splitlines()]
    assert len(records) == told["records"]
    last = {(r["module_id"], r["window"], r["window_start"]): r for r in records}
    assert {record["status"] for record in last.values()} == {"final"}
    assert sum(r["total_requests"] for (_, window, _), r in last.items() if window == "1h") == made["events"]
    assert Path("alerts.jsonl").exists()


def test_without_drain_what_is_open_stays_provisional(run: Run) -> None:
    run("generate", "--count", "600", "--rate", "10", "--start-time", START, "--out", "a.jsonl")
    _, open_at_end, _ = run("replay", "a.jsonl", "--json")
    _, closed, _ = run("replay", "a.jsonl", "--json", "--drain")
    day = [orjson.loads(line) for line in open_at_end.splitlines() if b'"window":"1d"' in line.encode()]
    assert {record["status"] for record in day} <= {"provisional"}
    assert '"status":"final"' in closed


def test_metrics_go_to_a_file_where_one_is_named(run: Run) -> None:
    run("generate", "--count", "60", "--rate", "10", "--start-time", START, "--out", "a.jsonl")
    code, out, err = run("replay", "a.jsonl", "--drain", "--out", "metrics.jsonl", "--partitions", "1")
    assert (code, out) == (0, "")
    lines = Path("metrics.jsonl").read_bytes().splitlines()
    assert err.splitlines()[-1] == f"{len(lines)} module-metrics records"
    assert lines


def test_the_account_has_a_line_for_each_partition_and_one_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    ledgers = [Ledger(consumed=3, applied=2, late=1), Ledger(consumed=40, applied=40)]
    _report(ledgers, 7, Rejects(), as_json=False)
    head, *rows, last = (line.split() for line in capsys.readouterr().err.splitlines())
    applied = head.index("applied")
    assert [(row[0], row[1], row[applied]) for row in rows] == [("0", "3", "2"), ("1", "40", "40"), ("all", "43", "42")]
    assert last[0] == "7"
    _report(ledgers, 7, Rejects(), as_json=True)
    told = orjson.loads(capsys.readouterr().err)
    assert (told["ledger"]["consumed"], [one["consumed"] for one in told["partitions"]]) == (43, [3, 40])


def test_a_file_that_is_not_there_ends_with_2_and_a_sentence(run: Run) -> None:
    code, out, err = run("replay", "absent.jsonl")
    assert (code, out) == (2, "")
    assert err.startswith("modpulse: ")


def test_alerts_go_to_a_file_of_their_own(run: Run) -> None:
    incident = ["--error-burst", "60,120,1,0.9", "--modules", "1"]
    run("generate", "--seconds", "1800", "--rate", "5", *incident, "--start-time", START, "--out", "a.jsonl")
    _, without, _ = run("replay", "a.jsonl", "--drain")
    _, metrics, _ = run("replay", "a.jsonl", "--drain", "--alerts", "alerts.jsonl")
    alerts = [orjson.loads(line) for line in Path("alerts.jsonl").read_bytes().splitlines()]
    assert {"firing", "resolved"} <= {alert["status"] for alert in alerts if alert["alertname"] == "ErrorBurst"}
    assert len(metrics.splitlines()) == len(without.splitlines())
