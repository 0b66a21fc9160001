"""How long a task has seen no record, on simulated clocks."""

from tests.support.shell.clocks import NOW_MS, Clocks
from topology.runtime.clock import SteadyClock
from topology.worker.silence import Silence

HOUR_MS = 3_600_000


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
