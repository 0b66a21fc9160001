"""Which errors are worth another try; the others end the process."""

import inspect

import pytest

from schemas import errors
from schemas.errors import (
    BrokerTrouble,
    BrokerUnavailable,
    ModpulseError,
    PartitionsChanged,
    PoisonRecord,
    StateIncompatible,
)

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", ALL)
def test_only_a_broker_that_does_not_answer_as_it_should_is_worth_another_try(kind: type[ModpulseError]) -> None:
    assert issubclass(kind, ModpulseError)
    assert kind.retriable == issubclass(kind, BrokerUnavailable)


def test_whoever_waits_for_a_broker_waits_for_one_in_trouble_too_and_who_catches_other_state_catches_other_partitions() -> (
    None
):
    assert issubclass(BrokerTrouble, BrokerUnavailable)
    assert issubclass(PartitionsChanged, StateIncompatible)


def test_a_poison_record_carries_its_reason_and_says_both() -> None:
    error = PoisonRecord("invalid", "no module_id")
    assert (error.reason, error.message, str(error)) == ("invalid", "no module_id", "invalid: no module_id")


def test_every_error_is_in_the_picture_at_the_head_of_the_file() -> None:
    """But for a special case of another one, which is caught as that."""
    drawn = errors.__doc__ or ""
    assert [kind.__name__ for kind in ALL if kind.__name__ not in drawn] == ["PartitionsChanged"]
