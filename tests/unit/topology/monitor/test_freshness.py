"""As of when: ages in words, and what is said where nothing fresh can be shown."""

import pytest

from topology.monitor.freshness import Freshness, age, local_time

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (-5, "0 s"),
        (999, "1 s"),
        (119_000, "119 s"),
        (120_000, "2 min"),
        (3_599_000, "59 min"),
        (3_600_000, "1 h"),
        (86_399_000, "23 h"),
        (86_400_000, "1 d"),
        (864_000_000, "10 d"),
    ],
)
def test_an_age_is_said_in_the_unit_that_fits(ms: float, words: str) -> None:
    assert age(ms) == words


def test_a_time_of_another_day_says_its_day() -> None:
    assert len(local_time(NOW_MS, NOW_MS)) == 8
    assert local_time(NOW_MS - 7 * 86_400_000, NOW_MS).startswith("Nov ")


def freshness(data_ms: int | None, written_ms: int | None, away_s: float = 0.0) -> Freshness:
    return Freshness(NOW_MS, data_ms, written_ms, 45_000, away_s)


def test_what_is_wrong_is_said_first_the_broker_before_the_worker() -> None:
    assert freshness(None, None).line().startswith("NOTHING WRITTEN YET")
    assert freshness(NOW_MS - 60_000, NOW_MS - 45_001).line().startswith("NO WORKER HAS WRITTEN FOR 45 s")
    assert freshness(NOW_MS - 60_000, NOW_MS - 45_001, 9.0).line().startswith("BROKER AWAY for 9 s; as of ")
    assert freshness(NOW_MS - 30_000, NOW_MS - 45_000).line().startswith("as of ")


def test_only_what_is_fresh_and_from_a_broker_that_answers_is_trusted() -> None:
    assert freshness(NOW_MS, NOW_MS).trusted
    assert not freshness(NOW_MS, NOW_MS - 45_001).trusted
    assert not freshness(NOW_MS, NOW_MS, 8.1).trusted
