"""Parked tasks: when they are tried again, and what is said of them; on simulated time."""

import pytest
from structlog.testing import capture_logs

from pipeline.config import CoreConfig
from pipeline.cores.module_core import ModuleCore
from schemas.errors import BrokerUnavailable, RecordRefused, StateLost
from topology.worker.parked import RETRY_S, RETRY_SOON_S, ParkedTasks
from topology.worker.task import TaskSpec


class Time:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def spec(name: str) -> TaskSpec:
    return TaskSpec(name, 0, ("events",), None, "changelog", lambda _: ModuleCore(CoreConfig()))


@pytest.fixture
def told() -> list[tuple[str, bool]]:
    return []


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def parked(told: list[tuple[str, bool]], time: Time) -> ParkedTasks:
    return ParkedTasks(lambda name, stands_still: told.append((name, stands_still)), time)


def test_what_an_operator_mends_is_tried_every_minute_and_what_passes_by_itself_sooner(
    parked: ParkedTasks, time: Time
) -> None:
    parked.park(spec("1"), StateLost("task 1: cut"))
    parked.park(spec("2"), BrokerUnavailable("away"))
    parked.park(spec("3"), RecordRefused("too large"), for_good=True)
    assert parked.due() == []
    time.now_s += RETRY_SOON_S
    assert [one.name for one in parked.due()] == ["2"]
    time.now_s += RETRY_S
    assert [one.name for one in parked.due()] == ["1", "2"]
    assert [one.name for one in parked.due(all_of_them=True)] == ["1", "2", "3"]


def test_the_gauge_follows_and_a_task_that_is_not_ours_any_more_is_forgotten(
    parked: ParkedTasks, told: list[tuple[str, bool]]
) -> None:
    parked.park(spec("1"), StateLost("cut"))
    parked.park(spec("2"), StateLost("cut"))
    parked.release("1")
    parked.release("1")
    parked.keep_only({"1", "9"})
    assert told == [("1", True), ("2", True), ("1", False), ("2", False)]
    assert len(parked) == 0


def test_a_task_that_cannot_be_opened_again_stands_still_since_the_first_time_and_waits_anew(
    parked: ParkedTasks, time: Time
) -> None:
    parked.park(spec("1"), BrokerUnavailable("away"))
    time.now_s += 90
    with capture_logs() as lines:
        parked.park(spec("1"), StateLost("cut"))
    assert [(line["error"], line["stands_still_seconds"], line["tried_again"]) for line in lines] == [
        ("cut", 90, f"in {RETRY_S:.0f} s")
    ]
    time.now_s += RETRY_SOON_S
    assert parked.due() == []
    parked.release("1")
    parked.park(spec("1"), StateLost("cut"))
    with capture_logs() as lines:
        parked.remind()
    assert [line["stands_still_seconds"] for line in lines] == [0], "it was at work in between"


def test_an_error_of_the_client_passes_by_itself_and_one_without_a_text_is_named(
    parked: ParkedTasks, time: Time
) -> None:
    with capture_logs() as lines:
        parked.park(spec("1"), KeyError())
        parked.park(spec("2"), RecordRefused("too large"), for_good=True)
    assert [(line["error"], line["tried_again"]) for line in lines] == [
        ("KeyError()", f"in {RETRY_SOON_S:.0f} s"),
        ("too large", "on SIGHUP or at the next start"),
    ]
    time.now_s += RETRY_SOON_S
    assert [one.name for one in parked.due()] == ["1"]
    assert "2" in parked
    assert str(parked.error_of("2")) == "too large"
    assert parked.error_of("3") is None
