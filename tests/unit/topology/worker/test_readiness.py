"""When a worker is ready, and what it says when it is not."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config import CoreConfig
from pipeline.cores.module_core import ModuleCore
from schemas.errors import StateLost
from topology.consumer.coordinator import GroupHealth
from topology.worker.parked import ParkedTasks
from topology.worker.readiness import OVERDUE_S, UNHEARD_S, not_ready
from topology.worker.task import TaskSpec

HEALTHY = GroupHealth(joined=True, heard_s=1.0, error=None)


def parked_tasks(*names: str) -> ParkedTasks:
    parked = ParkedTasks(lambda name, stands_still: None)
    for name in names:
        spec = TaskSpec(name, 0, ("events",), None, "changelog", lambda _: ModuleCore(CoreConfig()))
        parked.park(spec, StateLost(f"task {name}: cut"))
    return parked


def assignment_of(**changes: Any) -> Any:
    values = {"joined": True, "opening": False, "parked": parked_tasks(), "tasks": {"1": task()}}
    return SimpleNamespace(**values | changes)


def task(overdue_s: float = 0.0) -> Any:
    return SimpleNamespace(overdue_s=overdue_s)


def test_a_worker_is_ready_only_while_everything_it_needs_is_there() -> None:
    assert not_ready(assignment_of(), HEALTHY, 1.0) is None
    assert not_ready(assignment_of(tasks={}), HEALTHY, 1.0) is None, "a standby without a task is ready"
    stuck = assignment_of(tasks={"1": task(OVERDUE_S + 1)})
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


def test_what_lasts_exactly_as_long_as_it_may_is_no_trouble_yet() -> None:
    assert not_ready(assignment_of(tasks={"1": task(OVERDUE_S)}), HEALTHY, UNHEARD_S) is None


def test_a_worker_whose_every_task_stands_still_is_not_ready_and_says_why_of_each() -> None:
    assert not_ready(assignment_of(parked=parked_tasks("1")), HEALTHY, 1.0) is None
    why = not_ready(assignment_of(parked=parked_tasks("3", "1"), tasks={}), HEALTHY, 1.0) or ""
    assert why.splitlines() == ["every task stands still", "parked: task 1: cut", "parked: task 3: cut"]


@pytest.mark.parametrize(
    ("group", "unheard_s", "joined", "why"),
    [
        (GroupHealth(False, 99.0, ValueError("no ACL")), 99.0, False, "the group refuses"),
        (GroupHealth(False, 99.0, None), 99.0, False, "the broker has not answered"),
        (GroupHealth(False, 1.0, None), 1.0, True, "waiting for the broker or the group"),
        (HEALTHY, 1.0, True, "restoring"),
    ],
)
def test_of_several_troubles_the_one_behind_the_others_is_named(
    group: GroupHealth, unheard_s: float, joined: bool, why: str
) -> None:
    tasks = {"2": task(99.0)}
    assert why in (not_ready(assignment_of(joined=joined, opening=True, tasks=tasks), group, unheard_s) or "")
