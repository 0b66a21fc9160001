"""One system window: what a newer partial changes, and what the changelog is told of it."""

from typing import Any

import pytest

from pipeline.config import HealthProfile
from pipeline.system.window import SystemWindow
from schemas.metrics import Completeness
from schemas.partials import decode_window
from tests.support.core.system_tasks import BASE, SystemRun, partial, report


def test_a_partial_that_only_says_final_makes_no_record() -> None:
    run = SystemRun()
    run.feed(report(0, BASE), report(1, BASE), partial(0))
    assert len(run.cut()) == 1
    run.feed(partial(0, final=True))
    assert run.cut() == []


@pytest.fixture
def window() -> SystemWindow:
    """A window of 10 seconds with one partial that a record shows."""
    window = SystemWindow("10s", 0, 10_000, BASE)
    window.take(partial(0))
    window.owed = False
    return window


@pytest.mark.parametrize("same", [{}, {"final": True}, {"known": True}, {"check": b"12345678"}])
def test_a_partial_that_says_the_same_to_readers_takes_the_place_and_owes_nothing(
    window: SystemWindow, same: dict[str, Any]
) -> None:
    newer = partial(0, **same)
    window.take(newer)
    assert window.partials == {0: newer}
    assert not window.owed


@pytest.mark.parametrize("change", [{"requests": 11}, {"memory_bytes": 1}, {"critical": 1}, {"squares_rest": "0x1"}])
def test_a_partial_that_says_anything_else_is_owed(window: SystemWindow, change: dict[str, Any]) -> None:
    window.take(partial(0, **change))
    assert window.owed


def test_a_partition_without_a_request_leaves_the_window_and_one_that_was_never_there_changes_nothing(
    window: SystemWindow,
) -> None:
    window.take(partial(1, requests=0))
    assert (sorted(window.partials), window.owed) == ([0], False)
    window.take(partial(0, requests=0))
    assert (sorted(window.partials), window.owed) == ([], True)


def test_the_class_follows_the_partials(window: SystemWindow) -> None:
    profile = HealthProfile()
    assert window.health(profile).level == "healthy"
    window.take(partial(1, requests=10, critical=1, critical_requests=10))
    assert window.health(profile).level == "critical"
    window.take(partial(1, requests=0))
    assert window.health(profile).level == "healthy"


def test_the_changelog_learns_what_was_said_once_and_goes_on_from_it(window: SystemWindow) -> None:
    window.revision, window.final, window.said, window.said_since_ms = 4, True, Completeness(3, 2), BASE - 10_000
    ((key, value),) = window.drain()
    assert window.drain() == []
    assert value is not None
    again = SystemWindow("10s", 0, 10_000, BASE)
    again.restore(decode_window(key, value), value)
    assert (again.revision, again.final, again.owed) == (4, True, False)
    assert (again.said, again.said_since_ms) == (Completeness(3, 2), BASE - 10_000)
    assert again.drain() == []
    again.owed = True
    assert [record.key for record in again.drain()] == [key]


def test_the_keys_of_a_window_are_its_own_and_those_of_its_partials(window: SystemWindow) -> None:
    window.take(partial(12))
    window.take(partial(3))
    place = f"10000|{BASE}"
    keys = window.keys()
    assert [key.decode() for key in keys] == [f"window|{place}", *(f"partial|{place}|{p}" for p in (0, 3, 12))]
