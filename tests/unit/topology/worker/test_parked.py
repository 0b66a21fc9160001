"""Parked tasks, what an operator accepts, and readiness; on simulated time."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config import CoreConfig
from pipeline.cores.module_core import ModuleCore
from schemas.errors import BrokerUnavailable, ConfigError, RecordRefused, StateLost
from topology.consumer.coordinator import GroupHealth
from topology.runtime.acceptance import Acceptance, Tasks, parse_tasks, without_acceptance
from topology.worker.parked import RETRY_S, RETRY_SOON_S, ParkedTasks
from topology.worker.readiness import OVERDUE_S, UNHEARD_S, not_ready
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


def test_options_name_tasks_and_are_dropped_from_the_command_line_afterwards() -> None:
    assert "3" in parse_tasks("--accept-state-loss", "3, system")
    assert "2" not in parse_tasks("--accept-state-loss", "3,system")
    assert "2" in parse_tasks("--accept-state-loss", "all")
    assert "2" not in parse_tasks("--accept-state-loss", None)
    for text in ("", "x", "3,,4", "-1"):
        with pytest.raises(ConfigError, match="--accept-state-loss"):
            parse_tasks("--accept-state-loss", text)
    kept = ["modpulse", "--set", "a=b", "run", "--strict"]
    assert without_acceptance([*kept, "--accept-state-loss", "3"]) == kept
    assert without_acceptance([*kept[:4], "--accept-input-reset=all", *kept[4:]]) == kept
    assert Acceptance().state_loss == Tasks()


def assignment_of(**changes: Any) -> Any:
    nobody = ParkedTasks(lambda name, stands_still: None)
    values = {"joined": True, "opening": False, "parked": nobody, "tasks": {"1": SimpleNamespace(overdue_s=0.0)}}
    return SimpleNamespace(**values | changes)


HEALTHY = GroupHealth(joined=True, heard_s=1.0, error=None)


def test_a_worker_is_ready_only_while_everything_it_needs_is_there() -> None:
    assert not_ready(assignment_of(), HEALTHY, 1.0) is None
    assert not_ready(assignment_of(tasks={}), HEALTHY, 1.0) is None, "a standby without a task is ready"
    stuck = assignment_of(tasks={"1": SimpleNamespace(overdue_s=OVERDUE_S + 1)})
    for assignment, group, unheard_s, why in (
        (assignment_of(), HEALTHY, UNHEARD_S + 1, "has not answered for 9 s"),
        (assignment_of(joined=False), HEALTHY, 1.0, "waiting for the broker or the group"),
        (
            assignment_of(),
            GroupHealth(joined=False, heard_s=1.0, error=None),
            1.0,
            "waiting for the broker or the group",
        ),
        (assignment_of(opening=True), HEALTHY, 1.0, "restoring"),
        (stuck, HEALTHY, 1.0, "task 1 could not write for 9 s"),
        (assignment_of(), GroupHealth(True, 1.0, ValueError("no ACL")), 1.0, "no ACL"),
    ):
        assert why in (not_ready(assignment, group, unheard_s) or "")


def test_a_worker_whose_every_task_stands_still_is_not_ready(parked: ParkedTasks) -> None:
    parked.park(spec("1"), StateLost("task 1: cut"))
    assert not_ready(assignment_of(parked=parked), HEALTHY, 1.0) is None
    assert "task 1: cut" in (not_ready(assignment_of(parked=parked, tasks={}), HEALTHY, 1.0) or "")
