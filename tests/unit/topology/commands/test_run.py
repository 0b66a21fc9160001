"""`modpulse run`: how many workers are meant, and what is refused before one is started."""

import os

import pytest
import typer

from tests.support.shell.command import Run
from topology.commands.run import _count


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("12", 12), ("007", 7)])
def test_a_number_of_workers_is_taken_as_it_is(text: str, count: int) -> None:
    assert _count(text) == count


def test_auto_is_one_worker_for_each_core_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert _count("auto") == 1


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "AUTO", "two", "1 "])
def test_anything_else_is_a_usage_error_with_the_way_out(run: Run, text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write a number of at least 1, or auto for one a core"):
        _count(text)
    assert run("run", f"--workers={text}")[:2] == (2, "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--accept-state-loss", "three"], "--accept-state-loss three: 'three' is no task"),
        (["run", "--workers", "2", "--accept-input-reset", ""], "--accept-input-reset : '' is no task"),
        (["--set", "windows.grace=soon", "run", "--workers", "2"], "is not a duration"),
    ],
)
def test_a_wrong_flag_or_setting_starts_nothing(run: Run, arguments: list[str], told: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
