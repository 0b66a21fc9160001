"""Which profile judges which module."""

from dataclasses import replace

import numpy as np

from pipeline.config import SIGNALS, HealthConfig, HealthOverride, HealthProfile, Threshold, default_thresholds
from pipeline.health.hysteresis import MAX_STREAK
from pipeline.health.profiles import Profiles
from tests.support.core.condition import sick
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, config_of, finals_of


def test_the_last_override_that_matches_is_the_profile_of_a_module() -> None:
    strict, lax, other = (HealthProfile(min_requests=n, worsen_windows=n, improve_windows=n + 1) for n in (1, 2, 3))
    config = HealthConfig(other, (HealthOverride("pay*", strict), HealthOverride("pay-[ab]?", lax)))
    profiles = Profiles(config)
    ids = ["__other__", "payments", "pay-b1", None, "Pay", "pay", "search"]
    profiles.assign(ids, 64)
    assert profiles.min_requests[:7].tolist() == [3, 1, 2, 3, 3, 1, 3]
    assert profiles.worsen[:7].tolist() == [3, 1, 2, 3, 3, 1, 3]
    assert profiles.improve[:7].tolist() == [4, 2, 3, 4, 4, 2, 4]
    assert profiles.min_requests.shape == (64,)


def test_an_override_decides_the_health_in_the_record_and_the_record_says_how_far_the_hysteresis_is() -> None:
    patient = HealthProfile(min_requests=2, worsen_windows=3)
    config = replace(
        config_of((1,), 0, 0, profile=HealthProfile(min_requests=2)),
        health=HealthConfig(HealthProfile(min_requests=2), (HealthOverride("slow-*", patient),)),
    )
    run = Run(config)
    for second in range(4):
        time = START_MS + second * 1_000
        run.apply([*sick(time, "fast"), *sick(time, "slow-1")])
    run.apply([Event("clock", START_MS + 4_000)])
    run.cut(NOW_MS)
    found = {(key[0], (key[2] - START_MS) // 1_000): record.health for key, record in finals_of(run.metrics).items()}
    assert [found["fast", second].status for second in range(4)] == ["critical"] * 4
    assert [found["slow-1", second].status for second in range(4)] == ["healthy", "healthy", "critical", "critical"]
    assert found["slow-1", 1].reasons[-1] == "this window alone is critical; 2 of the 3 windows a change takes"
    assert [health.score for health in found.values()] == [50.0] * 8


def test_weights_keep_their_proportion_and_add_up_to_a_hundred_points() -> None:
    rising = {name: Threshold(1.0, 2.0, weight) for weight, name in enumerate(SIGNALS, 1)}
    profiles = Profiles(HealthConfig(HealthProfile(), (HealthOverride("x", HealthProfile(rising)),)))
    profiles.assign(["x", "y"], 2)
    assert np.allclose(profiles.weights.sum(axis=0), 100.0)
    assert np.allclose(profiles.weights[:, 0] / profiles.weights[0, 0], [1, 2, 3, 4, 5, 6])
    assert np.allclose(profiles.weights[:, 1], [40, 15, 15, 10, 10, 10])


def test_a_signal_is_switched_off_for_its_own_modules_only_and_its_weight_stays() -> None:
    off = HealthProfile(default_thresholds() | {"cpu": Threshold(None, None, 10.0)})
    profiles = Profiles(HealthConfig(HealthProfile(), (HealthOverride("off", off),)))
    profiles.assign(["on", "off"], 3)
    cpu = SIGNALS.index("cpu")
    assert (
        np.isnan(profiles.degraded[cpu]).tolist() == np.isnan(profiles.critical[cpu]).tolist() == [False, True, False]
    )
    assert profiles.weights[cpu].tolist() == [10.0, 10.0, 10.0]


def test_a_code_that_goes_to_another_module_keeps_nothing_of_the_profile_before() -> None:
    special = HealthProfile(min_requests=99, degraded_score=1.0, critical_score=0.5)
    profiles = Profiles(HealthConfig(HealthProfile(), (HealthOverride("special", special),)))
    profiles.assign(["special", "usual"], 2)
    profiles.assign([None, "special", "usual"], 4)
    assert profiles.min_requests.tolist() == [10, 99, 10, 10]
    assert profiles.degraded_score.tolist() == [80.0, 1.0, 80.0, 80.0]
    assert profiles.critical_score.tolist() == [50.0, 0.5, 50.0, 50.0]


def test_hysteresis_longer_than_a_state_can_count_is_cut_so_that_a_class_still_changes() -> None:
    profiles = Profiles(HealthConfig(HealthProfile(worsen_windows=MAX_STREAK + 1, improve_windows=10**9)))
    profiles.assign(["m"], 1)
    assert (profiles.worsen.tolist(), profiles.improve.tolist()) == ([MAX_STREAK], [MAX_STREAK])


def test_an_id_is_matched_whole_and_by_case() -> None:
    other = HealthProfile()
    overrides = tuple(
        HealthOverride(glob, HealthProfile(min_requests=n)) for n, glob in enumerate(("pay", "a?c", "B*"))
    )
    found = {
        name: Profiles(HealthConfig(other, overrides)).profile_of(name)
        for name in ("pay", "xpay", "pays", "abc", "ac", "b1", "B")
    }
    assert {name: None if profile is None else profile.min_requests for name, profile in found.items()} == {
        "pay": 0, "xpay": None, "pays": None, "abc": 1, "ac": None, "b1": None, "B": 2,
    }  # fmt: skip
