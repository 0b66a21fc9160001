"""How a worker ends is decided by its error alone."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import pytest

from schemas.errors import BrokerUnavailable, ConfigError, ModpulseError, StateLost, TaskFenced
from topology import fail_stop


class Executed(BaseException):
    """Stands for a process that became another program."""


def failing(error: BaseException) -> Callable[[], None]:
    def work() -> NoReturn:
        raise error

    return work


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []

    def execute(path: str, arguments: list[str]) -> NoReturn:
        assert (path, arguments) == (sys.executable, sys.orig_argv)
        raise Executed

    monkeypatch.delenv(fail_stop.RESTARTS, raising=False)
    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(os, "execv", execute)
    return waited


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), TaskFenced("task 3")])
def test_broker_trouble_begins_again_with_longer_and_longer_pauses(error: ModpulseError, waits: list[float]) -> None:
    for _ in range(7):
        with pytest.raises(Executed):
            fail_stop.end(failing(error))
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert os.environ[fail_stop.RESTARTS] == "7"


@pytest.mark.parametrize("error", [ConfigError("a setting"), StateLost("task 1")])
def test_what_no_restart_would_mend_is_raised(
    error: ModpulseError, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    with pytest.raises(type(error)):
        fail_stop.end(failing(error))
    assert waits == []


def test_a_thread_that_hangs_cannot_keep_a_process_that_failed(
    waits: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(code: int) -> NoReturn:
        raise SystemExit(code)

    monkeypatch.setattr(threading, "active_count", lambda: 2)
    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(SystemExit) as ended:
        fail_stop.end(failing(ConfigError("metrics.bind is taken")))
    assert ended.value.code == 2
    assert capsys.readouterr().err == "modpulse: metrics.bind is taken\n"
    with pytest.raises(SystemExit) as ended:
        fail_stop.end(failing(ZeroDivisionError("nobody knew")))
    assert ended.value.code == 1
    assert "nobody knew" in capsys.readouterr().err


def test_a_worker_that_ran_for_long_counts_its_restarts_anew() -> None:
    environ = {fail_stop.RESTARTS: "5"}
    assert fail_stop.restarts_so_far(environ, ran_s=10.0) == 5
    assert fail_stop.restarts_so_far(environ, ran_s=fail_stop.SETTLED_S) == 0
    assert fail_stop.restarts_so_far({fail_stop.RESTARTS: "x"}, ran_s=1.0) == 0
