"""Larger sizes: each at most every interval, all within one, a few in each cut."""

import random
from itertools import pairwise

import pytest

from pipeline.publish.pace import LargerPace

LEVELS, EVERY_MS = 6, 5_000
LARGER = list(range(1, LEVELS))


def run(pace: LargerPace, cuts_ms: list[int]) -> list[list[int]]:
    """What each cut takes while events come without a pause."""
    taken = []
    for now_ms in cuts_ms:
        pace.news()
        taken.append(pace.take(now_ms, everything=False))
    return taken


@pytest.mark.parametrize("cut_ms", [50, 200, 1_000, 2_500, 4_999, 5_000, 5_001, 12_000])
@pytest.mark.parametrize("jitter_ms", [0, 40])
def test_each_size_goes_out_no_sooner_than_the_interval_and_soon_after(cut_ms: int, jitter_ms: int) -> None:
    rng = random.Random(7)
    cuts = [1_000_000 + n * cut_ms + rng.randint(0, jitter_ms) for n in range(400)]
    taken = run(LargerPace(LEVELS, EVERY_MS), cuts)
    for level in LARGER:
        times = [now for now, levels in zip(cuts, taken, strict=True) if level in levels]
        gaps = [after - before for before, after in pairwise(times)]
        assert gaps
        assert min(gaps) >= EVERY_MS
        # The first time all are due at once; until they are spread, one may wait for the others.
        assert max(gaps[1:], default=0) <= max(EVERY_MS, cut_ms) + 2 * (cut_ms + jitter_ms)
        assert max(gaps) <= 2 * EVERY_MS + 2 * (cut_ms + jitter_ms)


def test_quick_cuts_take_one_size_each_once_they_are_spread() -> None:
    taken = run(LargerPace(LEVELS, EVERY_MS), [1_000_000 + n * 200 for n in range(200)])
    assert taken[0] == LARGER, "nothing was shown yet: all at once"
    assert max(map(len, taken[1:])) == 1


def test_slow_cuts_take_all_sizes_each() -> None:
    assert run(LargerPace(LEVELS, EVERY_MS), [1_000_000 + n * EVERY_MS for n in range(5)]) == [LARGER] * 5


def test_without_an_interval_every_cut_takes_all() -> None:
    assert run(LargerPace(LEVELS, 0), [5, 5, 6, 3]) == [LARGER] * 4


def test_everything_is_everything_that_has_news() -> None:
    pace = LargerPace(LEVELS, EVERY_MS)
    pace.news()
    assert pace.take(1_000_000, everything=False) == LARGER
    assert pace.take(1_000_001, everything=True) == []
    pace.news()
    assert pace.take(1_000_002, everything=False) == []
    assert pace.take(1_000_003, everything=True) == LARGER


def test_it_owes_what_has_news_until_that_is_taken() -> None:
    pace = LargerPace(LEVELS, EVERY_MS)
    owed = [pace.owes]
    pace.news()
    owed.append(pace.owes)
    pace.take(1_000_000, everything=True)
    assert [*owed, pace.owes] == [False, True, False]


def test_a_clock_that_stepped_back_delays_nothing() -> None:
    pace = LargerPace(LEVELS, EVERY_MS)
    run(pace, [1_000_000])
    assert run(pace, [400_000]) == [LARGER]


def test_a_single_size_has_no_larger_one() -> None:
    assert run(LargerPace(1, EVERY_MS), [1_000_000, 1_005_000]) == [[], []]
