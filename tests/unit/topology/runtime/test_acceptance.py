"""What an operator accepts at a start: for whom, and for how long."""

import pytest

from schemas.errors import ConfigError
from topology.runtime.acceptance import Acceptance, Tasks, parse_tasks, without_acceptance


def test_a_task_that_cannot_exist_is_a_typo_and_no_consent() -> None:
    accepted = Acceptance(parse_tasks("--accept-state-loss", "1,9,system"), parse_tasks("--accept-input-reset", "all"))
    accepted.require_tasks(10)
    with pytest.raises(ConfigError, match=r"--accept-state-loss names task 9, and the input has partitions 0 to 3"):
        accepted.require_tasks(4)


def test_what_is_accepted_for_all_can_be_taken_back_and_what_is_named_stays() -> None:
    accepted = Acceptance(parse_tasks("--accept-state-loss", "3"), parse_tasks("--accept-input-reset", "all"))
    assert "7" in accepted.input_reset
    assert accepted.of_those_named() == Acceptance(Tasks(frozenset({"3"})), Tasks())


@pytest.mark.parametrize("text", ["", "3,", "al", "-1", "3 4", "all,3", "System", "1.0", "03", "\u0663"])
def test_what_names_no_task_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no task; name partitions, `system`, or `all`, such as 3,system"):
        parse_tasks("--accept-state-loss", text)


def test_an_option_that_was_not_given_accepts_nothing() -> None:
    assert "0" not in parse_tasks("--accept-state-loss", None)
    named = parse_tasks("--accept-state-loss", " 3 , system ")
    assert [task in named for task in ("3", "system", "30", "0")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["run", "--accept-state-loss", "3", "--strict"], ["run", "--strict"]),
        (["run", "--accept-state-loss=3", "--accept-input-reset", "all"], ["run"]),
        (
            ["--set", "x=--accept-state-loss", "run", "--accept-input-reset=1"],
            ["--set", "x=--accept-state-loss", "run"],
        ),
        (["run", "--accept-state-losses", "3"], ["run", "--accept-state-losses", "3"]),
        (["run", "--accept-state-loss", "--accept-input-reset"], ["run"]),
    ],
)
def test_the_options_and_their_values_leave_the_command_line_and_nothing_else_does(
    given: list[str], kept: list[str]
) -> None:
    assert without_acceptance(given) == kept
