"""How a worker ends is decided by its error, and by how often the same one came before."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import msgspec
import pytest

from schemas.errors import (
    BrokerTrouble,
    BrokerUnavailable,
    ConfigError,
    ModpulseError,
    RecordRefused,
    StateLost,
    TaskFenced,
)
from topology.runtime import fail_stop
from topology.runtime.fail_stop import Failure, Restarts, after, end, restarts_so_far


class Executed(BaseException):
    """Stands for a process that became another program."""


class Left(BaseException):
    """Stands for a process that ended at once."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def failing(error: BaseException) -> Callable[[], None]:
    def work() -> NoReturn:
        raise error

    return work


def nowhere() -> Failure:
    return Failure()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []

    def execute(path: str, arguments: list[str]) -> NoReturn:
        raise Executed(path, arguments)

    def leave(code: int) -> NoReturn:
        raise Left(code)

    monkeypatch.setenv(fail_stop.RESTARTS, "{}")  # not deleted: only what was set is put back
    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(os, "execv", execute)
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    return waited


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), TaskFenced("task 3")])
def test_broker_trouble_begins_again_with_longer_and_longer_pauses(error: ModpulseError, waits: list[float]) -> None:
    for _ in range(7):
        with pytest.raises(Executed) as executed:
            end(failing(error), nowhere)
    assert executed.value.args == (sys.executable, sys.orig_argv)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert restarts_so_far(os.environ).count == 7


@pytest.mark.parametrize("error", [ConfigError("a setting"), StateLost("task 1")])
def test_what_no_restart_would_mend_is_raised(error: ModpulseError, waits: list[float]) -> None:
    with pytest.raises(type(error)):
        end(failing(error), nowhere)
    assert waits == []


def test_the_same_trouble_at_the_same_place_is_permanent_the_fifth_time(waits: list[float]) -> None:
    """Its task is given up, and the next incarnation goes on without it."""
    for _ in range(5):
        assert restarts_so_far(os.environ).given_up == {}
        with pytest.raises(Executed):
            end(failing(BrokerTrouble("InvalidRecord")), lambda: Failure("3", "events/3 at 17"))
    assert list(restarts_so_far(os.environ).given_up) == ["3"]
    assert "events/3 at 17" in restarts_so_far(os.environ).given_up["3"]


def test_the_same_trouble_at_no_task_ends_the_process_the_fifth_time(waits: list[float]) -> None:
    for _ in range(4):
        with pytest.raises(Executed):
            end(failing(BrokerTrouble("InvalidRecord")), nowhere)
    with pytest.raises(BrokerTrouble):
        end(failing(BrokerTrouble("InvalidRecord")), nowhere)


def test_trouble_that_moves_on_and_a_broker_that_is_away_are_waited_for_without_end(waits: list[float]) -> None:
    for number in range(20):
        with pytest.raises(Executed):
            end(failing(BrokerTrouble("InvalidRecord")), lambda at=number: Failure("3", f"events/3 at {at}"))  # type: ignore[misc]
    for _ in range(20):
        with pytest.raises(Executed):
            end(failing(BrokerUnavailable("away")), lambda: Failure("3", "events/3 at 17"))
    assert restarts_so_far(os.environ).given_up == {}


def test_a_task_whose_record_is_refused_is_given_up_at_once_unless_strict(waits: list[float]) -> None:
    error = RecordRefused("MessageSizeTooLarge: raise max.message.bytes")
    with pytest.raises(Executed):
        end(failing(error), lambda: Failure("1", "events/1 at 5"))
    assert restarts_so_far(os.environ).given_up == {
        "1": "task 1 is given up at events/1 at 5: MessageSizeTooLarge: raise max.message.bytes"
    }
    with pytest.raises(RecordRefused):
        end(failing(error), lambda: Failure("2", "events/2 at 5"), strict=True)
    with pytest.raises(RecordRefused):
        end(failing(error), nowhere)


def test_a_worker_that_is_fenced_again_and_again_has_a_namesake(waits: list[float]) -> None:
    for error in (TaskFenced("task 3"), BrokerTrouble("trouble in between"), TaskFenced("the group")):
        with pytest.raises(Executed):
            end(failing(error), nowhere, instance_id="host-1")
    with pytest.raises(ConfigError, match=r"kafka\.group_instance_id = host-1"):
        end(failing(TaskFenced("task 3")), nowhere, instance_id="host-1")


def test_what_was_accepted_for_one_start_is_not_accepted_at_the_next(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--accept-state-loss", "3", "--accept-input-reset=all"]
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "modpulse", "run", *options, "--strict"])
    with pytest.raises(Executed) as executed:
        end(failing(BrokerUnavailable("away")), nowhere)
    assert executed.value.args[1] == ["python", "-m", "modpulse", "run", "--strict"]


def test_a_thread_that_hangs_cannot_keep_a_process_that_failed(
    waits: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    with pytest.raises(Left) as left:
        end(failing(ConfigError("metrics.bind is taken")), nowhere)
    assert left.value.code == 2
    assert capsys.readouterr().err == "modpulse: metrics.bind is taken\n"
    with pytest.raises(Left) as left:
        end(failing(ZeroDivisionError("nobody knew")), nowhere)
    assert left.value.code == 1
    assert "nobody knew" in capsys.readouterr().err


def test_a_worker_that_ran_for_long_counts_its_restarts_anew_but_keeps_what_it_gave_up() -> None:
    told = Restarts(5, "BrokerTrouble 3 events/3 at 17", 4, 1, {"3": "why"})
    environ = {fail_stop.RESTARTS: msgspec.json.encode(told).decode()}
    assert restarts_so_far(environ, ran_s=10.0) == told
    assert restarts_so_far(environ, ran_s=fail_stop.SETTLED_S) == Restarts(given_up={"3": "why"})
    assert restarts_so_far({fail_stop.RESTARTS: "x"}, ran_s=1.0) == Restarts()


def test_another_error_in_between_starts_the_count_anew() -> None:
    place = Failure("3", "events/3 at 17")
    told = Restarts()
    for error in (BrokerTrouble("a"), BrokerTrouble("a"), BrokerUnavailable("b"), BrokerTrouble("a")):
        told = after(error, told, place)
    assert (told.count, told.same, told.given_up) == (4, 1, {})


def test_a_worker_that_does_not_end_in_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    over = threading.Event()

    def leave(code: int) -> None:
        codes.append(code)
        over.set()

    monkeypatch.setattr(fail_stop, "_exit_now", leave)
    deadline = fail_stop.Deadline(within_s=0.01)
    deadline.begin(BrokerUnavailable("away"))
    deadline.begin(None)
    assert over.wait(10.0)
    assert codes == [3]
    met = fail_stop.Deadline(within_s=60.0)
    met.begin(None)
    met.met()
    assert codes == [3]
