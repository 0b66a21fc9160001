"""The share of dead letters in a sliding window, and what is said of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dead_letter_breaker import BreakerConfig, DeadLetterBreaker, Reading
from schemas.state import Ledger
from topology.settings.units import parse_ratio_or_off

CONFIG = BreakerConfig(alert_ratio=0.05, stop_ratio=0.5, window_ms=60_000, min_records=1_000)


def ledger(good: int, bad: int, *, forwarded: int = 0) -> Ledger:
    return Ledger(good + bad + forwarded, good, 0, 0, bad - bad // 2, bad // 2, forwarded)


def breaker(config: BreakerConfig = CONFIG) -> DeadLetterBreaker:
    made = DeadLetterBreaker(config)
    made.opened("0", {"in": ledger(5_000_000, 5_000_000)})
    return made


def test_what_was_before_the_task_opened_is_past() -> None:
    one = breaker()
    assert one.reading("0", 0) == Reading(0, 0)
    assert one.observe("0", {"in": ledger(5_000_900, 5_000_100)}, 10) == Reading(1_000, 100)
    assert one.reading("0", 10).ratio == 0.1


def test_what_is_older_than_the_window_is_forgotten_also_in_silence() -> None:
    one = breaker()
    one.observe("0", {"in": ledger(5_000_000, 5_001_000)}, 1_000)
    one.observe("0", {"in": ledger(5_003_000, 5_001_000)}, 31_000)
    assert one.reading("0", 59_999) == Reading(4_000, 1_000)
    assert one.reading("0", 61_000) == Reading(3_000, 0)
    assert one.reading("0", 91_000) == Reading(0, 0)
    assert one.observe("0", {"in": ledger(5_003_000, 5_002_000)}, 200_000) == Reading(1_000, 1_000)


def test_what_stays_is_compared_with_all_that_came_in_for_good_records_may_be_forwarded() -> None:
    one = breaker()
    ledgers = {"in": ledger(5_000_100, 5_000_000, forwarded=900), "re": ledger(90, 10)}
    assert one.observe("0", ledgers, 10) == Reading(1_000, 10)
    # Where all is forwarded, what comes back to a task is what it processes; nothing is counted twice.
    ledgers = {"in": ledger(5_000_100, 5_000_000, forwarded=900), "re": ledger(5_090, 10)}
    assert one.observe("0", ledgers, 20) == Reading(6_000, 10)


@pytest.mark.parametrize(
    ("reading", "alerts", "stops"),
    [
        (Reading(1_000, 50), False, False),
        (Reading(1_000, 51), True, False),
        (Reading(999, 999), False, False),
        (Reading(1_000, 500), True, False),
        (Reading(1_000, 501), True, True),
        (Reading(0, 0), False, False),
    ],
)
def test_too_many_is_more_than_the_ratio_of_enough_records(reading: Reading, alerts: bool, stops: bool) -> None:
    assert (breaker().alerts(reading), breaker().stops(reading)) == (alerts, stops)


def test_a_ratio_that_is_off_says_nothing() -> None:
    off = breaker(BreakerConfig(None, None, 60_000, 1))
    assert not off.alerts(Reading(1_000, 1_000))
    assert not off.stops(Reading(1_000, 1_000))
    none_allowed = breaker(BreakerConfig(0.0, 0.0, 60_000, 1))
    assert none_allowed.stops(Reading(1, 1))
    assert not none_allowed.stops(Reading(1_000, 0))


@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 50), st.integers(0, 50)), max_size=80),
    st.sampled_from([1, 59, 1_000, 60_000]),
)
def test_a_reading_is_the_sum_of_the_window_but_for_its_oldest_step(
    events: list[tuple[int, int, int]], window_ms: int
) -> None:
    one = DeadLetterBreaker(BreakerConfig(None, None, window_ms, 1))
    one.opened("0", {})
    now = good = bad = 0
    seen: list[tuple[int, int, int]] = []
    step = max(window_ms // 60, 1)
    for pause, more_good, more_bad in events:
        now, good, bad = now + pause, good + more_good, bad + more_bad
        seen.append((now, more_good + more_bad, more_bad))
        reading = one.observe("0", {"in": ledger(good, bad)}, now)
        young = [e for e in seen if e[0] > now - window_ms + 2 * step]
        old = [e for e in seen if e[0] > now - window_ms - 2 * step]
        assert sum(e[1] for e in young) <= reading.records <= sum(e[1] for e in old)
        assert sum(e[2] for e in young) <= reading.dead <= sum(e[2] for e in old)


@pytest.mark.parametrize(
    ("text", "ratio"), [("0.05", 0.05), ("1", 1.0), ("0", 0.0), ("off", None), ("", None), (0.5, 0.5)]
)
def test_a_ratio_is_a_share_or_off(text: object, ratio: float | None) -> None:
    assert parse_ratio_or_off(text) == ratio


@pytest.mark.parametrize("text", ["1.01", "-0.1", "nan", "inf", "5%", "often", True, [0.1]])
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        parse_ratio_or_off(text)
