"""`modpulse publish`: what became of the lines, and an exit code for those that did not fit."""

from collections.abc import Iterable
from pathlib import Path

import orjson
import pytest

from tests.support.shell.command import Run
from topology.runtime.progress import Progress
from topology.settings import Settings
from topology.traffic import publish as traffic
from topology.traffic.line_feed import Line
from topology.traffic.publish import Check, Published


@pytest.fixture
def _sending(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for a broker: a line that begins with `{` names a module, one over ten bytes is too large."""

    async def publish(
        settings: Settings, lines: Iterable[Line], progress: Progress, *, check: Check | None, live: bool
    ) -> Published:
        found = [line for _, line in lines]
        small = [line for line in found if len(line) <= 10]
        wrong = [line for line in small if check is not None and check(line)]
        keyless = sum(line[:1] != b"{" for line in small)
        return Published(
            len(small) - len(wrong), keyless, len(found) - len(small), len(wrong), next_line=len(found) + 1, seconds=2.0
        )

    monkeypatch.setattr(traffic, "publish", publish)


@pytest.mark.usefixtures("_sending")
def test_all_lines_sent_is_one_row_and_exit_code_0(run: Run) -> None:
    Path("e.jsonl").write_bytes(b"{}\n" * 3_000)
    assert run("publish", "e.jsonl") == (0, "ok  module-log-events  3000 records in 2.0 s, 1,500/s\n", "")


@pytest.mark.usefixtures("_sending")
def test_lines_without_a_key_are_noted_and_lines_left_out_are_a_failure(run: Run) -> None:
    Path("e.jsonl").write_bytes(b"{}\nx\n" + b"{" * 11 + b"\n")
    code, out, _ = run("publish", "e.jsonl")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()] == ["ok", "note", "fail"]
    assert "1 lines name no module" in out
    assert "1 lines were not sent" in out
    code, out, _ = run("publish", "e.jsonl", "--json")
    told = {"ok": False, "topic": "module-log-events", "records": 2, "keyless": 1, "too_large": 1, "next_line": 4}
    assert code == 1
    assert told.items() <= orjson.loads(out).items()


@pytest.mark.usefixtures("_sending")
def test_lines_before_the_one_asked_for_are_left_out(run: Run) -> None:
    Path("e.jsonl").write_bytes(b"{}\n\n{}\n{}\n")
    assert run("publish", "e.jsonl", "--from-line", "3")[1].startswith("ok  module-log-events  2 records")
    code, out, err = run("publish", "e.jsonl", "--from-line", "6")
    assert (code, out) == (2, "")
    assert "has 4 lines" in err


@pytest.mark.usefixtures("_sending")
def test_wrong_lines_are_a_failure_where_they_are_looked_at_and_nothing_is_sent_in_a_dry_run(run: Run) -> None:
    good = b'{"module_id":"a","timestamp":1796000000000,"success":true,"response_time_ms":1}'
    Path("e.jsonl").write_bytes(good + b"\n{}\n")
    code, out, _ = run("publish", "e.jsonl", "--dry-run")
    assert code == 1
    assert "1 records would be sent" in out
    assert "line 2" in out
    assert run("publish", "e.jsonl", "--validate")[0] == 1


def test_a_broker_that_is_away_ends_with_3(run: Run) -> None:
    code, out, err = run("--set", "kafka.bootstrap_servers=127.0.0.1:1", "publish", "-")
    assert (code, out) == (3, "")
    assert err.startswith("modpulse: no broker at kafka.bootstrap_servers = 127.0.0.1:1")
