"""`modpulse demo`: its exit code is that of what it saw."""

from typing import Any

import orjson
import pytest

from schemas.state import Ledger
from tests.support.shell.command import Run
from topology.demo import demo
from topology.demo.outcome import Outcome, Tally
from topology.demo.scenario import Scenario

PUBLISHED: dict[str, Any] = {"records": 10, "events": 10, "duplicates": 0, "bad": 0, "seconds": 1.0}


def ending(monkeypatch: pytest.MonkeyPatch, *, interrupted: bool) -> None:
    """Stands for a demo in which all records arrived and no alert fired."""

    def run_demo(scenario: Scenario) -> Outcome:
        return Outcome(PUBLISHED, Ledger(consumed=10, applied=10), True, Tally(), interrupted)

    monkeypatch.setattr(demo, "run_demo", run_demo)


def test_what_is_not_as_it_must_be_is_a_row_and_exit_code_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ending(monkeypatch, interrupted=False)
    code, out, _ = run("demo", "--seconds", "30")
    assert code == 1
    assert out.splitlines()[-1].split(maxsplit=1) == ["fail", "no alert fired"]
    code, out, _ = run("demo", "--json")
    assert (code, orjson.loads(out)["findings"]) == (1, ["no alert fired"])


def test_one_that_was_ended_early_is_fine_and_one_that_was_broken_off_says_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending(monkeypatch, interrupted=True)
    assert run("demo")[0] == 0

    def broken_off(scenario: Scenario) -> Outcome:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run_demo", broken_off)
    assert run("demo") == (130, "", "")


@pytest.mark.parametrize("arguments", [["--seconds", "5"], ["--rate", "10"], ["--modules", "4"], ["--seed", "-1"]])
def test_traffic_that_cannot_show_anything_ends_with_2(run: Run, arguments: list[str]) -> None:
    code, out, err = run("demo", *arguments)
    assert (code, out) == (2, "")
    assert err
