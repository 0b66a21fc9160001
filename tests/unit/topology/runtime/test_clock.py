"""The steadied clock, on simulated clocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.shell.clocks import Clocks
from topology.runtime.clock import ADOPT_AFTER_S, FOLLOWED_STEP_MS, monotonic_s

HOUR_MS = 3_600_000


@pytest.mark.parametrize("step_ms", [HOUR_MS, -HOUR_MS, 5_000, -5_000])
def test_a_step_that_is_put_right_soon_moves_nothing(step_ms: int) -> None:
    clocks = Clocks()
    clocks.go(10)
    clocks.off_ms = step_ms
    clocks.go(ADOPT_AFTER_S - 1)
    assert clocks.steady.now_ms() == clocks.true_ms
    assert clocks.steady.stepped_ms == step_ms
    clocks.off_ms = 0
    clocks.go(ADOPT_AFTER_S * 2)
    assert clocks.steady.now_ms() == clocks.true_ms
    assert clocks.steady.stepped_ms == 0


@pytest.mark.parametrize("step_ms", [HOUR_MS, -HOUR_MS])
def test_a_step_that_lasts_is_followed(step_ms: int) -> None:
    clocks = Clocks()
    clocks.off_ms = step_ms
    clocks.go(ADOPT_AFTER_S + 1)
    assert clocks.steady.now_ms() == clocks.true_ms + step_ms
    assert clocks.steady.stepped_ms == 0


def test_a_second_step_counts_from_its_own_time() -> None:
    clocks = Clocks()
    clocks.off_ms = HOUR_MS
    clocks.go(ADOPT_AFTER_S - 5)
    clocks.off_ms = 2 * HOUR_MS
    clocks.go(10)
    assert clocks.steady.now_ms() == clocks.true_ms
    clocks.go(ADOPT_AFTER_S)
    assert clocks.steady.now_ms() == clocks.true_ms + 2 * HOUR_MS


@given(st.lists(st.integers(-FOLLOWED_STEP_MS // 2, FOLLOWED_STEP_MS // 2), max_size=30))
def test_what_a_time_server_corrects_is_followed_at_once(corrections_ms: list[int]) -> None:
    clocks = Clocks()
    for correction_ms in corrections_ms:
        clocks.off_ms += correction_ms
        clocks.go(0.5)
        assert clocks.steady.now_ms() == clocks.wall_ms()


def test_seconds_only_rise() -> None:
    assert monotonic_s() <= monotonic_s()
