"""The steadied clock and the silence that is measured on it, on simulated clocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.runtime.clock import ADOPT_AFTER_S, FOLLOWED_STEP_MS, SteadyClock, monotonic_s
from topology.worker.silence import Silence

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


class Clocks:
    """A system whose wall clock can be off."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.off_ms = 0
        self.steady = SteadyClock(self.wall_ms, lambda: self.elapsed)

    def wall_ms(self) -> int:
        return self.true_ms + self.off_ms

    @property
    def true_ms(self) -> int:
        return NOW_MS + int(self.elapsed * 1000)

    def go(self, seconds: float) -> None:
        """Let time pass; the clock is looked at twice a second."""
        for _ in range(round(seconds * 2)):
            self.elapsed += 0.5
            self.steady.look()


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


def test_silence_does_not_notice_a_step_of_the_wall_clock() -> None:
    clocks = Clocks()
    silence = Silence(clocks.steady)
    silence.broken(500)
    clocks.off_ms = HOUR_MS
    clocks.go(4)
    assert silence.for_ms() == 4_000
    assert silence.stream_ms(clocks.elapsed) == 4_500
    clocks.off_ms = -HOUR_MS
    clocks.go(1)
    assert silence.for_ms() == 5_000


def test_silence_counts_on_over_a_restart() -> None:
    before = Clocks()
    silence = Silence(before.steady)
    before.go(30)
    silence.broken(500)
    before.go(5)
    kept = silence.last_record_ms, silence.stream_at_last_record_ms

    after = Clocks()
    after.elapsed = 30 + 75.0
    after.steady = SteadyClock(after.wall_ms, lambda: after.elapsed)
    restored = Silence(after.steady)
    restored.restore(*kept)
    assert restored.for_ms() == 75_000
    assert restored.stream_ms(after.elapsed) == 75_500


def test_a_last_record_in_the_future_or_none_at_all_is_no_silence_yet() -> None:
    clocks = Clocks()
    silence = Silence(clocks.steady)
    silence.restore(NOW_MS + HOUR_MS, 500)
    assert silence.for_ms() == 0
    silence.restore(None, None)
    assert silence.for_ms() == 0
    assert silence.stream_ms(clocks.elapsed) is None


def test_an_answer_is_about_the_moment_of_the_question() -> None:
    clocks = Clocks()
    silence = Silence(clocks.steady)
    silence.broken(500)
    clocks.go(3)
    asked = clocks.elapsed
    clocks.go(2)
    assert silence.for_ms(asked) == 3_000
    assert silence.stream_ms(asked) == 3_500
