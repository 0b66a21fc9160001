"""The pace of flushes on a simulated clock."""

import pytest

from topology.worker.flush_pace import MOST_AT_ONCE, MOST_PAUSE_S, MOST_SHARE, FlushPace


def share_and_rate(
    interval_s: float, took_s: float, busy_s: float = 0.0, tasks: int = 1, rounds: int = 1_000
) -> tuple[float, float]:
    """Which part of the time the flushes of one task take, and how many there are a second."""
    pace = FlushPace(interval_s)
    pace.tasks = tasks
    due = now = 0.0
    for _ in range(rounds):
        now = max(now, due) + took_s
        due = pace.next_flush(due, now, took_s, busy_s)
    return rounds * took_s / now, rounds / now


def test_quick_flushes_come_as_often_as_asked() -> None:
    assert share_and_rate(0.2, 0.01) == pytest.approx((0.05, 5.0), rel=0.01)
    assert share_and_rate(1.0, 0.2) == pytest.approx((0.2, 1.0), rel=0.01)


@pytest.mark.parametrize("took_s", [0.06, 0.1, 0.3])
def test_slow_flushes_take_no_more_than_their_share(took_s: float) -> None:
    share, rate = share_and_rate(0.2, took_s)
    assert share == pytest.approx(MOST_SHARE, rel=0.01)
    assert rate < 5.0


@pytest.mark.parametrize("busy_s", [0.06, 0.3, 1.0, 5.0, 60.0])
def test_what_flushes_compute_takes_no_more_than_its_share_of_the_main_loop_however_long_they_are(
    busy_s: float,
) -> None:
    share, _ = share_and_rate(0.2, busy_s, busy_s)
    assert share <= MOST_SHARE * 1.01


def test_results_do_not_wait_long_for_the_sake_of_flushes_that_wait_for_the_broker() -> None:
    assert share_and_rate(0.2, 5.0, busy_s=0.01)[1] == pytest.approx(1 / (5.0 + MOST_PAUSE_S), rel=0.01)


def test_many_tasks_take_turns_so_that_a_broker_has_few_flushes_at_once() -> None:
    took_s = 0.08
    _, rate = share_and_rate(0.2, took_s, tasks=200)
    assert 200 * rate * took_s == pytest.approx(MOST_AT_ONCE, rel=0.02), "flushes under way at once, on average"
    assert share_and_rate(0.2, 0.01, tasks=16)[1] == pytest.approx(5.0, rel=0.01), "few tasks go on as often as asked"
