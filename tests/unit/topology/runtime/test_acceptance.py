"""What an operator accepts at a start: for whom, and for how long."""

import pytest

from schemas.errors import ConfigError
from topology.runtime.acceptance import Acceptance, Tasks, parse_tasks


def test_a_task_that_cannot_exist_is_a_typo_and_no_consent() -> None:
    accepted = Acceptance(parse_tasks("--accept-state-loss", "1,9,system"), parse_tasks("--accept-input-reset", "all"))
    accepted.require_tasks(10)
    with pytest.raises(ConfigError, match=r"--accept-state-loss names task 9, and the input has partitions 0 to 3"):
        accepted.require_tasks(4)


def test_what_is_accepted_for_all_can_be_taken_back_and_what_is_named_stays() -> None:
    accepted = Acceptance(parse_tasks("--accept-state-loss", "3"), parse_tasks("--accept-input-reset", "all"))
    assert "7" in accepted.input_reset
    assert accepted.of_those_named() == Acceptance(Tasks(frozenset({"3"})), Tasks())
