"""How a module is judged: a profile that makes sense, and exceptions that change nothing but what they name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.config import SIGNALS, Threshold
from tests.support.core.cores import fixed
from topology.settings.health import HealthSettings


def health(**fields: Any) -> HealthSettings:
    return HealthSettings(**fields)


def problems(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        health(**fields)
    return str(caught.value)


def test_a_signal_of_which_one_key_is_given_keeps_its_own_defaults() -> None:
    base, found = health().profile().thresholds, health(p95={"degraded": 500}).profile().thresholds
    assert found["p95"] == Threshold(500.0, 5_000.0, 15.0)
    assert {name: found[name] for name in SIGNALS if name != "p95"} == {
        name: base[name] for name in SIGNALS if name != "p95"
    }


@fixed(60)
@given(st.sampled_from(SIGNALS), st.sets(st.sampled_from(["degraded", "critical", "weight"])), st.booleans())
def test_an_override_changes_the_keys_it_names_and_follows_the_profile_in_all_others(
    signal: str, keys: set[str], told_to_wait: bool
) -> None:
    change: dict[str, Any] = {"glob": "m*", signal: {key: None if key != "weight" else 1 for key in keys}}
    if told_to_wait:
        change["worsen_windows"] = 3
    found = health(min_requests=7, p95={"degraded": 900}, overrides=[change])
    base, (override,) = found.profile(), found.core().overrides
    assert (override.glob, override.profile.min_requests) == ("m*", 7)
    assert override.profile.worsen_windows == (3 if told_to_wait else base.worsen_windows)
    for name in SIGNALS:
        for key in ("degraded", "critical", "weight"):
            there, kept = (getattr(one.thresholds[name], key) for one in (override.profile, base))
            changed = {"degraded": None, "critical": None, "weight": 1}[key]
            assert there == (changed if name == signal and key in keys else kept)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"p95": {"critical": 10}}, "health.p95.critical = 10 comes before degraded = 1000; make it at least that"),
        ({"success_rate": {"critical": 0.99}}, "health.success_rate.critical = 0.99 comes before degraded = 0.95"),
        ({"success_rate": {"critical": 0.99}}, "make it at most that"),
        ({"cpu": {"weight": 20}}, "the weights add up to 110; lower some so that they are at most 100"),
        ({name: {"weight": 0} for name in SIGNALS}, "all weights are 0, so there is nothing to score by"),
        ({"critical_score": 90}, "health.critical_score = 90 is above degraded_score = 80; lower it"),
        ({"p95": {"degraded": float("nan")}}, "finite number"),
        ({"p95": {"degraded": True}}, "is not a number; write a number, or off"),
        ({"overrides": "{"}, "is not JSON"),
        ({"overrides": [{"glob": ""}]}, "at least 1 character"),
        ({"overrides": [{"glob": "a*", "critical_score": 81}]}, 'health.overrides glob "a*".critical_score = 81'),
    ],
)
def test_a_profile_must_make_sense(fields: dict[str, Any], problem: str) -> None:
    assert problem in problems(**fields)


def test_a_bound_on_the_bound_is_allowed_and_one_that_is_off_is_compared_with_nothing() -> None:
    health(p95={"degraded": 10, "critical": 10}, success_rate={"degraded": 0.9, "critical": 0.9})
    health(critical_score=80, cpu={"weight": 10})
    for word in ("off", " OFF ", "none", "", None):
        assert health(p95={"critical": word, "degraded": 1e9}).profile().thresholds["p95"].critical is None


def test_every_profile_that_makes_no_sense_is_named_at_once() -> None:
    text = problems(critical_score=90, overrides=[{"glob": "a"}, {"glob": "b", "critical_score": 0}])
    assert "health.critical_score" in text
    assert 'glob "a".critical_score' in text
    assert 'glob "b"' not in text


def test_overrides_may_be_written_as_json() -> None:
    changes = [{"glob": "batch-*", "min_requests": 50, "p99": {"degraded": "off"}}, {"glob": "*"}]
    assert health(overrides=json.dumps(changes)).core() == health(overrides=changes).core()
