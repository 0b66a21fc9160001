"""What each kind of error means for the exit code."""

import pytest

from schemas import errors
from schemas.errors import (
    BrokerTrouble,
    BrokerUnavailable,
    ConfigError,
    DeadLetterLimitExceeded,
    InputRewound,
    ModpulseError,
    PartitionsChanged,
    RecordRefused,
    StateIncompatible,
    StateLost,
    TaskFenced,
)
from topology.runtime.exit_codes import exit_code


def test_errors_have_the_contracts_exit_codes() -> None:
    kinds = (ConfigError, StateLost, StateIncompatible, InputRewound, BrokerUnavailable, TaskFenced, RecordRefused)
    assert [exit_code(kind("x")) for kind in kinds] == [2, 2, 2, 2, 3, 1, 1]


@pytest.mark.parametrize(
    ("kind", "code"), [(BrokerTrouble, 3), (PartitionsChanged, 2), (DeadLetterLimitExceeded, 1), (ModpulseError, 1)]
)
def test_a_special_case_of_an_error_ends_as_the_error_does(kind: type[ModpulseError], code: int) -> None:
    assert exit_code(kind("x")) == code


def test_what_may_pass_by_itself_never_ends_with_the_code_that_is_not_tried_again() -> None:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, ModpulseError)]
    retriable = [kind for kind in kinds if kind.retriable]
    assert {exit_code(kind("x")) for kind in retriable} == {3}
