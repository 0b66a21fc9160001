"""Classes over windows against a plain state machine, and what the packed state holds."""

import itertools
import random

import numpy as np
import pytest

from pipeline.config import HealthProfile
from pipeline.health.hysteresis import MAX_STREAK, UNKNOWN_SINCE, are_states, of_version_1, step, streak_of
from tests.support.core.condition import sick, well
from tests.support.core.cores import START_MS, Event, Run, config_of, finals_of, last_of_each
from tests.support.core.model import Streak


def play(raws: list[int], worsen: int, improve: int) -> list[int]:
    """The classes in force while windows of these classes close."""
    state, levels = np.zeros(1, np.int64), []
    for raw in raws:
        done = step(state, np.array([raw]), np.array([worsen]), np.array([improve]), 1)
        state = done.states
        levels.append(int(done.levels[0]))
    return levels


@pytest.mark.parametrize(("worsen", "improve"), list(itertools.product((1, 2, 3), (1, 2, 3))))
def test_hysteresis_equals_a_plain_state_machine_on_every_sequence(worsen: int, improve: int) -> None:
    profile = HealthProfile(worsen_windows=worsen, improve_windows=improve)
    sequences = list(itertools.product(range(3), repeat=7))
    states = np.zeros(len(sequences), np.int64)
    plain = [Streak() for _ in sequences]
    for position in range(7):
        raw = np.array([sequence[position] for sequence in sequences])
        start = 1_000 * (position + 1)
        done = step(states, raw, np.full(raw.size, worsen), np.full(raw.size, improve), start)
        states = done.states
        plain = [streak.then(r, profile, start) for streak, r in zip(plain, raw.tolist(), strict=True)]
        assert done.since.tolist() == [streak.since for streak in plain]
        assert done.levels.tolist() == [streak.level for streak in plain]
        assert streak_of(states).tolist() == [len(streak.against) for streak in plain]


def test_hysteresis_in_examples() -> None:
    assert play([1, 1, 1, 0, 0, 0], 1, 2) == [1, 1, 1, 1, 0, 0]
    assert play([1, 0, 1, 1, 0], 2, 1) == [0, 0, 0, 1, 0]
    assert play([1, 2, 2, 2], 2, 2) == [0, 1, 1, 2], "the streak settles on what all its windows agree on"
    assert play([2, 1, 0, 1, 1], 1, 2) == [2, 2, 1, 1, 1]
    assert play([2] * 100, 100, 1) == [0] * 99 + [2]


def test_a_provisional_record_has_the_health_that_the_final_one_will_have_if_nothing_more_comes() -> None:
    rng = random.Random(1)
    for _ in range(10):
        profile = HealthProfile(
            min_requests=2, worsen_windows=rng.choice((1, 2, 3)), improve_windows=rng.choice((1, 2))
        )
        run = Run(config_of((1, 2), 5_000, 0, profile=profile))
        for second in range(12):
            run.apply(rng.choice((sick, well))(START_MS + second * 1_000, rng.choice("mn")))
            if rng.random() < 0.3:  # an earlier window changes under an open later one
                run.apply(rng.choice((sick, well))(START_MS + max(0, second - 2) * 1_000 + 100, "m"))
            run.cut(everything=True)
        open_ones = last_of_each(run.metrics)
        run.apply([Event("clock", START_MS + 60_000)])
        run.cut(everything=True)
        finals = finals_of(run.metrics)
        for key, record in open_ones.items():
            assert finals[key].health == record.health, key


def stepped(state: int, raw: int, *, worsen: int = 1, improve: int = 1, start: int = 1) -> tuple[int, int, int]:
    """State, class and start of the class after one window of one module."""
    done = step(np.array([state]), np.array([raw]), np.array([worsen]), np.array([improve]), start)
    return int(done.states[0]), int(done.levels[0]), int(done.since[0])


def test_a_class_is_in_force_since_its_first_window_not_since_that_of_the_streak_that_brought_it() -> None:
    state, seen = 0, []
    for second, raw in enumerate((0, 1, 1, 2, 0, 0, 0), 1):
        state, level, since = stepped(state, raw, worsen=2, improve=2, start=1_000 * second)
        seen.append((level, since))
    assert seen == [(0, 1_000), (0, 1_000), (1, 3_000), (1, 3_000), (1, 3_000), (0, 6_000), (0, 6_000)]


def test_a_streak_ends_at_the_longest_that_is_kept_and_spills_into_nothing() -> None:
    since = 77
    state = since << 20 | MAX_STREAK << 4 | 2 << 2
    after, level, kept = stepped(state, 2, worsen=MAX_STREAK + 1)
    assert (after, level, kept) == (state, 0, since)
    assert streak_of(np.array([after])).tolist() == [MAX_STREAK]
    assert stepped(state, 2, worsen=MAX_STREAK)[1] == 2


@pytest.mark.parametrize(
    ("start", "since"), [(-5, 1), (0, 1), (1, 1), (1 << 42, 1 << 42), (UNKNOWN_SINCE, UNKNOWN_SINCE - 1)]
)
def test_any_start_is_a_since_that_is_neither_never_nor_unknown(start: int, since: int) -> None:
    state, _, shown = stepped(0, 1, start=start)
    assert shown == since
    assert state == since << 20 | 1
    assert are_states(np.array([state])).all()


def test_what_steps_make_are_states_and_other_integers_are_not() -> None:
    rng = random.Random(1)
    state = 0
    for second in range(200):
        state = stepped(state, rng.randrange(3), worsen=3, improve=4, start=START_MS + second)[0]
        assert are_states(np.array([state])).all()
    assert are_states(np.array([3, 3 << 2, 1 << 20 | 3, -1, -(1 << 63)])).tolist() == [False] * 5


def test_a_state_of_version_1_keeps_class_and_streak_and_does_not_know_since_when() -> None:
    old = np.array([0, 1, 5 << 4 | 2 << 2 | 1, 1 << 40 | 2 << 2])
    new = of_version_1(old)
    assert (new & 0b1111).tolist() == [0, 1, 0b1001, 0b1000]
    assert streak_of(new).tolist() == [0, 0, 5, MAX_STREAK]
    assert are_states(new).all()
    assert [stepped(state, 0, improve=9)[2] for state in new.tolist()] == [UNKNOWN_SINCE] * 4
    assert stepped(int(new[2]), 2, worsen=6, start=9) == (9 << 20 | 2, 2, 9), "the sixth window of its streak"
