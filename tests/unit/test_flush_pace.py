"""The pace of flushes on a simulated clock."""

import pytest

from topology.flush_pace import MOST_PAUSE_S, MOST_SHARE, next_flush


def share_and_rate(interval_s: float, took_s: float, rounds: int = 1_000) -> tuple[float, float]:
    """Which part of the time flushes take, and how many there are a second."""
    due = now = 0.0
    for _ in range(rounds):
        now = max(now, due) + took_s
        due = next_flush(due, interval_s, now, took_s)
    return rounds * took_s / now, rounds / now


def test_quick_flushes_come_as_often_as_asked() -> None:
    assert share_and_rate(0.2, 0.01) == pytest.approx((0.05, 5.0), rel=0.01)
    assert share_and_rate(1.0, 0.2) == pytest.approx((0.2, 1.0), rel=0.01)


@pytest.mark.parametrize("took_s", [0.06, 0.1, 0.3])
def test_slow_flushes_take_no_more_than_their_share(took_s: float) -> None:
    share, rate = share_and_rate(0.2, took_s)
    assert share == pytest.approx(MOST_SHARE, rel=0.01)
    assert rate < 5.0


def test_results_never_wait_longer_than_the_longest_pause() -> None:
    assert share_and_rate(0.2, 5.0)[1] == pytest.approx(1 / (5.0 + MOST_PAUSE_S), rel=0.01)
