"""Scores, classes and reasons, row by row in plain Python."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from pipeline.config import (
    SIGNALS,
    HealthConfig,
    HealthProfile,
    Signal,
    Threshold,
    default_thresholds,
)
from pipeline.health.figures import Figures
from pipeline.health.profiles import Profiles
from pipeline.health.score import LEVELS, Judgement, judge, reasons_of

Row = dict[Signal, float]
GOOD: Row = {"success_rate": 1.0, "p95": 5.0, "p99": 9.0, "cpu": 10.0, "memory": 1e6, "error_burst": 0.0}


def profiles_of(profile: HealthProfile, modules: int = 1) -> Profiles:
    """The same profile for some modules."""
    profiles = Profiles(HealthConfig(profile))
    profiles.assign([None] * modules, modules)
    return profiles


def figures_of(rows: list[Row], counts: list[int]) -> Figures:
    """Figures with the codes 0, 1, 2, ..."""
    signals = np.array([[row.get(signal, math.nan) for row in rows] for signal in SIGNALS])
    percentiles = np.zeros((len(rows), 5))
    return Figures(np.arange(len(rows)), np.array(counts), percentiles, signals)


def judged(row: Row, profile: HealthProfile | None = None, count: int = 1_000) -> tuple[int, float, list[str]]:
    """Class, score and reasons of one module."""
    profiles = profiles_of(profile or HealthProfile())
    figures = figures_of([row], [count])
    judgement = judge(figures, profiles)
    return int(judgement.levels[0]), float(judgement.scores[0]), reasons_of(figures, judgement, profiles, 0)


def expected(row: Row, count: int, profile: HealthProfile) -> tuple[int, float, dict[Signal, float], dict[Signal, int]]:
    """The rule of pipeline/health/score.py, read aloud: class, score, points lost, and how far each signal is past."""
    total = sum(threshold.weight for threshold in profile.thresholds.values())
    lost: dict[Signal, float] = {}
    past: dict[Signal, int] = {}
    for signal, value in row.items():
        threshold = profile.thresholds[signal]
        low, high = threshold.degraded, threshold.critical
        if low is None or high is None or (count < profile.min_requests and signal not in ("cpu", "memory")):
            continue
        beyond = (low - value, low - high) if signal == "success_rate" else (value - low, high - low)
        if beyond[0] > 0:
            past[signal] = 2 if beyond[0] > beyond[1] else 1
            share = min(1.0, beyond[0] / beyond[1]) if beyond[1] > 0 else 1.0
            lost[signal] = share * threshold.weight / total * 100
    score = max(0.0, 100 - sum(lost.values()))
    by_score = 2 if score < profile.critical_score else 1 if score < profile.degraded_score else 0
    return max([by_score, *past.values()]), score, lost, past


def random_profile(rng: random.Random) -> HealthProfile:
    """Thresholds, weights and limits of all kinds."""
    thresholds = {}
    for signal, usual in default_thresholds().items():
        assert usual.degraded is not None
        assert usual.critical is not None
        spread = usual.critical - usual.degraded
        low = usual.degraded * rng.uniform(0.5, 1)
        high = low + spread * rng.choice((0.0, 0.5, 1.0, 2.0))
        off = rng.random() < 0.15
        thresholds[signal] = Threshold(None if off else low, None if off else high, rng.choice((0.0, 1.0, 2.5, 40.0)))
    thresholds["cpu"] = replace(thresholds["cpu"], weight=3.0)
    degraded = rng.uniform(50, 100)
    return HealthProfile(thresholds, rng.choice((0, 1, 10)), degraded, rng.uniform(0, degraded))


def random_row(rng: random.Random) -> Row:
    """Figures around the usual thresholds; gauges are sometimes not sent."""
    errors = rng.choice((0.0, 0.0, rng.random() * 0.4))
    row: Row = {"success_rate": 1 - errors, "p95": rng.lognormvariate(6.5, 1.5), "error_burst": min(1.0, errors * 2)}
    row["p99"] = row["p95"] * rng.uniform(1, 3)
    if rng.random() < 0.7:
        row["cpu"] = rng.uniform(0, 120)
    if rng.random() < 0.7:
        row["memory"] = rng.lognormvariate(22.5, 1)
    return row


@pytest.mark.parametrize("seed", range(40))
def test_score_class_and_reasons_follow_the_rule_row_by_row(seed: int) -> None:
    rng = random.Random(seed)
    profile = random_profile(rng)
    rows = [random_row(rng) for _ in range(100)]
    counts = [rng.choice((1, 5, 10, 1_000)) for _ in rows]
    profiles, figures = profiles_of(profile, len(rows)), figures_of(rows, counts)
    judgement = judge(figures, profiles)
    for index, (row, count) in enumerate(zip(rows, counts, strict=True)):
        level, score, lost, past = expected(row, count, profile)
        assert abs(float(judgement.scores[index]) - score) < 0.00501
        limits = (profile.degraded_score, profile.critical_score)
        if all(abs(score - limit) > 0.01 for limit in limits):
            assert int(judgement.levels[index]) == level
        check_reasons(judgement, figures, profiles, index, lost, past)


def check_reasons(
    judgement: Judgement,
    figures: Figures,
    profiles: Profiles,
    row: int,
    lost: dict[Signal, float],
    past: dict[Signal, int],
) -> None:
    """Each signal past a threshold is named once, the costliest first, with its class and its points."""
    reasons = reasons_of(figures, judgement, profiles, row)
    if judgement.few[row]:
        assert "fewer than" in reasons.pop()
    named = [reason.split(" ")[0] for reason in reasons]
    assert sorted(named) == sorted(past)
    points = [float(reason.rpartition("-")[2].removesuffix(" points)")) for reason in reasons]
    assert points == sorted(points, reverse=True)
    for signal, reason, shown in zip(named, reasons, points, strict=True):
        assert abs(lost[signal] - shown) < 0.00501  # type: ignore[index]
        assert f"({LEVELS[past[signal]]}, " in reason  # type: ignore[index]


def test_a_figure_exactly_on_a_threshold_is_not_past_it() -> None:
    for signal, threshold in default_thresholds().items():
        assert threshold.degraded is not None
        assert threshold.critical is not None
        worse = -1 if signal == "success_rate" else 1
        at_degraded, at_critical = (
            judged(GOOD | {signal: threshold.degraded}),
            judged(GOOD | {signal: threshold.critical}),
        )
        assert at_degraded == (0, 100.0, [])
        assert at_critical[:2] == (1, 100.0 - threshold.weight)
        past_degraded = judged(GOOD | {signal: math.nextafter(threshold.degraded, worse * math.inf)})
        assert past_degraded[:2] == (1, 100.0)
        assert judged(GOOD | {signal: math.nextafter(threshold.critical, worse * math.inf)})[0] == 2
        assert [reason.split(" ")[0] for reason in past_degraded[2]] == [signal], "named, though it cost no point"


def test_halfway_between_the_thresholds_costs_half_the_points() -> None:
    assert judged(GOOD | {"p95": 3_000.0})[1] == 92.5
    assert judged(GOOD | {"success_rate": 0.925})[1] == 80.0
    assert judged(GOOD | {"memory": 12.0 * 2**30, "cpu": 87.5})[1] == 90.0


def test_a_score_exactly_at_its_limit_is_not_under_it() -> None:
    burst = GOOD | {"error_burst": 0.5}
    assert judged(burst, HealthProfile(degraded_score=90.0))[:2] == (1, 90.0)
    assert judged(burst, HealthProfile(degraded_score=95.0, critical_score=90.0))[:2] == (1, 90.0)
    assert judged(burst, HealthProfile(degraded_score=95.0, critical_score=90.01))[:2] == (2, 90.0)
    assert judged(GOOD, HealthProfile(degraded_score=100.0)) == (0, 100.0, [])
    only_score = HealthProfile(default_thresholds() | {"p95": Threshold(1.0, 1e9, 1e6)}, degraded_score=99.0)
    assert judged(GOOD, replace(only_score, critical_score=99.0))[0] == 1, "past a threshold, not under a score"


def test_reasons_are_these_words_worst_first() -> None:
    row = GOOD | {"success_rate": 0.925, "p99": 25_000.0, "cpu": 85.0}
    assert judged(row)[2] == [
        "success_rate 0.925 is below 0.95 (degraded, -20.00 points)",
        "p99 25000 ms is above 10000 ms (critical, -15.00 points)",
        "cpu 85 % is above 80 % (degraded, -3.33 points)",
    ]


def test_few_requests_are_not_judged_by_rates_and_percentiles_but_by_gauges() -> None:
    bad = GOOD | {"success_rate": 0.0, "p95": 1e9, "p99": 1e9, "error_burst": 1.0, "cpu": 99.0}
    level, score, reasons = judged(bad, count=9)
    assert (level, score) == (2, 90.0)
    assert reasons[1:] == ["9 requests are fewer than 10: rates and percentiles not judged"]
    assert judged(bad, count=10)[:2] == (2, 10.0)
    assert judged(GOOD, count=9)[:2] == (0, 100.0)


def test_a_gauge_that_was_never_sent_and_a_signal_switched_off_cost_nothing() -> None:
    assert judged({signal: value for signal, value in GOOD.items() if signal not in ("cpu", "memory")})[1] == 100.0
    off = HealthProfile(default_thresholds() | {"success_rate": Threshold(None, None, 40.0)})
    assert judged(GOOD | {"success_rate": 0.0}, off) == (0, 100.0, [])
    assert judged(GOOD | {"p99": 1e9}, off)[1] == 85.0, "its points are granted, not dealt out anew"


def test_weights_are_scaled_to_a_hundred_points() -> None:
    equal = {signal: replace(threshold, weight=7.0) for signal, threshold in default_thresholds().items()}
    profiles = profiles_of(HealthProfile(equal), 3)
    assert np.allclose(profiles.weights, 100 / 6)
    assert judged(GOOD | {"p95": 1e9}, HealthProfile(equal))[1] == 83.33
    worst: Row = {"success_rate": 0.0, "p95": 1e9, "p99": 1e9, "cpu": 1e3, "memory": 1e15, "error_burst": 1.0}
    assert judged(worst, HealthProfile(equal))[:2] == (2, 0.0)
