"""`modpulse state repartition`: what was done, or would be, said in the words of the one or the other."""

from collections.abc import Sequence

import orjson
import pytest

from pipeline.alerts.rules import Rule
from tests.support.shell.command import Run
from topology.settings import Settings
from topology.state import repartition as state
from topology.state.repartition import Repartitioned

AWAY = ("--set", "kafka.bootstrap_servers=127.0.0.1:1")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Stands for the work: 4 partitions become as many as were asked for. What was asked, in order."""
    found: list[int | None] = []

    async def repartition(
        settings: Settings, rules: Sequence[Rule], wanted: int | None, *, dry_run: bool = False
    ) -> Repartitioned:
        found.append(wanted)
        if wanted is None:
            return Repartitioned(4, 4)
        return Repartitioned(4, wanted, 12, 5, 99, ("a", "b"))

    monkeypatch.setattr(state, "repartition", repartition)
    return found


def test_what_was_done_ends_with_what_is_left_to_do(run: Run, asked: list[int | None]) -> None:
    code, out, _ = run("state", "repartition", "--partitions", "8")
    assert code == 0
    assert [line.split(maxsplit=1) for line in out.splitlines()] == [
        ["partitions", "4 -> 8"],
        ["modules", "12, of which 5 move"],
        ["state", "99 records written"],
        ["topics", "grow: a, b"],
        ["next", "set topics.partitions = 8 where it is configured, and start the workers soon"],
    ]


def test_a_dry_run_says_what_would_be_and_asks_for_nothing(run: Run, asked: list[int | None]) -> None:
    _, out, _ = run("state", "repartition", "--partitions", "8", "--dry-run")
    assert "12, of which 5 would move" in out
    assert "99 records to be written" in out
    assert "would grow: a, b" in out
    assert "next" not in out
    assert orjson.loads(run("state", "repartition", "--partitions", "8", "--dry-run", "--json")[1])["dry_run"] is True


def test_without_a_number_it_is_that_of_the_input_and_nothing_may_have_to_be_done(
    run: Run, asked: list[int | None]
) -> None:
    _, out, _ = run("state", "repartition")
    assert asked == [None]
    assert [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith(("modules", "topics"))] == [
        "none has to move",
        "none to grow",
    ]


def test_a_number_that_cannot_be_and_a_broker_that_is_away_are_told_apart(run: Run) -> None:
    for number in ("0", "10001", "x"):
        assert run(*AWAY, "state", "repartition", "--partitions", number)[0] == 2
    assert run(*AWAY, "state", "repartition", "--partitions", "8")[0] == 3
