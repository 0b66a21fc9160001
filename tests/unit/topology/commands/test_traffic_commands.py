"""`generate`, `publish`, `replay`, `top` and `demo` on the command line, as far as they go without a broker."""

from pathlib import Path

import orjson
import pytest

from tests.support.command import Run

START = "2026-06-01T12:00:00Z"


@pytest.mark.parametrize("command", ["generate", "publish", "replay", "top", "demo"])
def test_every_command_explains_itself(run: Run, command: str) -> None:
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: modpulse {command}")


def test_generated_files_are_reproducible_and_can_be_replayed(run: Run) -> None:
    options = ["--count", "3000", "--rate", "100", "--start-time", START, "--bad-ratio", "0.05", "--duplicates", "0.05"]
    code, out, _ = run("generate", *options, "--out", "a.jsonl", "--json")
    made = orjson.loads(out)
    assert (code, made["records"]) == (0, 3_000)
    assert made["events"] + made["duplicates"] + made["bad"] == 3_000
    run("generate", *options, "--out", "b.jsonl")
    assert Path("a.jsonl").read_bytes() == Path("b.jsonl").read_bytes()
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


def test_traffic_to_a_file_ends_now_unless_it_is_told_when_to_begin(run: Run) -> None:
    import time

    run("generate", "--seconds", "60", "--rate", "10", "--out", "now.jsonl")
    times = [orjson.loads(line)["timestamp"] for line in Path("now.jsonl").read_bytes().splitlines()]
    assert len(times) == 600
    assert 0 <= time.time() * 1_000 - times[-1] < 60_000
    assert times[-1] - times[0] == 59_900


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "--rate", "0"],
        ["generate", "--out", "x"],
        ["generate", "--count", "1", "--out", "absent/x"],
        ["generate", "--count", "1", "--out", "x", "--error-burst", "1,2,3"],
        ["generate", "--count", "1", "--out", "x", "--error-burst", "1,2,0.5,nan"],
        ["generate", "--count", "1", "--out", "x", "--latency-shift", "a,b,c"],
        ["generate", "--count", "1", "--out", "x", "--disorder", "soon"],
        ["generate", "--count", "1", "--out", "x", "--start-time", "yesterday"],
        ["replay", "absent.jsonl"],
        ["top", "--window", "7s"],
        ["demo", "--seconds", "5"],
        ["demo", "--rate", "10"],
    ],
)
def test_what_makes_no_sense_ends_with_2_and_a_sentence(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("modpulse: ")


@pytest.mark.parametrize("command", [["publish", "-"], ["generate", "--count", "1"], ["top", "--once"]])
def test_a_broker_that_is_away_ends_with_3(run: Run, command: list[str]) -> None:
    code, out, err = run("--set", "kafka.bootstrap_servers=127.0.0.1:1", *command)
    assert (code, out) == (3, "")
    assert err.startswith("modpulse: no broker at kafka.bootstrap_servers = 127.0.0.1:1")
